"""``replay``, ``compare`` and ``demo`` on a tiny random target: both arms, one report."""

from __future__ import annotations

import json
import os
import sys

import pytest

USER = {"role": "user", "content": "The cache keeps the keys and values of every prefix."}
TURN = [
    {"role": "assistant", "content": "A draft is accepted when the target agrees."},
    {"role": "user", "content": "Each branch of a run shares its blocks with its siblings."},
]
SCRIPT = """
import sys
if len(sys.argv) > 2:
    sys.exit("the script gave up")
from agentspark import Engine, Labels, SamplingParams
with Engine.load(sys.argv[1], drafter=None) as engine:
    text = "The cache keeps the keys and values of every prefix. "
    for step in range(1, 4):
        labels = Labels(run="mine", step=step, step_name="note")
        engine.generate(text * step, SamplingParams(max_tokens=8), labels=labels)
"""


def report(folder):
    found = json.loads((folder / "report.json").read_text())
    assert (folder / "report.html").read_text().startswith("<!")
    assert (folder / "report.md").stat().st_size
    return found


@pytest.fixture
def transcripts(jsonl):
    steps = [[USER], [USER, *TURN], [USER, *TURN, *TURN]]
    return jsonl("t.jsonl", {"id": "a", "steps": steps}, {"id": "b", "steps": steps[:2]})


def test_replay_compares_the_arms_step_by_step(
    cli, transcripts, tiny_target_dir, tmp_path, read_jsonl
):
    out = tmp_path / "out"
    args = ("replay", transcripts, "--model", tiny_target_dir, "--out", out, "--max-tokens", 8)
    said = cli(*args, "--repeats", 2)
    assert said.code == 0, said.err
    found = report(out)
    assert set(found["arms"]) == {"baseline", "accelerated"}
    assert {"total", "decode", "ttft"} <= set(found["speedup"])
    assert found["outputs_identical"] is True
    assert found["counts"] | {"pairs": 10, "steps": 5, "runs": 2, "repeats": 2} == found["counts"]
    (trace,) = (out / "traces").glob("*.jsonl")
    records = read_jsonl(trace)
    assert len(records) == 20
    for record in records:
        plain = record["arm"] == "baseline"
        assert record["options"]["share_prefix"] is not plain
        assert record["options"]["speculation"] == ("off" if plain else "auto")
        # Every transcript and repetition starts cold; then the prefix is there.
        warm = not plain and record["step"] > 1
        assert (record["cached_tokens"] > 0) is warm
    # The arms take turns, and so does who begins.
    order = [(r["run"], r["repeat"], r["step"], r["arm"]) for r in records]
    assert order[:4] == [
        ("a", 1, 1, "baseline"),
        ("a", 1, 1, "accelerated"),
        ("a", 1, 2, "accelerated"),
        ("a", 1, 2, "baseline"),
    ]
    # Another run into the same folder is a comparison of its own.
    assert "prompt_token_ids" not in records[0] and "output_token_ids" not in records[0]
    assert cli(*args, "--trace-tokens").code == 0
    assert report(out)["counts"]["pairs"] == 5
    records = read_jsonl(trace)
    assert all(len(r["prompt_token_ids"]) == r["prompt_tokens"] for r in records)


def test_a_transcript_may_say_how_it_is_answered(cli, jsonl, tiny_target_dir, tmp_path, read_jsonl):
    tool = {"type": "function", "function": {"name": "read", "parameters": {"type": "object"}}}
    call = {"id": "c", "type": "function", "function": {"name": "read", "arguments": "{}"}}
    calls = {"role": "assistant", "content": None, "tool_calls": [call]}
    result = {"role": "tool", "tool_call_id": "c", "content": "two lines"}
    steps = [[USER], [USER, calls, result]]
    lines = [
        {"id": "a", "steps": steps, "max_tokens": 3, "tools": [tool]},
        {"id": "b", "steps": steps},
    ]
    out = tmp_path / "out"
    said = cli(
        "replay", jsonl("t.jsonl", *lines), "--model", tiny_target_dir, "--out", out,
        "--max-tokens", 5,
    )  # fmt: skip
    assert said.code == 0, said.err
    records = read_jsonl(out / "traces" / "replay.jsonl")
    assert [(r["run"], r["sampling"]["max_tokens"]) for r in records] == [("a", 3)] * 4 + [
        ("b", 5)
    ] * 4
    # The tools stand in the prompt.
    longer, shorter = (r["prompt_tokens"] for r in (records[0], records[4]))
    assert longer > shorter


