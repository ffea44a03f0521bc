"""A step-by-step trace, also of agents that say nothing about their steps."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentspark.errors import EngineError
from agentspark.trace.runs import split_run
from openai_dspark.server.runs import RunGuesser

from ..serving import MODEL

START = [{"role": "system", "content": "s"}, {"role": "user", "content": "task"}]


def more(messages, *texts):
    roles = ("assistant", "user")
    added = [{"role": roles[i % 2], "content": text} for i, text in enumerate(texts)]
    return [*messages, *added]


def run_of(guesser, messages, scope):
    return guesser.guess(messages, scope).run


def test_steps_that_add_to_each_other_are_one_run():
    guesser = RunGuesser()
    first = run_of(guesser, START, ())
    step = more(START, "a", "b")
    assert run_of(guesser, step, ()) == first
    assert run_of(guesser, more(step, "c", "d"), ()) == first
    assert run_of(guesser, more(START, "other", "branch"), ()) == first
    assert run_of(guesser, more(START[:1], "x"), ()) != first


def test_the_same_start_again_is_a_repetition_and_arms_pair_up():
    guesser = RunGuesser()
    runs = [run_of(guesser, START, ("accelerated",)) for _ in range(2)]
    other = run_of(guesser, START, ("baseline",))
    assert [split_run(run)[1] for run in runs] == [1, 2]
    assert other == runs[0]
    assert run_of(guesser, more(START, "a", "b"), ("accelerated",)) == runs[1]
    assert run_of(guesser, more(START, "a", "b"), ("baseline",)) == other


def test_runs_that_start_alike_are_told_apart_by_their_answers():
    guesser = RunGuesser()
    first, second = (guesser.guess(START, ()) for _ in range(2))
    assert first.run != second.run
    guesser.answered(first, {"role": "assistant", "content": "a1"})
    guesser.answered(second, {"role": "assistant", "content": "a2"})
    for start, answer in ((first, "a1"), (second, "a2")):
        step = more(START, answer, "go on")
        later = guesser.guess(step, ())
        assert later.run == start.run
        guesser.answered(later, {"role": "assistant", "content": "the same"})
        assert run_of(guesser, more(step, "the same", "and on"), ()) == start.run
    # An answer that nobody gave says nothing: the newest such run it is.
    assert run_of(guesser, more(START, "edited", "go on"), ()) == second.run
    assert run_of(guesser, more(START, "a1", "go on"), ("other",)) not in (first.run, second.run)


def test_an_answer_is_known_however_its_call_is_written():
    guesser = RunGuesser()
    first, second = (guesser.guess(START, ()) for _ in range(2))

    def turn(call_id, arguments, content, **others):
        function = {"name": "look", "arguments": arguments}
        call = {"id": call_id, "type": "function", "function": function}
        return {"role": "assistant", "content": content, "tool_calls": [call], **others}

    guesser.answered(first, turn("c1", '{"a": 1, "b": 2}', None))
    guesser.answered(second, turn("c2", '{"a": 2}', None))
    sent = turn("c1", '{"b":2,"a":1}', "", reasoning_content="hm")
    result = {"role": "tool", "content": "x", "tool_call_id": "c1"}
    assert run_of(guesser, [*START, sent, result], ()) == first.run


def test_runs_that_got_the_same_answer_go_on_one_each():
    guesser = RunGuesser()

    def step(messages):
        guess = guesser.guess(messages, ())
        guesser.answered(guess, {"role": "assistant", "content": "the same"})
        return guess

    runs = {step(START).run for _ in range(3)}
    assert len(runs) == 3
    second, third = more(START, "the same", "go on"), more(START, "the same", "a", "the same", "b")
    assert {step(second).run for _ in range(3)} == runs
    # All have gone on: one more is a branch, of the newest.
    assert split_run(step(second).run)[1] == 3
    again = step(START).run
    assert [step(second).run, step(second).run] == [again, again]
    # A step that failed is tried again by the run whose step it was.
    other = guesser.guess(START, ())
    guesser.answered(other, {"role": "assistant", "content": "rare"})
    late = step(START).run
    failed = guesser.guess(second, ())
    assert failed.run == late
    guesser.unanswered(failed)
    assert step(second).run == late
    assert step(more(START, "rare", "go on")).run == other.run
    assert step(third).run in runs | {again, late}


def test_a_call_that_got_no_answer_begins_the_same_run_again():
    guesser = RunGuesser()
    first, _ = (guesser.guess(START, ()) for _ in range(2))
    guesser.unanswered(first)
    assert run_of(guesser, START, ("other",)) == first.run
    again = guesser.guess(START, ())
    assert again.run == first.run and again.first
    third = guesser.guess(START, ())
    assert split_run(third.run)[1] == 3
    # A chat that goes on without its answer keeps the run.
    guesser.unanswered(third)
    step = guesser.guess(more(START, "what had come of it", "b"), ())
    assert step.run == third.run and not step.first
    assert split_run(run_of(guesser, START, ()))[1] == 4
    # Nor does a later step give back what the first one took.
    guesser.unanswered(step)
    assert split_run(run_of(guesser, START, ()))[1] == 5


def test_memory_is_bounded():
    guesser = RunGuesser(capacity=3)
    first = run_of(guesser, START, ())
    for number in range(5):
        guess = guesser.guess([{"role": "user", "content": str(number)}], ())
        guesser.answered(guess, {"role": "assistant", "content": "a"})
    assert len(guesser._runs) == len(guesser._repeats) == len(guesser._answers) == 3
    assert split_run(run_of(guesser, more(START, "a", "b"), ()))[0] != split_run(first)[0]


@given(st.lists(st.text(), min_size=1, max_size=6), st.integers(1, 5))
def test_any_longer_chat_belongs_to_the_run_it_extends(texts, length):
    guesser = RunGuesser()
    chat = [{"role": "user", "content": text} for text in texts]
    beginning = chat[: min(length, len(chat))]
    run = run_of(guesser, beginning, ())
    if len(chat) > len(beginning):
        assert run_of(guesser, chat, ()) == run


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


@pytest.mark.parametrize("stream", [False, True])
def test_two_users_who_begin_alike_are_two_runs(served, client, trace_file, stream):
    start = [{"role": "user", "content": f"Hi, stream {stream}."}]

    def ask(messages, seed):
        asked = {"model": MODEL, "messages": messages, "seed": seed, "max_tokens": 8}
        if not stream:
            return client.chat.completions.create(**asked).choices[0].message.content
        chunks = client.chat.completions.create(**asked, stream=True)
        return "".join(chunk.choices[0].delta.content or "" for chunk in chunks)

    before = len(steps(trace_file))
    answers = [ask(start, seed) for seed in (1, 2)]
    assert answers[0] != answers[1]
    for answer in answers:
        ask([*start, {"role": "assistant", "content": answer}, *start], 3)
    first, second, first_again, second_again = steps(trace_file)[before:]
    assert first["repeat"] != second["repeat"]
    for one, two in ((first, first_again), (second, second_again)):
        assert (one["run"], one["repeat"]) == (two["run"], two["repeat"])
        assert (one["step"], two["step"]) == (1, 2)


def test_a_chat_that_fails_takes_no_repetition(served, client, trace_file, monkeypatch):
    def ask(**more):
        chat = [{"role": "user", "content": "A task that fails at first."}]
        return served.chat(**{"messages": chat, "max_tokens": 2, **more})

    assert ask(response_format={"type": "json_schema"}).status_code == 400
    assert ask(max_tokens=4000, prediction={"type": "content", "content": 5}).status_code == 400
    bad = {"type": "json_schema", "json_schema": {"name": "x", "schema": {"type": "nothing"}}}
    assert ask(response_format=bad).status_code == 400
    assert ask(agentspark={"speculation": "dspark", "share_prefix": False}).status_code == 200
    long = {"max_tokens": 1500, "ignore_eos": True, "headers": {"x-agentspark-timeout": "0.1"}}
    assert ask(**long).status_code == 504

    def broken(request):
        raise EngineError("The loop is broken.")

    with monkeypatch.context() as patched:
        patched.setattr(served.engine, "submit", broken)
        assert ask().status_code == 503
    assert ask().status_code == 200
    assert steps(trace_file)[-1]["repeat"] == 1
    assert ask().status_code == 200
    assert steps(trace_file)[-1]["repeat"] == 2


@pytest.mark.parametrize("seed", [None, 3])
def test_the_choices_of_a_call_are_one_step(served, trace_file, seed):
    headers = {"x-agentspark-run": f"choices-{seed}"}
    before = len(steps(trace_file))
    served.chat(n=3, seed=seed, headers=headers)
    served.chat(headers=headers)
    asked = {"model": MODEL, "prompt": ["a", "b"], "n": 2, "max_tokens": 2}
    served.post("/v1/completions", json=asked, headers=headers)
    assert [r["step"] for r in steps(trace_file)[before:]] == [1] * 3 + [2] + [3] * 4


def test_labels_come_from_headers_and_metadata(served, trace_file):
    served.chat(
        metadata={"agentspark_run": "meta", "agentspark_step": "4", "other": "kept"},
        headers={"x-agentspark-step-name": "look", "x-agentspark-step-kind": "tool"},
    )
    served.chat(
        metadata={"agentspark_run": "meta"},
        headers={"x-agentspark-run": "Übung".encode(), "x-agentspark-parent": b"\xfc"},
    )
    served.chat(
        metadata={"agentspark_run": "meta", "agentspark_arm": "baseline"},
        headers={"x-agentspark-run": ""},
    )
    first, second, third = steps(trace_file)[-3:]
    assert (third["run"], third["arm"]) == ("meta", "baseline")
    assert third["options"]["speculation"] == "off"
    assert (first["run"], first["step"]) == ("meta", 4)
    assert (first["step_name"], first["step_kind"]) == ("look", "tool")
    assert (second["run"], second["parent"], second["step"]) == ("Übung", "ü", 1)


def test_a_request_that_switches_parts_off_is_in_no_arm(served, trace_file):
    served.chat(agentspark={"speculation": "off"})
    assert steps(trace_file)[-1]["arm"] is None
    assert steps(trace_file)[-1]["options"]["speculation"] == "off"
