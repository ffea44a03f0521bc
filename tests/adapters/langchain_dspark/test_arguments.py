"""What a call is given is obeyed or refused by its name, wherever the model runs."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from agentspark.errors import InvalidRequestError
from langchain_dspark import ChatDSpark
from langchain_dspark.call import build_call
from langchain_dspark.tools import choice_of, tools_of

HERE = ChatDSpark()
THERE = ChatDSpark(base_url="http://127.0.0.1:9/v1", max_retries=0)


def look(path: str) -> str:
    """Look into a file."""
    return path


def jump(height: int) -> int:
    """Jump."""
    return height


TOOLS = tools_of([look, jump])


def built(chat, stop=None, **kwargs):
    return build_call(chat, [], stop, {}, kwargs)


@pytest.mark.parametrize("chat", [HERE, THERE], ids=["here", "there"])
@pytest.mark.parametrize(
    ("param", "wrong"),
    [
        ("stop", [5, [1], ["a", None], {"a": 1}]),
        ("timeout", ["3", True, 0, -1, float("nan"), float("inf"), 1e300]),
        ("labels", [5, "run", [("run", "r")]]),
        ("prediction", [5, {"type": "content", "content": "a"}]),
        ("model", [None, 5]),
        ("logit_bias", [5, {"a": 1}]),
        ("tool_choice", [["mul"], 5, "mul"]),
    ],
)
def test_a_wrong_type_is_named(chat, param, wrong):
    for value in wrong:
        with pytest.raises(InvalidRequestError) as caught:
            built(chat, **{param: value})
        assert caught.value.param == param, value


def test_a_drafter_is_a_name_here_and_refused_there():
    assert built(HERE, drafter=None).key.drafter is None
    with pytest.raises(InvalidRequestError, match="drafter=5"):
        built(HERE, drafter=5)
    for given in (None, "some/drafter"):
        with pytest.raises(InvalidRequestError, match="server's to choose"):
            THERE.invoke("a", drafter=given)


def test_one_limit_has_one_value():
    for given in ({"max_tokens": 3}, {"max_completion_tokens": 3}):
        assert built(HERE, **given).sampling.max_tokens == 3
    for given in ((3, 3), (None, 3), (3, None)):
        both = dict(zip(("max_tokens", "max_completion_tokens"), given, strict=True))
        assert built(HERE, **both).sampling.max_tokens == 3
    with pytest.raises(ValidationError, match="max_completion_tokens"):
        ChatDSpark(max_tokens=2, max_completion_tokens=9)
    for chat in (HERE, THERE):
        with pytest.raises(InvalidRequestError, match="not both") as caught:
            built(chat, max_tokens=2, max_completion_tokens=9)
        assert caught.value.param == "max_completion_tokens"


def test_the_models_own_choice_of_tools_holds_for_every_call_with_tools():
    named = {"type": "function", "function": {"name": "jump"}}
    for own, sent in (("any", "required"), ("required", "required"), ("jump", named)):
        chat = HERE.model_copy(update={"tool_choice": own})
        assert built(chat, tools=TOOLS).tool_choice == sent
        assert built(chat, tools=TOOLS, tool_choice="none").tool_choice == "none"
        assert built(chat).tool_choice is None
        free = chat.bind_tools([look, jump], tool_choice=False).kwargs
        assert built(chat, **free).tool_choice == "auto"
    assert built(HERE, tools=TOOLS, tool_choice="any").tool_choice == "required"
    with pytest.raises(InvalidRequestError, match="none of the tools: look, jump"):
        built(HERE.model_copy(update={"tool_choice": "mul"}), tools=TOOLS)
    assert choice_of(False, []) is None


def test_a_choice_of_the_model_is_obeyed(chat):
    own = chat.model_copy(update={"tool_choice": "required", "max_tokens": 200})
    assert own.invoke("a", tools=TOOLS).tool_calls
