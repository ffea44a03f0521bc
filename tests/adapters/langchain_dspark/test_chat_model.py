"""ChatDSpark over a real engine with a tiny random target."""

from __future__ import annotations

import asyncio
import json
from contextlib import aclosing

import pytest
from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.messages import (
    AIMessage,
    HumanMessage,
    SystemMessage,
    ToolMessage,
    trim_messages,
)
from pydantic import ValidationError

from agentspark.config import EngineConfig
from agentspark.errors import (
    ContextLengthError,
    InvalidRequestError,
    ModelNotFoundError,
    RequestTimeoutError,
)
from langchain_dspark import ChatDSpark, local
from langchain_dspark.call import build_call

CONVERSATION = [SystemMessage("Be brief."), HumanMessage("What does an agent read?")]


def whole(chunks):
    chunks = list(chunks)
    total = chunks[0]
    for chunk in chunks[1:]:
        total += chunk
    return chunks, total


def test_the_answer_carries_usage_and_figures(chat):
    answer = chat.invoke(CONVERSATION)
    assert isinstance(answer, AIMessage)
    usage, said = answer.usage_metadata, answer.response_metadata
    assert usage["output_tokens"] == 12
    assert usage["total_tokens"] == usage["input_tokens"] + 12
    assert 0 <= usage["input_token_details"]["cache_read"] < usage["input_tokens"]
    assert said["finish_reason"] == "length"
    assert said["model_provider"] == "agentspark"
    assert said["model_name"].startswith("tiny-llama")
    figures = said["speculation"]
    assert sum(figures["accepted_histogram"]) == figures["rounds"]
    assert figures["accepted_length"] == pytest.approx(11 / figures["rounds"])
    assert said["timings"]["total_ms"] >= said["timings"]["ttft_ms"] > 0


def test_a_stream_brings_the_same_text_and_ends_with_the_figures(chat):
    chunks, total = whole(chat.stream(CONVERSATION))
    answer = chat.invoke(CONVERSATION)
    assert total.content == answer.content
    assert total.usage_metadata["output_tokens"] == answer.usage_metadata["output_tokens"]
    assert [c.chunk_position for c in chunks[:-1]] == [None] * (len(chunks) - 1)
    assert chunks[-1].chunk_position == "last"
    assert all(not c.response_metadata and c.usage_metadata is None for c in chunks[:-1])
    assert len(chunks) > 1
    assert total.response_metadata["finish_reason"] == "length"


async def test_async_gives_what_sync_gives(chat):
    expected = chat.invoke(CONVERSATION)
    answer = await chat.ainvoke(CONVERSATION)
    assert answer.content == expected.content
    text = ""
    async for chunk in chat.astream(CONVERSATION):
        text += chunk.text
    assert text == expected.content


def test_a_batch_gives_what_one_after_the_other_gives(chat):
    prompts = [f"File {number} holds" for number in range(5)]
    together = [answer.content for answer in chat.batch(prompts)]
    assert together == [chat.invoke(prompt).content for prompt in prompts]


async def test_an_async_batch_gives_the_same(chat):
    prompts = [f"Note {number} says" for number in range(4)]
    together = [answer.content for answer in await chat.abatch(prompts)]
    assert together == [chat.invoke(prompt).content for prompt in prompts]


def test_callbacks_get_every_chunk_as_it_comes(chat):
    class Listener(BaseCallbackHandler):
        def __init__(self):
            self.chunks = []

        def on_llm_new_token(self, token, *, chunk=None, **kwargs):
            self.chunks.append(chunk)

    listener = Listener()
    chunks = list(chat.stream(CONVERSATION, config={"callbacks": [listener]}))
    assert [c.message for c in listener.chunks] == chunks


def test_streaming_true_makes_invoke_stream(chat, tiny_name):
    seen = []

    class Listener(BaseCallbackHandler):
        def on_llm_new_token(self, token, **kwargs):
            seen.append(token)

    with ChatDSpark(model=tiny_name, drafter=None, max_tokens=12, streaming=True) as streaming:
        answer = streaming.invoke(CONVERSATION, config={"callbacks": [Listener()]})
    assert "".join(seen) == answer.content == chat.invoke(CONVERSATION).content


def test_arguments_of_the_call_win(chat):
    assert chat.invoke("a", max_tokens=3).usage_metadata["output_tokens"] == 3
    assert chat.invoke("a", max_completion_tokens=4).usage_metadata["output_tokens"] == 4
    assert chat.bind(max_tokens=5).invoke("a").usage_metadata["output_tokens"] == 5
    texts = {
        chat.invoke("a", temperature=2.0, seed=seed, max_tokens=8).content for seed in (1, 1, 2, 3)
    }
    assert 2 <= len(texts) <= 3


