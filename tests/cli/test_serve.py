"""``agentspark serve`` as a process: its plan, its answers, its end."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import httpx
import pytest

from agentspark.cli.main import run


@pytest.fixture
def command(tiny_target_dir: Path, tiny_drafter_dir: Path) -> list[str]:
    return [
        sys.executable, "-m", "agentspark.cli", "serve", str(tiny_target_dir), "--name", "tiny",
        "--drafter", str(tiny_drafter_dir), "--port", "0", "--kv-tokens", "4096",
    ]  # fmt: skip


def start(command: list[str], **environment: str) -> tuple[subprocess.Popen[str], str, str]:
    """The process, what it said before it served, and its address."""
    process = subprocess.Popen(
        command,
        stderr=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        text=True,
        env={**os.environ, **environment},
    )
    assert process.stderr is not None
    said = ""
    for line in process.stderr:
        said += line
        found = re.search(r"at (http://[^ ]+)/v1", line)
        if found:
            return process, said, found[1]
    process.wait()
    raise AssertionError(said)


def test_it_says_its_plan_serves_who_has_the_key_and_stops(
    command: list[str], tmp_path: Path
) -> None:
    trace = tmp_path / "trace.jsonl"
    process, said, url = start(
        [
            *command,
            "--trace",
            str(trace),
            "--log-format",
            "json",
            "--leave-out-tools",
            "--detailed-metrics",
        ],
        AGENTSPARK_API_KEY="a-long-key",
    )
    try:
        for word in ("model", "device", "memory", "drafts", "scheduler", "cpu", "4096 tokens"):
            assert word in said
        assert "1 API keys" in said
        assert httpx.get(f"{url}/v1/models").status_code == 401
        body = {
            "model": "tiny", "max_tokens": 4, "messages": [{"role": "user", "content": "secret"}],
            "web_search_options": {},
        }  # fmt: skip
        with httpx.Client(headers={"authorization": "Bearer a-long-key"}, timeout=60) as client:
            assert client.get(f"{url}/v1/models").status_code == 200
            answer = client.post(f"{url}/v1/chat/completions", json=body)
            assert answer.status_code == 200
            assert "per_step_accepted" in answer.json()["metrics"]["speculative_decoding"]
        process.send_signal(signal.SIGTERM)
        _, rest = process.communicate(timeout=60)
    finally:
        process.kill()
    assert process.returncode == 0
    assert "Stopped." in rest
    assert '"event": "request"' in rest
    assert '"status": 200' in rest
    assert '"left_out_tools": ["web_search_options"]' in rest
    assert "secret" not in rest
    assert len(trace.read_text().splitlines()) == 1


def test_a_public_address_without_a_key_is_refused_before_anything_loads(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("AGENTSPARK_API_KEY", raising=False)
    assert run(["serve", "no-such-model", "--host", "0.0.0.0"]) == 1
    assert "--insecure-no-key" in capsys.readouterr().err


def test_a_port_in_use_is_said_before_anything_loads(capsys: pytest.CaptureFixture[str]) -> None:
    from openai_dspark.server.process import bind
    from openai_dspark.server.settings import ServerSettings

    with bind(ServerSettings(port=0)) as taken:
        taken.listen()
        port = str(taken.getsockname()[1])
        assert run(["serve", "no-such-model", "--port", port]) == 1
    assert "Choose another" in capsys.readouterr().err


@pytest.mark.parametrize("size", ["nan", "inf", "0", "-1"])
def test_a_size_that_is_none_is_one_line(size: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["serve", "no-such-model", "--max-body-mib", size]) == 1
    said = capsys.readouterr().err
    assert f"--max-body-mib {size} cannot be used" in said
    assert "unexpected" not in said


def test_a_model_that_is_not_there_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["serve", "./no-such-model", "--port", "0"]) == 1
    assert "does not exist" in capsys.readouterr().err


def test_an_unknown_log_format_is_wrong_usage(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["serve", "--log-format", "xml"]) == 2
    assert "xml" in capsys.readouterr().err
