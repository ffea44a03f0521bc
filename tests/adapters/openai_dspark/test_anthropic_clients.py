"""What clients of Anthropic's API send beyond the plain: threads, hidden thoughts, eager tools."""

from __future__ import annotations

import json

import anthropic
import httpx
import pytest

from agentspark.engine.result import Completion, Counts, Delta, Timings
from agentspark.models.tools.answer import AnswerFormat
from agentspark.models.tools.reasoning import ReasoningFormat
from openai_dspark.server.anthropic.conversation import Conversation
from openai_dspark.server.anthropic.events import EventWriter
from openai_dspark.server.anthropic.reply import MessageHead, blocks_of
from openai_dspark.server.anthropic.thoughts import found, hidden
from openai_dspark.server.anthropic.translate import Means, translate
from openai_dspark.wire.anthropic_request import AnthropicPrompt

from ..serving import MODEL

CHAT = [{"role": "user", "content": "What does an agent read?"}]
ASKED = {"model": MODEL, "max_tokens": 60, "messages": CHAT}
LOOK = {
    "name": "look",
    "input_schema": {
        "type": "object",
        "properties": {"file": {"enum": ["a.py", "b.py"]}},
        "required": ["file"],
    },
}


def ask(served, **more):
    return httpx.post(f"{served.url}/v1/messages", json={**ASKED, **more}, timeout=60)


def test_a_thread_is_refused_so_that_clients_go_on_without_one(served):
    for thread in ({"type": "create"}, {"type": "continue", "previous_message_id": "msg_1"}):
        answer = ask(served, thread=thread, stream=True)
        error = answer.json()["error"]
        assert (answer.status_code, error["param"]) == (400, "thread")
        known = {"error_code": "thread_unsupported_request", "unsupported": ["thread"]}
        assert error["details"] == known
    assert "details" not in ask(served, max_tokens=0).json()["error"]


def test_the_packages_tool_runner_works(served, trace_file):
    looked = []

    @anthropic.beta_tool
    def look(deep: bool) -> str:
        """Look into the file."""
        looked.append(deep)
        return "nothing"

    headers = {"x-agentspark-run": "of a runner"}
    with anthropic.Anthropic(base_url=served.url, api_key="none", max_retries=0) as client:
        runner = client.beta.messages.tool_runner(
            **ASKED, tools=[look], tool_choice={"type": "any"}, max_iterations=2,
            extra_headers=headers,
        )  # fmt: skip
        usages = [message.usage for message in runner]
    assert len(looked) == len(usages) == 2
    assert usages[1].cache_read_input_tokens >= usages[0].input_tokens
    records = [json.loads(line) for line in trace_file.read_text().splitlines()]
    assert [r["step"] for r in records if r["run"] == "of a runner"] == [1, 2]


def test_tools_whose_input_comes_eagerly_are_taken(served):
    tool = {**LOOK, "eager_input_streaming": True}
    answer = ask(served, tools=[tool], tool_choice={"type": "any"}, stream=True)
    assert answer.status_code == 200, answer.text
    assert "input_json_delta" in answer.text


@pytest.mark.parametrize("display", ["omitted", "summarized", None])
def test_how_thoughts_are_shown_may_be_said_to_a_model_without_any(served, display):
    answer = ask(served, thinking={"type": "adaptive", "display": display})
    assert answer.status_code == 200, answer.text


def test_hidden_thoughts_come_back_from_their_signature():
    reader = AnswerFormat(None, ReasoningFormat("<think>", "</think>"), "optional").reader()
    parts = [reader.push(piece, 1, last=False) for piece in ("<think>só", " so</think>", "well")]
    parts.append(reader.push("", 0, last=True))
    completion = Completion(
        "req-1", "m", None, [1], [2], "", "stop", Counts(1), Timings(0.0), answer=reader.answer
    )

    class Call:
        number = "1"

    writer, events = EventWriter(MessageHead("m", hides_thoughts=True), Call()), []
    for part in parts:
        last = completion if part is parts[-1] else None
        events += list(writer.events(Delta([], "", None, last, part)))
    deltas = [event["delta"] for event in events if event["type"] == "content_block_delta"]
    assert deltas[0] == {"type": "signature_delta", "signature": hidden("só so")}
    assert "".join(delta["text"] for delta in deltas[1:]) == "well"
    thought, said = (b.to_dict() for b in blocks_of(completion, hides_thoughts=True))
    assert thought == {"type": "thinking", "thinking": "", "signature": hidden("só so")}
    turn = {"role": "assistant", "content": [thought, said]}
    made = Conversation.of(AnthropicPrompt(model="m", messages=[*CHAT, turn]))
    assert made.messages[1]["reasoning_content"] == "só so"
    assert made.messages[1]["content"] == "well"


def test_the_system_may_speak_between_turns():
    blocks = [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]
    later = [{"role": "system", "content": content} for content in ("c", blocks)]
    made = Conversation.of(AnthropicPrompt(model="m", messages=[*CHAT, *later], system="s"))
    assert [(m["role"], m["content"]) for m in made.messages] == [
        ("system", "s"), ("user", CHAT[0]["content"]), ("system", "c"), ("system", "a\n\nb"),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("effort", "reads", "made"),
    [("high", False, None), ("high", True, "high"), ("low", False, "low"), (None, True, None)],
)
def test_an_effort_of_the_usual_height_asks_for_nothing(effort, reads, made):
    body = AnthropicPrompt(model="m", messages=CHAT, output_config={"effort": effort})
    assert (
        translate(body, {}, Means(thinks="never", reads_effort=reads)).chat.reasoning_effort == made
    )


@pytest.mark.parametrize("signature", [None, "", "EqQBCgIYAhIM", "agentspark.%", "agentspark./w=="])
def test_signatures_of_other_servers_hold_no_thoughts(signature):
    assert found(signature) == ""
