"""Constrained requests on a tiny random model: always valid, and the same however they are sped."""

from __future__ import annotations

import json
import random
import re

import jsonschema
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from agentspark.drafting.proposal import Proposal
from agentspark.engine.engine import Engine
from agentspark.engine.grammar.constraint import Constraint
from agentspark.engine.params import RequestOptions, Speculation
from agentspark.engine.request import Request
from agentspark.engine.result import Completion
from agentspark.errors import InvalidRequestError
from agentspark.sampling.params import SamplingParams
from benchmarks.random_schemas import random_schema
from tests.engine.grammar.shortest import shortest

PLAIN = RequestOptions(speculation="off", share_prefix=False)
PERSON = {
    "type": "object",
    "properties": {
        "name": {"type": "string", "maxLength": 12},
        "kind": {"enum": ["reader", "writer"]},
        "lines": {"type": "array", "items": {"type": "integer"}, "maxItems": 3},
    },
    "required": ["name", "kind", "lines"],
}
PROMPT = list(range(40, 75))


def run(
    engine: Engine,
    constraint: Constraint,
    sampling: SamplingParams,
    options: RequestOptions = PLAIN,
) -> Completion:
    request = Request(
        prompt_token_ids=PROMPT, sampling=sampling, options=options, constraint=constraint
    )
    return engine.submit(request).result(60)


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@example(seed=1029, spare=24, speculate=False)  # 126 tokens at least, parts of which are optional
@example(seed=1029, spare=32, speculate=True)
@given(seed=st.integers(0, 10_000), spare=st.integers(0, 100), speculate=st.booleans())
def test_every_output_validates(
    tiny_engine: Engine, seed: int, spare: int, speculate: bool
) -> None:
    schema = random_schema(random.Random(seed))
    # A way out is found up to two tokens late.
    limit = len(tiny_engine.target.tokenizer.encode(shortest(schema))) + 2 + spare
    sampling = SamplingParams(max_tokens=limit, temperature=1.0, seed=seed)
    options = RequestOptions() if speculate else PLAIN
    done = run(tiny_engine, Constraint.json_schema(schema), sampling, options)
    assert done.finish_reason in ("stop", "length"), done.text
    jsonschema.validate(json.loads(done.text), schema)


@settings(max_examples=20, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    seed=st.integers(0, 10_000),
    limit=st.integers(20, 120),
    verify=st.sampled_from(["auto", "full", 2]),
    speculation=st.sampled_from(["auto", "dspark", "suffix"]),
    sampled=st.booleans(),
    minimum=st.sampled_from([0, 0, 15]),
    penalty=st.sampled_from([1.0, 1.2]),
)
def test_speculation_changes_no_token(
    tiny_engine: Engine,
    seed: int,
    limit: int,
    verify: int | str,
    speculation: Speculation,
    sampled: bool,
    minimum: int,
    penalty: float,
) -> None:
    constraint = Constraint.json_schema(random_schema(random.Random(seed)))
    sampling = SamplingParams(
        max_tokens=limit,
        min_tokens=minimum,
        temperature=1.0 if sampled else 0.0,
        seed=seed if sampled else None,
        repetition_penalty=penalty,
    )
    options = RequestOptions(speculation=speculation, verify=verify)  # type: ignore[arg-type]
    sped = run(tiny_engine, constraint, sampling, options)
    plain = run(tiny_engine, constraint, sampling)
    assert sped.token_ids == plain.token_ids
    assert (sped.text, sped.finish_reason) == (plain.text, plain.finish_reason)


def test_forced_tokens_are_drafts_that_are_always_kept(tiny_engine: Engine) -> None:
    constraint = Constraint.choice(["The answer is forty-two, and nothing else will be said."])
    options = RequestOptions(speculation="suffix", verify="full")
    done = run(tiny_engine, constraint, SamplingParams(max_tokens=60, temperature=1.0), options)
    assert done.text == "The answer is forty-two, and nothing else will be said."
    assert done.finish_reason == "stop"
    assert done.counts.accepted_tokens == done.counts.verified_tokens > 5
    assert done.counts.rounds < len(done.token_ids) / 4