def test_a_stop_text_ends_the_answer_before_it(chat, tiny_name):
    text = chat.invoke(CONVERSATION).content
    stop = text[len(text) // 2 :][:2]
    answer = chat.invoke(CONVERSATION, stop=[stop])
    assert answer.content == text[: text.index(stop)]
    assert chat.invoke(CONVERSATION, stop=stop).content == answer.content
    assert answer.response_metadata["finish_reason"] == "stop"
    with ChatDSpark(model=tiny_name, drafter=None, max_tokens=12, stop=stop) as stopping:
        assert stopping.invoke(CONVERSATION).content == answer.content
        assert stopping.invoke(CONVERSATION, stop=["\x00"]).content == text


def test_speculation_and_sharing_do_not_change_the_answer(chat):
    prompt = [HumanMessage("The cache keeps the keys and values. " * 4)]
    expected = chat.invoke(prompt, max_tokens=24, speculation="off", share_prefix=False)
    assert expected.usage_metadata["input_token_details"]["cache_read"] == 0
    for given in ({}, {"speculation": "suffix", "verify": "full"}, {"verify": 2}):
        chat.invoke(prompt, max_tokens=24, **given)
        again = chat.invoke(prompt, max_tokens=24, **given)
        assert again.content == expected.content
        assert again.usage_metadata["input_token_details"]["cache_read"] > 0


def test_callers_with_different_keys_do_not_share_prefixes(tiny_name):
    prompt = [HumanMessage("Each branch of a run shares its blocks with its siblings. " * 3)]

    def cached(**given):
        answer = ChatDSpark(model=tiny_name, drafter=None, max_tokens=1, **given).invoke(prompt)
        return answer.usage_metadata["input_token_details"]["cache_read"]

    assert cached(api_key="one") == 0
    assert cached(api_key="one") > 0
    assert cached(api_key="two") == 0
    assert cached(api_key="two", cache_salt="team") == 0
    assert cached(api_key="one", cache_salt="team") > 0


def test_every_call_leaves_a_record_with_its_labels(tiny_name, tmp_path):
    trace = tmp_path / "trace.jsonl"
    metadata = {"agentspark_run": "r", "agentspark_step": 1, "agentspark_step_name": "one"}
    with ChatDSpark(
        model=tiny_name,
        drafter=None,
        max_tokens=2,
        trace=trace,
        metadata={"agentspark_arm": "baseline"},
    ) as model:
        model.invoke("a", config={"metadata": metadata})
        list(model.stream("a", config={"metadata": metadata | {"agentspark_step": 2}}))
        asyncio.run(model.ainvoke("a", labels={"run": "r", "step": 3, "parent": "p"}))
    records = [json.loads(line) for line in trace.read_text().splitlines()]
    assert [(r["run"], r["step"], r["step_name"], r["parent"], r["arm"]) for r in records] == [
        ("r", 1, "one", None, "baseline"),
        ("r", 2, "one", None, "baseline"),
        ("r", 3, None, "p", "baseline"),
    ]


@pytest.mark.parametrize("asked", [False, True])
def test_records_carry_token_ids_where_they_are_asked_for(tiny_name, tmp_path, asked):
    trace = tmp_path / "trace.jsonl"
    with ChatDSpark(
        model=tiny_name, drafter=None, max_tokens=2, trace=trace, trace_tokens=asked
    ) as model:
        model.invoke("a")
    (record,) = [json.loads(line) for line in trace.read_text().splitlines()]
    assert ("prompt_token_ids" in record, "output_token_ids" in record) == (asked, asked)


def test_a_call_that_takes_too_long_ends_with_an_error_and_frees_the_engine(chat):
    with pytest.raises(RequestTimeoutError, match=r"timeout of 0\.01 s"):
        chat.invoke(CONVERSATION, timeout=0.01, max_tokens=1500)
    with pytest.raises(RequestTimeoutError, match=r"timeout of 0\.01 s"):
        asyncio.run(chat.ainvoke(CONVERSATION, timeout=0.01, max_tokens=1500))
    assert chat.invoke(CONVERSATION, timeout=60).usage_metadata["output_tokens"] == 12


async def test_an_answer_that_is_there_in_time_may_be_read_late(chat, monkeypatch):
    handles, late = [], []
    submit = local._submit

    def submitting(engine, call):
        handles.append(submit(engine, call))
        return handles[-1]

    async def read():
        chunks = []
        async for chunk in chat.astream(CONVERSATION, timeout=30):
            chunks.append(chunk)
            while not handles[0].done:  # the whole answer waits to be read
                await asyncio.sleep(0.01)
            late[0]()  # and the time is over
        return chunks

    loop = asyncio.get_running_loop()
    call_later = loop.call_later

    def noting(delay, callback, *args, **kwargs):
        if delay == 30:
            late.append(callback)
        return call_later(delay, callback, *args, **kwargs)

    monkeypatch.setattr(local, "_submit", submitting)
    monkeypatch.setattr(loop, "call_later", noting)
    _, total = whole(await read())
    assert total.usage_metadata["output_tokens"] == 12


async def test_leaving_a_stream_early_cancels_its_request(tiny_name, tmp_path):
    trace = tmp_path / "trace.jsonl"
    long = {"max_tokens": 1500}
    with ChatDSpark(model=tiny_name, drafter=None, trace=trace) as model:
        stream = model.stream(CONVERSATION, labels={"run": "sync"}, **long)
        next(stream)
        stream.close()
        async with aclosing(model.astream(CONVERSATION, labels={"run": "async"}, **long)) as chunks:
            await anext(chunks)
        for _ in range(100):
            records = [json.loads(line) for line in trace.read_text().splitlines()]
            if len(records) == 2:
                break
            await asyncio.sleep(0.1)
    assert {r["run"]: r["finish_reason"] for r in records} == {
        "sync": "cancelled",
        "async": "cancelled",
    }


def test_wrong_arguments_are_named(chat):
    with pytest.raises(InvalidRequestError, match="'functions'") as caught:
        chat.invoke("a", functions=[])
    assert caught.value.param == "functions"
    with pytest.raises(InvalidRequestError, match="max_tokens"):
        chat.invoke("a", max_tokens=0)
    with pytest.raises(InvalidRequestError, match="timeout=0"):
        chat.invoke("a", timeout=0)
    with pytest.raises(InvalidRequestError, match="temperature"):
        chat.invoke("a", temperature=float("nan"))
    with pytest.raises(InvalidRequestError, match="empty"):
        chat.invoke([])
    with pytest.raises(ContextLengthError):
        chat.invoke("word " * 3000)
    for own in (
        {"drafter": None},
        {"trace_tokens": True},
        {"engine_config": EngineConfig()},
    ):
        with pytest.raises(ValidationError, match="the server's to choose"):
            ChatDSpark(base_url="http://localhost", **own)
    with pytest.raises(ValidationError, match="timeout"):
        ChatDSpark(timeout=0)


def test_a_model_that_is_not_there_is_an_error_of_the_call_not_of_making_it(tmp_path):
    model = ChatDSpark(model=str(tmp_path / "none"))
    with pytest.raises(ModelNotFoundError):
        model.invoke("a")


def test_the_model_of_a_call_can_be_another(chat, tiny_qwen3_dir):
    answer = chat.invoke("a", model=str(tiny_qwen3_dir))
    assert answer.response_metadata["model_name"].startswith("tiny-qwen3")
    assert chat._get_ls_params(model="other")["ls_model_name"] == "other"
    assert chat._get_ls_params()["ls_provider"] == "agentspark"


def test_tokens_are_counted_with_the_models_own_tokenizer(chat):
    used = chat.invoke(CONVERSATION).usage_metadata["input_tokens"]
    assert chat.get_num_tokens_from_messages(CONVERSATION) == used
    assert 0 < chat.get_num_tokens("Be brief.") < used


def test_parts_of_a_chat_are_counted_too(chat):
    """LangChain trims a chat by counting its ends, results without their calls among them."""
    call = {"name": "read_file", "args": {"path": "src/main.py"}, "id": "c"}
    work = [AIMessage("", tool_calls=[call]), ToolMessage("It is empty.", tool_call_id="c")]
    messages = [*CONVERSATION, *work, AIMessage("Nothing."), HumanMessage("And now?")]
    assert chat.get_num_tokens_from_messages([]) == 0
    counts = [chat.get_num_tokens_from_messages(messages[start:]) for start in range(6)]
    assert counts == sorted(counts, reverse=True)
    kept = [
        len(trim_messages(messages, max_tokens=room, token_counter=chat)) for room in counts[2:]
    ]
    assert kept == [4, 3, 2, 1]


def test_what_is_written_down_can_be_read_back():
    from langchain_core._api import suppress_langchain_beta_warning
    from langchain_core.load import dumpd, load

    model = ChatDSpark(
        drafter=None,
        share_prefix=False,
        max_completion_tokens=7,
        api_key="hush-hush",
        engine_config=EngineConfig(dtype="float32", kv_tokens=4096),
    )
    written = dumpd(model)
    assert "hush-hush" not in json.dumps(written)
    with suppress_langchain_beta_warning():
        again = load(
            written,
            valid_namespaces=["langchain_dspark"],
            allowed_objects="all",
            secrets_map={"AGENTSPARK_API_KEY": "hush-hush"},
        )
    assert again == model
    assert again.engine_config == model.engine_config


def test_the_profile_knows_the_context_without_loading(tiny_name):
    assert ChatDSpark(model=tiny_name).profile["max_input_tokens"] == 2048
    assert ChatDSpark().profile["max_input_tokens"] == 8192
    assert "max_input_tokens" not in ChatDSpark(model="some/model").profile


def test_fields_left_alone_leave_the_engines_defaults():
    call = build_call(ChatDSpark(), [], None, {}, {"stream": True})
    assert call.sampling.max_tokens == 256
    assert call.sampling.stop == ()
    assert call.options.cache_salt is None
