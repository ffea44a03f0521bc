"""Errors of calls are of agentspark's classes and of LangChain's."""

from __future__ import annotations

import asyncio
import pickle

import pytest
from langchain.agents import create_agent
from langchain.agents.middleware import ModelRetryMiddleware, SummarizationMiddleware
from langchain_core import exceptions
from langchain_core.messages import AIMessage, HumanMessage

from agentspark import errors
from langchain_dspark import ChatDSpark
from langchain_dspark.errors import langchain_errors

STATUS = errors.RemoteStatusError
LONG = "An agent reads a file. " * 600


@pytest.mark.parametrize("stream", [False, True])
def test_a_prompt_that_is_too_long_overflows_the_context(chat, stream):
    with pytest.raises(exceptions.ContextOverflowError) as caught:
        list(chat.stream(LONG)) if stream else chat.invoke(LONG)
    assert isinstance(caught.value, errors.ContextLengthError)
    with pytest.raises(exceptions.ContextOverflowError):
        asyncio.run(anext(chat.astream(LONG)) if stream else chat.ainvoke(LONG))


def test_a_server_says_so_too(served):
    with ChatDSpark(model="tiny", base_url=served.url + "/v1") as remote:
        with pytest.raises(exceptions.ContextOverflowError):
            remote.invoke(LONG)
        with pytest.raises(exceptions.ModelInvalidRequestError) as caught:
            remote.invoke("x", top_p=2.0)
    assert isinstance(caught.value, errors.InvalidRequestError) and caught.value.param == "top_p"


def test_a_summary_of_too_much_is_made_of_less(chat):
    """Not refused: LangChain cuts its middle out and asks again."""
    short = SummarizationMiddleware(
        chat,
        trigger=("messages", 3),
        keep=("messages", 1),
        trim_tokens_to_summarize=None,
        summary_prompt="Sum up: {messages}",
    )
    agent = create_agent(chat, middleware=[short])
    said = [HumanMessage(LONG[:8000]), AIMessage(LONG[:400]), HumanMessage("What does it read?")]
    told = agent.invoke({"messages": said})["messages"]
    assert told[0].additional_kwargs["lc_source"] == "summarization"


def test_what_is_refused_is_not_asked_again(chat, monkeypatch):
    asked = []
    monkeypatch.setattr(
        "langchain_dspark.local.chat_format",
        lambda call: asked.append(call) or (_ for _ in ()).throw(errors.InvalidRequestError("no")),
    )
    retry = ModelRetryMiddleware(max_retries=2, initial_delay=0, on_failure="error")
    with pytest.raises(errors.InvalidRequestError):
        create_agent(chat, middleware=[retry]).invoke({"messages": "hi"})
    assert len(asked) == 1


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (errors.KVCapacityError("x"), exceptions.ContextOverflowError),
        (errors.RequestTimeoutError("x"), exceptions.ModelTimeoutError),
        (errors.ModelNotFoundError("x"), exceptions.ModelNotFoundError),
        (errors.RemoteConnectionError("x"), exceptions.ModelConnectionError),
        (STATUS("x", status=401), exceptions.ModelAuthenticationError),
        (STATUS("x", status=403), exceptions.ModelPermissionDeniedError),
        (STATUS("x", status=429, retry_after_s=2.0), exceptions.ModelRateLimitError),
        (STATUS("x", status=503), exceptions.ModelAPIError),
        (STATUS("x", status=None), exceptions.ModelAPIError),
    ],
)
def test_each_is_both_and_says_the_same(error, kind):
    with pytest.raises(kind) as caught, langchain_errors():
        raise error from ValueError("why")
    assert isinstance(caught.value, type(error))
    assert str(caught.value) == "x" and vars(caught.value) == vars(error)
    assert isinstance(caught.value.__cause__, ValueError)


def test_they_pass_between_processes():
    with pytest.raises(errors.InvalidRequestError) as caught, langchain_errors():
        raise errors.InvalidRequestError("x", param="stop")
    again = pickle.loads(pickle.dumps(caught.value))
    assert type(again) is type(caught.value) and again.param == "stop"


def test_a_dead_engine_is_only_ours():
    with pytest.raises(errors.EngineDiedError) as caught, langchain_errors():
        raise errors.EngineDiedError("x")
    assert type(caught.value) is errors.EngineDiedError
