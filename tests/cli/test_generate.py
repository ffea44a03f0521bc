"""``agentspark generate`` on a tiny random target."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time

import pytest

METRICS = {
    "prompt_tokens",
    "cached_tokens",
    "completion_tokens",
    "rounds",
    "draft_tokens",
    "verified_tokens",
    "accepted_tokens",
    "queue_ms",
    "ttft_ms",
    "decode_ms",
    "total_ms",
}
HELLO = [{"role": "user", "content": "An agent reads a file, notes what it found."}]


@pytest.fixture
def prompts(jsonl):
    lines = [{"id": f"chat-{n}", "messages": HELLO} for n in range(3)]
    return jsonl("prompts.jsonl", *lines, {"id": 4, "prompt_token_ids": [1, 70, 80, 90] * 9})


@pytest.fixture
def generate(cli, prompts, tiny_target_dir, tmp_path, read_jsonl):
    def call(*args, prompts=prompts):
        out = tmp_path / "out.jsonl"
        said = cli(
            "generate", "--model", tiny_target_dir, "--drafter", "none", "--prompts", prompts,
            "--out", out, "--max-tokens", 24, *args,
        )  # fmt: skip
        return said, read_jsonl(out) if out.exists() else None

    return call


def test_every_prompt_has_its_line_in_order(generate):
    said, lines = generate("--ignore-eos")
    assert said.code == 0
    assert "4 answers, 96 tokens" in said.err
    assert [line["id"] for line in lines] == ["chat-0", "chat-1", "chat-2", 4]
    for line in lines:
        assert set(line) == {"id", "token_ids", "text", "finish_reason", "metrics"}
        assert set(line["metrics"]) == METRICS
        figures = line["metrics"]
        assert len(line["token_ids"]) == figures["completion_tokens"] == 24
        assert line["finish_reason"] == "length"
        assert figures["accepted_tokens"] <= figures["verified_tokens"] <= figures["draft_tokens"]
        assert figures["rounds"] + figures["accepted_tokens"] >= 23
        assert figures["total_ms"] >= figures["ttft_ms"] >= figures["queue_ms"] >= 0
    assert lines[3]["metrics"]["prompt_tokens"] == 36
    first, second = (line["metrics"]["cached_tokens"] for line in lines[:2])
    assert first == 0 < second


def test_a_trace_is_written_with_or_without_token_ids(generate, tmp_path, read_jsonl):
    trace = tmp_path / "trace.jsonl"
    assert generate("--trace", trace)[0].code == 0
    _, lines = generate("--trace", trace, "--trace-tokens")
    records = read_jsonl(trace)
    assert [("output_token_ids" in record) for record in records] == [False] * 4 + [True] * 4
    assert [r["output_token_ids"] for r in records[4:]] == [line["token_ids"] for line in lines]
    said, _ = generate("--trace-tokens")
    assert said.code == 1 and "give trace as well" in said.err


@pytest.mark.parametrize(
    "args",
    [
        ("--speculation", "off", "--share-prefix", "off"),
        ("--speculation", "suffix", "--verify", "full"),
        ("--verify", "1", "--concurrency", "3"),
    ],
)
def test_no_option_of_acceleration_changes_the_tokens(generate, args):
    _, expected = generate()
    said, lines = generate(*args)
    assert said.code == 0
    assert [line["token_ids"] for line in lines] == [line["token_ids"] for line in expected]
    if "off" in args:
        assert all(line["metrics"]["draft_tokens"] == 0 for line in lines)
        assert all(line["metrics"]["cached_tokens"] == 0 for line in lines)


def test_a_seed_repeats_what_is_sampled(generate):
    sampled = ("--temperature", "1.5", "--seed", "7", "--dtype", "float32", "--exact", "off")
    first, again = generate(*sampled)[1], generate(*sampled)[1]
    other = generate(*sampled, "--seed", "8")[1]
    ids = [[line["token_ids"] for line in lines] for lines in (first, again, other)]
    assert ids[0] == ids[1] != ids[2]


def test_a_prompt_that_fails_fails_alone(generate, jsonl):
    prompts = jsonl(
        "mixed.jsonl",
        {"id": "long", "prompt_token_ids": [5] * 3000},
        {"id": "role", "messages": [{"role": "robot", "content": "x"}]},
        {"id": "fine", "messages": HELLO},
    )
    said, lines = generate(prompts=prompts)
    assert said.code == 1
    assert "prompt 'long' (mixed.jsonl line 1) failed: " in said.err
    assert [line["finish_reason"] == "error" for line in lines] == [True, True, False]
    assert "role" in lines[1]["error"]
    assert len(lines[2]["token_ids"]) > 0


def test_options_that_cannot_be_served_end_it_before_loading(cli, jsonl, tmp_path):
    prompts = jsonl("p.jsonl", {"id": 1, "messages": HELLO})
    for args in (("--max-tokens", "0"), ("--temperature", "nan")):
        said = cli(
            "generate", "--model", "none", "--prompts", prompts, "--out", tmp_path / "o", *args
        )
        assert said.code == 1
        assert args[0].strip("-").replace("-", "_") in said.err
    said = cli("generate", "--model", tmp_path, "--prompts", prompts, "--out", tmp_path / "o")
    assert said.code == 1
    assert not (tmp_path / "o").exists()


def test_an_out_that_could_not_be_written_at_the_end_is_refused_at_the_start(
    cli, prompts, tmp_path
):
    before = prompts.read_text()
    for out in (tmp_path, prompts):
        said = cli("generate", "--model", "none", "--prompts", prompts, "--out", out)
        assert said.code == 2
        assert "--out" in said.err
    assert prompts.read_text() == before


def test_ctrl_c_leaves_whole_lines_and_no_final_file(tiny_target_dir, jsonl, tmp_path, read_jsonl):
    prompts = jsonl("many.jsonl", *({"id": n, "messages": HELLO} for n in range(500)))
    out = tmp_path / "out.jsonl"
    command = [
        sys.executable, "-m", "agentspark.cli", "generate", "--model", str(tiny_target_dir),
        "--drafter", "none", "--prompts", str(prompts), "--out", str(out), "--max-tokens", "400",
        "--ignore-eos", "--concurrency", "2",
    ]  # fmt: skip
    path = os.pathsep.join(entry for entry in sys.path if entry)
    process = subprocess.Popen(
        command,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": path},
        # A background job ignores interrupts and hands that down.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )
    partial = out.with_name("out.jsonl.partial")
    try:
        ends = time.monotonic() + 120
        while not (partial.exists() and partial.stat().st_size):
            assert process.poll() is None, process.communicate()[1]
            assert time.monotonic() < ends
            time.sleep(0.05)
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=60)
    finally:
        process.kill()
    assert process.returncode == 130
    assert "Traceback" not in said
    assert not out.exists()
    assert all(len(line["token_ids"]) == 400 for line in read_jsonl(partial))


def test_a_line_may_ask_for_tools_or_a_format(generate, jsonl):
    tool = {"type": "function", "function": {"name": "read", "parameters": {"type": "object"}}}
    lines = [
        {"id": 1, "messages": HELLO, "tools": [tool], "tool_choice": "required"},
        {"id": 2, "messages": HELLO, "choice": ["yes", "no"]},
    ]
    said, answers = generate("--max-tokens", 60, prompts=jsonl("asked.jsonl", *lines))
    assert said.code == 0
    assert [call["name"] for call in answers[0]["tool_calls"]] == ["read"]
    assert answers[0]["content"] == ""
    assert answers[1]["text"] in ("yes", "no") and "tool_calls" not in answers[1]


def test_a_line_may_say_how_it_is_sampled(generate, jsonl):
    lines = [
        {"id": 1, "messages": HELLO, "max_tokens": 2},
        {"id": 2, "prompt_token_ids": [1, 70, 80, 90], "ignore_eos": True},
    ]
    said, answers = generate(prompts=jsonl("asked.jsonl", *lines))
    assert said.code == 0
    assert len(answers[0]["token_ids"]) <= 2
    assert len(answers[1]["token_ids"]) == 24
    said, _ = generate(prompts=jsonl("wrong.jsonl", {"id": 1, "messages": HELLO, "max_tokens": 0}))
    assert said.code == 1
    assert "wrong.jsonl line 1: max_tokens=0 cannot be used" in said.err


def test_a_line_that_asks_wrongly_is_named(generate, jsonl):
    line = {"id": 1, "messages": HELLO, "tool_choice": "required"}
    said, _ = generate(prompts=jsonl("wrong.jsonl", line))
    assert said.code == 1
    assert "line 1: tool_choice is 'required' and there are no tools" in said.err
