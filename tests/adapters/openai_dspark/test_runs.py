"""A step-by-step trace, also of agents that say nothing about their steps."""

from __future__ import annotations

import json

from hypothesis import given
from hypothesis import strategies as st

from agentspark.trace.runs import split_run
from openai_dspark.server.runs import RunGuesser

from ..serving import MODEL

START = [{"role": "system", "content": "s"}, {"role": "user", "content": "task"}]


def more(messages, *texts):
    roles = ("assistant", "user")
    added = [{"role": roles[i % 2], "content": text} for i, text in enumerate(texts)]
    return [*messages, *added]


def test_steps_that_add_to_each_other_are_one_run():
    guess = RunGuesser()
    first = guess.run(START, ())
    step = more(START, "a", "b")
    assert guess.run(step, ()) == first
    assert guess.run(more(step, "c", "d"), ()) == first
    assert guess.run(more(START, "other", "branch"), ()) == first
    assert guess.run(more(START[:1], "x"), ()) != first


def test_the_same_start_again_is_a_repetition_and_arms_pair_up():
    guess = RunGuesser()
    runs = [guess.run(START, ("accelerated",)) for _ in range(2)]
    other = guess.run(START, ("baseline",))
    assert [split_run(run)[1] for run in runs] == [1, 2]
    assert other == runs[0]
    assert guess.run(more(START, "a", "b"), ("accelerated",)) == runs[1]
    assert guess.run(more(START, "a", "b"), ("baseline",)) == other


def test_memory_is_bounded():
    guess = RunGuesser(capacity=3)
    first = guess.run(START, ())
    for number in range(5):
        guess.run([{"role": "user", "content": str(number)}], ())
    assert len(guess._runs) == len(guess._repeats) == 3
    assert split_run(guess.run(more(START, "a", "b"), ()))[0] != split_run(first)[0]


@given(st.lists(st.text(), min_size=1, max_size=6), st.integers(1, 5))
def test_any_longer_chat_belongs_to_the_run_it_extends(texts, length):
    guess = RunGuesser()
    chat = [{"role": "user", "content": text} for text in texts]
    beginning = chat[: min(length, len(chat))]
    run = guess.run(beginning, ())
    if len(chat) > len(beginning):
        assert guess.run(chat, ()) == run


def steps(trace_file):
    return [json.loads(line) for line in trace_file.read_text().splitlines()]


def test_an_unchanged_agent_leaves_a_trace_of_its_steps(served, client, trace_file):
    before = len(steps(trace_file))
    for model in (MODEL, f"{MODEL}:baseline"):
        messages = [{"role": "user", "content": f"An agent at work: {before}"}]
        for number in range(3):
            answer = client.chat.completions.create(
                model=model, messages=messages, temperature=0, max_tokens=6
            )
            said = answer.choices[0].message
            messages += [{"role": "assistant", "content": said.content}]
            messages += [{"role": "user", "content": f"Go on, {number}."}]
    records = steps(trace_file)[before:]
    assert [r["step"] for r in records] == [1, 2, 3, 1, 2, 3]
    assert len({(r["run"], r["repeat"]) for r in records}) == 1
    assert [r["arm"] for r in records] == ["accelerated"] * 3 + ["baseline"] * 3
    assert all(r["cached_tokens"] > 0 for r in records[1:3])
    assert all(r["cached_tokens"] == 0 for r in records[3:])
    hashes = [(r["prompt_hash"], r["output_hash"]) for r in records]
    assert hashes[:3] == hashes[3:]


def test_labels_come_from_headers_and_metadata(served, trace_file):
    served.chat(
        metadata={"agentspark_run": "meta", "agentspark_step": "4", "other": "kept"},
        headers={"x-agentspark-step-name": "look", "x-agentspark-step-kind": "tool"},
    )
    served.chat(
        metadata={"agentspark_run": "meta"},
        headers={"x-agentspark-run": "head", "x-agentspark-parent": "p"},
    )
    first, second = steps(trace_file)[-2:]
    assert (first["run"], first["step"]) == ("meta", 4)
    assert (first["step_name"], first["step_kind"]) == ("look", "tool")
    assert (second["run"], second["parent"], second["step"]) == ("head", "p", 1)


def test_a_request_that_switches_parts_off_is_in_no_arm(served, trace_file):
    served.chat(agentspark={"speculation": "off"})
    assert steps(trace_file)[-1]["arm"] is None
    assert steps(trace_file)[-1]["options"]["speculation"] == "off"