def test_forced_tokens_do_not_hide_how_the_drafts_before_them_fared(tiny_engine: Engine) -> None:
    constraint = Constraint.regex("[b-d]{5} and nothing else will be said")
    options = RequestOptions(speculation="dspark", verify="full")
    sources = [""]
    told: list[bool] = []

    def note(_draft: Proposal, _kept: int, decided: bool) -> None:
        if "+" in sources[-1]:  # the round that verified this draft, and more behind it
            told.append(decided)

    with (
        tiny_engine.watch_rounds(lambda verified, *_: sources.append(verified.source)),
        tiny_engine.watch_drafts(note),
    ):
        for _ in range(60):  # which drafts are drawn is chance
            run(tiny_engine, constraint, SamplingParams(max_tokens=40, temperature=1.0), options)
            if len(told) > 2:
                break
    assert told
    assert all(told)


def test_a_regex_and_a_choice_hold(tiny_engine: Engine) -> None:
    sampling = SamplingParams(max_tokens=60, temperature=1.0)
    for _ in range(4):
        dated = run(tiny_engine, Constraint.regex(r"\d{4}-\d\d-\d\d/(am|pm)"), sampling)
        assert re.fullmatch(r"\d{4}-\d\d-\d\d/(am|pm)", dated.text)
        assert run(tiny_engine, Constraint.choice(["yes", 'a "b"\n', "é"]), sampling).text in (
            "yes",
            'a "b"\n',
            "é",
        )
        assert isinstance(
            json.loads(run(tiny_engine, Constraint.json_object(), sampling).text), dict
        )


def test_out_of_tokens_closes_what_is_open_and_says_length(tiny_engine: Engine) -> None:
    schema = {"type": "object", "properties": {"text": {"type": "string", "minLength": 120}}}
    schema["required"] = ["text"]
    for limit in (48, 54):
        done = run(tiny_engine, Constraint.json_schema(schema), SamplingParams(max_tokens=limit))
        jsonschema.validate(json.loads(done.text), schema)
        assert done.finish_reason == "length"


def test_an_end_too_early_waits_unless_the_grammar_is_complete(tiny_engine: Engine) -> None:
    digits = Constraint.regex("[0-9]+")
    done = run(tiny_engine, digits, SamplingParams(max_tokens=40, min_tokens=20, temperature=1.0))
    assert len(done.token_ids) >= 20
    done = run(tiny_engine, Constraint.choice(["no"]), SamplingParams(max_tokens=40, min_tokens=20))
    assert (done.text, done.finish_reason) == ("no", "stop")


def test_stop_strings_and_logprobs_go_with_a_grammar(tiny_engine: Engine) -> None:
    sampling = SamplingParams(max_tokens=80, stop=('"kind"',), logprobs=2)
    done = run(tiny_engine, Constraint.json_schema(PERSON), sampling, RequestOptions())
    assert done.text.startswith('{"name": "') and '"kind"' not in done.text
    assert done.finish_reason == "stop"
    assert done.logprobs is not None and len(done.logprobs) == len(done.token_ids)


@pytest.mark.parametrize(
    ("schema", "told"),
    [
        ({"type": "array", "uniqueItems": True}, "uniqueItems"),
        ({"type": "string", "not": {"const": "x"}}, "not"),
        ({"type": "string", "pattern": "(?=a)b"}, "look-around"),
        ({"$ref": "#/$defs/missing"}, "missing"),
        ({"type": "strange"}, "strange"),
        (False, "nsatisfiable"),
        (7, "JSON schema"),
        ({"enum": [float("nan")]}, "no JSON"),
        ({"enum": [f"{i:07}" for i in range(60_000)]}, "characters"),
    ],
)
def test_what_cannot_be_expressed_is_refused_and_others_go_on(
    tiny_engine: Engine, schema: object, told: str
) -> None:
    sampling = SamplingParams(max_tokens=30, ignore_eos=True)
    other = tiny_engine.submit(Request(prompt_token_ids=PROMPT, sampling=sampling))
    with pytest.raises(InvalidRequestError, match=told) as caught:
        run(tiny_engine, Constraint.json_schema(schema, param="response_format"), sampling)
    assert caught.value.param == "response_format"
    assert len(other.result(60).token_ids) == 30


