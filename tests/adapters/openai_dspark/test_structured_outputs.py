"""``structured_outputs`` as vLLM has it, and what it was called before."""

from __future__ import annotations

import json
import re

import pytest
from jsonschema import validate

from ..serving import MODEL

SCHEMA = {
    "type": "object",
    "properties": {"path": {"type": "string", "maxLength": 8}, "lines": {"type": "integer"}},
    "required": ["path", "lines"],
}
LARK = 'start: "say" WORD+ "."\nWORD: / [a-c]{1,3}/'
GBNF = 'root ::= "yes" | "no" item\nitem ::= [0-9]+'


def said(served, path="/v1/chat/completions", **outputs):
    given = {"prompt": "a"} if path.endswith("/completions") and "chat" not in path else {}
    body = {"model": MODEL, "temperature": 1.0, "seed": 3, "max_tokens": 60, **given}
    if not given:
        body["messages"] = [{"role": "user", "content": "a"}]
    answer = served.post(path, json={**body, "structured_outputs": outputs})
    assert answer.status_code == 200, answer.text
    (choice,) = answer.json()["choices"]
    return choice["text"] if given else choice["message"]["content"]


@pytest.mark.parametrize("path", ["/v1/chat/completions", "/v1/completions"])
def test_a_text_is_what_it_has_to_be(served, path):
    validate(json.loads(said(served, path, json=SCHEMA)), SCHEMA)
    validate(json.loads(said(served, path, json=json.dumps(SCHEMA))), SCHEMA)
    assert isinstance(json.loads(said(served, path, json_object=True)), dict)
    assert re.fullmatch("[ab]{3}", said(served, path, regex="[ab]{3}"))
    assert said(served, path, choice=["left", "right"]) in ("left", "right")
    assert re.fullmatch(r"say( [a-c]{1,3})+\.", said(served, path, grammar=LARK))
    assert re.fullmatch(r"yes|no[0-9]+", said(served, path, grammar=GBNF))
    # What asks for nothing.
    assert said(served, path, json_object=False, regex=None, structural_tag=None)


def test_a_call_may_come_instead_of_a_text_of_a_grammar(served):
    look = {"type": "function", "function": {"name": "look", "parameters": SCHEMA}}
    for choice in ("auto", "required"):
        answer = served.chat(
            tools=[look], tool_choice=choice, max_tokens=80, parallel_tool_calls=False,
            structured_outputs={"grammar": LARK},
        ).json()["choices"][0]["message"]  # fmt: skip
        if answer.get("tool_calls"):
            validate(json.loads(answer["tool_calls"][0]["function"]["arguments"]), SCHEMA)
        else:
            assert choice == "auto"
            assert re.fullmatch(r"say( [a-c]{1,3})+\.", answer["content"])


BAD = [
    ({"structured_outputs": {"json": {"type": 5}}}, "structured_outputs.json", ""),
    ({"structured_outputs": {"json": "{"}}, "structured_outputs.json", "no JSON"),
    ({"structured_outputs": {"json": "5"}}, "structured_outputs.json", "schema"),
    ({"structured_outputs": {"json": "NaN"}}, "structured_outputs.json", "no JSON"),
    ({"structured_outputs": {"json": []}}, "structured_outputs.json", ""),
    ({"structured_outputs": {"regex": "("}}, "structured_outputs.regex", ""),
    ({"structured_outputs": {"grammar": ""}}, "structured_outputs.grammar", ""),
    ({"structured_outputs": {"grammar": "start: ("}}, "structured_outputs.grammar", ""),
    ({"structured_outputs": {"grammar": "begin: /a/"}}, "structured_outputs.grammar", "start"),
    ({"structured_outputs": {"grammar": "root ::= ("}}, "structured_outputs.grammar", "GBNF"),
    ({"structured_outputs": {"grammar": "root ::= other"}}, "structured_outputs.grammar", ""),
    ({"structured_outputs": {"grammar": "root ::= " + "(" * 5000}}, "structured_outputs.grammar",
     ""),
    ({"structured_outputs": {"grammar": "start: a\na: \"x\" a"}}, "structured_outputs.grammar", ""),
    ({"structured_outputs": {"grammar": "start: /a/\n}\nb: /b/"}}, "structured_outputs.grammar",
     ""),
    ({"structured_outputs": {"grammar": "x" * 200_000}}, "structured_outputs.grammar", "100,000"),
    ({"structured_outputs": {"structural_tag": "{}"}}, "structured_outputs.structural_tag", ""),
    ({"structured_outputs": {"json": {}, "grammar": LARK}}, "structured_outputs.grammar",
     "combined"),
    ({"structured_outputs": {"json": {}, "json_object": True}}, "structured_outputs.json_object",
     "combined"),
    ({"structured_outputs": {"json": {}}, "response_format": {"type": "json_object"}},
     "structured_outputs.json", "combined"),
    ({"guided_json": {}, "guided_regex": "a"}, "guided_regex", "use structured_outputs.regex"),
    ({"guided_json": {"type": "object"}}, "guided_json", "use structured_outputs.json"),
    ({"guided_choice": ["a"]}, "guided_choice", "use structured_outputs.choice"),
    ({"guided_grammar": LARK}, "guided_grammar", "use structured_outputs.grammar"),
    ({"functions": [{"name": "f"}]}, "functions", "use tools"),
    ({"unheard_of": 1}, "unheard_of", "leave it out"),
]  # fmt: skip


@pytest.mark.parametrize(("body", "param", "says"), BAD, ids=lambda value: str(value)[:60])
def test_what_cannot_be_done_is_named(served, body, param, says):
    answer = served.chat(**body)
    assert answer.status_code == 400, answer.text
    error = answer.json()["error"]
    assert error["param"] == param
    assert param.rpartition(".")[2] in error["message"]
    assert says in error["message"]
    assert "strict=false" not in error["message"]


def test_a_grammar_may_end_with_a_control_token(served):
    for grammar in ("start: /a/ <[2]>", "start: <|im_end|> /a/", 'start: "a" <[2]> "b"'):
        answer = served.chat(structured_outputs={"grammar": grammar})
        assert answer.status_code == 200, answer.text
    assert served.settled()


NESTED = 'start: "(" start ")" | "(" /[a-c]+/ ")"'


@pytest.mark.parametrize("limit", [6, 12, 40])
def test_a_text_of_a_grammar_is_the_same_in_both_arms_and_is_closed(served, limit):
    outputs = {"grammar": NESTED}
    answers = [
        served.chat(
            model=model, max_tokens=limit, temperature=1.0, seed=5, structured_outputs=outputs
        ).json()["choices"][0]["message"]["content"]
        for model in (MODEL, f"{MODEL}:baseline")
    ]
    assert answers[0] == answers[1]
    assert re.fullmatch(r"\(+[a-c]+\)+", answers[0])
    assert answers[0].count("(") == answers[0].count(")")