def test_one_arm_alone_is_recorded_without_a_report(cli, transcripts, tiny_target_dir, tmp_path):
    out = tmp_path / "out"
    said = cli(
        "replay", transcripts, "--model", tiny_target_dir, "--out", out, "--arms", "accelerated",
        "--max-tokens", 2,
    )  # fmt: skip
    assert said.code == 0
    assert (out / "traces" / "replay.jsonl").exists()
    assert not (out / "report.json").exists()


def test_a_wrong_transcript_is_named(cli, jsonl, tmp_path):
    path = jsonl("t.jsonl", {"id": "a", "steps": [[USER], [USER]]})
    said = cli("replay", path, "--model", "none", "--out", tmp_path / "out")
    assert said.code == 1
    assert "t.jsonl line 1: steps[1] must extend" in said.err


def test_any_script_runs_in_both_arms(cli, tiny_target_dir, tmp_path, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(entry for entry in sys.path if entry))
    script = tmp_path / "my_agent.py"
    script.write_text(SCRIPT)
    out = tmp_path / "out"
    said = cli("compare", "--out", out, "--", sys.executable, script, tiny_target_dir)
    assert said.code == 0, said.err
    found = report(out)
    assert [row["run"] for row in found["steps"]] == ["mine"] * 3
    assert found["outputs_identical"] is True
    assert found["arms"]["baseline"]["cached_tokens"] == 0
    assert found["arms"]["accelerated"]["cached_tokens"] > 0
    assert "baseline, repetition 1: 3 model calls" in said.err
    # What it recorded can be compared again, alone or pair by pair.
    traces = sorted((out / "traces").glob("*.jsonl"), reverse=True)
    assert cli("compare", *traces, "--out", tmp_path / "again", "--title", "Mine").code == 0
    assert report(tmp_path / "again")["title"] == "Mine"
    said = cli("compare", *traces, "--out", tmp_path / "again", "--trace-tokens")
    assert said.code == 2 and "needs a command" in said.err
    said = cli("compare", "--out", out, "--", sys.executable, script, tiny_target_dir, "fail")
    assert said.code == 1
    assert "the script gave up" in said.err


def test_a_forgotten_dash_dash_is_told_with_the_line_to_type(cli):
    said = cli("compare", "python3", "my agent.py")
    assert "agentspark compare -- python3 'my agent.py'" in " ".join(
        said.err.replace("│", "").split()
    )


def test_options_of_a_command_are_refused_for_files(cli, tmp_path):
    for option in (("--repeats", 2), ("--trace-tokens",)):
        said = cli("compare", tmp_path / "t.jsonl", *option)
        assert said.code == 2
        assert f"{option[0]} needs a command to run" in " ".join(said.err.split())


def test_traces_that_do_not_match_are_an_error(cli, tmp_path):
    (tmp_path / "t.jsonl").write_text("")
    said = cli("compare", tmp_path / "t.jsonl", "--out", tmp_path / "out")
    assert said.code == 1
    assert not (tmp_path / "out").exists()


def test_the_demo_runs_both_arms_and_shows_every_step(cli, tiny_target_dir, tmp_path, read_jsonl):
    source = tmp_path / "source"
    source.mkdir()
    (source / "a.py").write_text("class Main:\n    def run(self):\n        return 1\n")
    (source / "b.py").write_text("x = 1\n")
    out = tmp_path / "out"
    args = ("demo", source, "--model", tiny_target_dir, "--out", out, "--trace-tokens")
    said = cli(*args, "--device", "mars")
    assert (said.code, said.err.split("error: ")[1][:13]) == (1, "device='mars'")
    said = cli(*args, "--device", "cpu", "--dtype", "float32")
    assert said.code == 0, said.err
    found = report(out)
    names = ["plan", "read a.py", "ask about Main", "read b.py", "sum up"]
    assert [row["step_name"] for row in found["steps"]] == names
    assert found["outputs_identical"] is True
    assert "# source" in said.out
    assert "report.html" in said.out.replace("\n", "")
    assert found["arms"]["accelerated"]["cached_tokens"] > 0
    (trace,) = (out / "traces").glob("*.jsonl")
    assert all(r["prompt_token_ids"] and r["output_token_ids"] for r in read_jsonl(trace))
    assert {(r["options"]["dtype"], r["options"]["device"]) for r in read_jsonl(trace)} == {
        ("float32", "cpu")
    }


def test_a_demo_without_sources_says_so(cli, tmp_path):
    said = cli("demo", tmp_path, "--model", "none", "--out", tmp_path / "out")
    assert said.code == 1
    assert "holds no source files" in said.err