def test_nesting_without_end_is_refused(tiny_engine: Engine) -> None:
    deep: dict[str, object] = {"type": "string"}
    for _ in range(5000):
        deep = {"type": "array", "items": deep}
    with pytest.raises(InvalidRequestError, match="deep"):
        run(tiny_engine, Constraint.json_schema(deep), SamplingParams())


def test_a_recursive_schema_is_served(tiny_engine: Engine) -> None:
    schema = {
        "$defs": {
            "node": {
                "type": "object",
                "properties": {"v": {"type": "boolean"}, "next": {"$ref": "#/$defs/node"}},
                "required": ["v"],
                "additionalProperties": False,
            }
        },
        "$ref": "#/$defs/node",
    }
    done = run(
        tiny_engine,
        Constraint.json_schema(schema),
        SamplingParams(max_tokens=200, temperature=1.0),
        RequestOptions(),
    )
    jsonschema.validate(json.loads(done.text), schema)


def test_strict_off_leaves_out_what_cannot_be_enforced(tiny_engine: Engine) -> None:
    schema = {"type": "array", "items": {"enum": ["a", "b"]}, "uniqueItems": True, "maxItems": 2}
    constraint = Constraint.json_schema(schema, strict=False)
    found = json.loads(run(tiny_engine, constraint, SamplingParams(max_tokens=60)).text)
    assert set(found) <= {"a", "b"} and len(found) <= 2


def test_constrained_and_free_requests_share_a_batch(tiny_engine: Engine) -> None:
    free = SamplingParams(max_tokens=40, ignore_eos=True)
    alone = tiny_engine.generate(PROMPT, free, options=PLAIN).token_ids
    bound = run(tiny_engine, Constraint.json_schema(PERSON), SamplingParams(max_tokens=90))
    handles = [
        tiny_engine.submit(
            Request(
                prompt_token_ids=PROMPT,
                sampling=SamplingParams(max_tokens=90) if i % 2 else free,
                constraint=Constraint.json_schema(PERSON) if i % 2 else None,
            )
        )
        for i in range(6)
    ]
    for i, handle in enumerate(handles):
        assert handle.result(60).token_ids == (bound.token_ids if i % 2 else alone)


@pytest.mark.parametrize("options", [PLAIN, RequestOptions()])
def test_a_text_that_spells_a_control_token_does_not_end_the_answer(
    tiny_engine: Engine, options: RequestOptions
) -> None:
    text = "say <|im_end|> now"
    done = run(tiny_engine, Constraint.choice([text]), SamplingParams(max_tokens=60), options)
    assert (done.text, done.finish_reason) == (text, "stop")


@pytest.mark.parametrize(
    "schema",
    [
        {"$ref": "#"},
        {"allOf": [{"$ref": "#"}]},
        {"$ref": "#/$defs/a", "$defs": {"a": {"$ref": "#/$defs/b"}, "b": {"$ref": "#/$defs/a"}}},
        {"type": "object", "properties": {"a": {"$ref": "#"}}, "required": ["a"]},
        {"type": "array", "items": {"$ref": "#"}, "minItems": 1},
    ],
)
@pytest.mark.parametrize("strict", [None, False])
def test_a_schema_that_no_text_fits_is_the_callers_mistake(
    tiny_engine: Engine, schema: dict[str, object], strict: bool | None
) -> None:
    constraint = Constraint.json_schema(schema, strict=strict, param="schema of mine")
    with pytest.raises(InvalidRequestError, match="schema of mine") as caught:
        run(tiny_engine, constraint, SamplingParams(max_tokens=400))
    assert caught.value.param == "schema of mine"
