"""Chats to token ids, so that a longer chat extends a shorter one's tokens."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

from agentspark.models.markers import Markers, any_of
from agentspark.models.messages import check_messages, strings_in
from agentspark.models.template import ChatTemplate, named_template, render_turns
from agentspark.models.text import TextTokenizer
from agentspark.models.tools.formats import ToolFormat, tool_format
from agentspark.models.tools.history import (
    arguments_as_text,
    check_calls,
    has_tools,
    short_id,
    turn_reasoning,
    turn_text,
    with_short_ids,
)
from agentspark.models.tools.prompt import in_plain_messages, with_tools
from agentspark.models.tools.reasoning import ReasoningFormat, reasoning_format
from agentspark.models.tools.tool import Tool
from agentspark.models.turns import Saying, Turn, TurnMemory, make_turn

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


class ChatTokenizer(TextTokenizer):
    """A target's tokenizer and chat template. Safe to use from several threads.

    ``hf`` is transformers' tokenizer. ``remembered`` bounds how many generated texts keep their
    tokens for later chats.
    """

    def __init__(self, hf: PreTrainedTokenizerBase, *, remembered: int = 2048) -> None:
        super().__init__(hf)
        self._memory = TurnMemory(remembered)
        self._named = isinstance(hf.chat_template, Mapping)
        template = "\n".join(
            dict.fromkeys(named_template(hf.chat_template, tools=t) or "" for t in (True, False))
        )
        names = {token.content for token in hf.added_tokens_decoder.values()}
        # Tokens such as <tool_response> are no control tokens by name but the template writes
        # them: an assistant may spell them, others may not.
        marks = {name for name in names if not name.isspace() and name in template}
        self._control_pattern = any_of(set(self.controls))
        self._mark_pattern = any_of({*self.controls, *marks})
        self.tool_format: ToolFormat = tool_format(named_template(hf.chat_template, tools=True))
        self.reasoning_format: ReasoningFormat | None = reasoning_format(template, names)
        # The generic prompt shows its own as the model will write them.
        shown = "" if self.tool_format.native else "".join(self.tool_format.texts)
        self._marks = {mark for mark in marks - set(self.controls) if mark not in shown}

    def template(
        self, tools: Sequence[Tool] = (), arguments: Mapping[str, Any] | None = None
    ) -> ChatTemplate:
        """The chat template with ``tools``, if it takes any, and further ``arguments``."""
        native = [tool.to_openai() for tool in tools] if self.tool_format.native else []
        return ChatTemplate(self.hf, native, arguments or {})

    def encode_chat(
        self,
        messages: Sequence[Mapping[str, Any]],
        *,
        add_generation_prompt: bool = True,
        tools: Sequence[Tool] = (),
        arguments: Mapping[str, Any] | None = None,
        salt: str | None = None,
    ) -> list[int]:
        """Token ids of a chat in the model's template.

        An assistant message whose text was generated after the very tokens that come before it
        here (see ``remember``) keeps its generated tokens, so that a chat that goes on extends the
        tokens of its beginning; reasoning it was given out with may be left out of the message, but
        where the message has some, it has to be that. Only what was remembered under ``salt`` is
        known. Without such messages, and without control tokens typed in the texts, the ids are
        those of transformers' ``apply_chat_template``. ``arguments`` are the template's own. Raises
        ``InvalidRequestError`` for messages that cannot be rendered.
        """
        checked = self._shaped(check_calls(check_messages(messages)), tools, salt)
        template = self.template(tools, arguments)
        markers = Markers(strings_in([checked, template.tools]))
        template = replace(template, tools=markers.hide(template.tools, self._mark_pattern))
        said = [message.pop("said", None) for message in checked]
        hidden = [
            {
                **markers.hide(message, self._control_pattern if told else self._mark_pattern),
                "role": message["role"],
            }
            for message in checked
            for told in (message["role"] == "assistant",)
        ]
        with self._lock:
            known = [
                index
                for index, message in enumerate(checked)
                if message["role"] == "assistant" and said[index] in self._memory
            ]
            openings = template.openings() if known else []
            chat = render_turns(template, hidden, add_generation_prompt, known, markers, openings)
            ids: list[int] = []
            pending = chat.pieces[0]
            for index, shown, after in zip(chat.turns, chat.shown, chat.pieces[1:], strict=True):
                found = self._recall(ids, pending, openings, said[index], markers)
                if found is None:
                    pending += shown + after
                else:
                    ids, turn = found
                    pending = markers.hide(turn.rest, self._control_pattern) + self._behind(
                        turn, after
                    )
            return ids + self._encode_markup(pending, markers, first=not ids)

    def _shaped(
        self, messages: list[dict[str, Any]], tools: Sequence[Tool], salt: str | None
    ) -> list[dict[str, Any]]:
        """Messages that the template can render, with what each assistant message ``said``."""
        for message in messages:
            if message["role"] == "assistant":
                message["said"] = Saying(turn_text(message), turn_reasoning(message), salt)
        if not (tools or has_tools(messages)):
            return messages
        # Of several templates the one for chats without tools writes no calls.
        if self.tool_format.native and (tools or not self._named):
            if self._short_ids:
                messages = with_short_ids(messages)
            return arguments_as_text(messages) if self.tool_format.text_arguments else messages
        plain = in_plain_messages(messages, self.tool_format, tool_role=self._tool_role)
        return with_tools(plain, tools, system_role=self._system_role) if tools else plain

    @cached_property
    def _tool_role(self) -> bool:
        """Whether the template writes messages of the role ``tool``."""
        word = "agentspark"
        asked = [("user", "a"), ("assistant", "b"), ("tool", word)]
        chat = [{"role": role, "content": text} for role, text in asked]
        return word in (self.template().attempt(chat) or "")

    @cached_property
    def _system_role(self) -> bool:
        """Whether the template takes a system message."""
        user = {"role": "user", "content": "a"}
        template = self.template()
        without = template.attempt([user])
        return without is None or template.attempt([{**user, "role": "system"}, user]) is not None

    @cached_property
    def _short_ids(self) -> bool:
        """Whether the template refuses ids of calls unless they are short (Mistral's)."""
        template = self.template()
        asked = [_called(ident) for ident in ("call_0123456789", short_id("call_0123456789"))]
        return [template.attempt(chat) is None for chat in asked] == [True, False]

    def _recall(
        self,
        ids: list[int],
        pending: str,
        openings: Sequence[tuple[str, str]],
        said: Saying,
        markers: Markers,
    ) -> tuple[list[int], Turn] | None:
        """The tokens up to the end of what was ``said``, if that came after ``pending``.

        White space that the template puts before an answer is no part of the prompt it answers;
        ``openings`` are how the template writes the end of that prompt, and how it was.
        """
        forms = [pending, pending.rstrip()]
        for written, prompted in openings:
            if pending.endswith(written):
                forms.append(pending.removesuffix(written) + prompted)
            forms.append(pending + prompted)
        for markup in dict.fromkeys(forms):
            before = ids + self._encode_markup(markup, markers, first=not ids)
            turn = self._memory.get(before, said)
            if turn is not None:
                return [*before, *turn.token_ids], turn
        return None

    def _behind(self, turn: Turn, after: str) -> str:
        """``after``, without white space between the turn and the token it was ended with."""
        if turn.end is not None and not turn.rest:
            end = str(self.hf.convert_ids_to_tokens(turn.end))
            if after.lstrip().startswith(end):
                return after.lstrip()
        return after

    def remember(
        self,
        prompt_ids: Sequence[int],
        token_ids: Sequence[int],
        text: str,
        said: str | None = None,
        shown: frozenset[int] = frozenset(),
        *,
        reasoning: str | None = None,
        salt: str | None = None,
    ) -> None:
        """Note that ``token_ids``, generated after ``prompt_ids``, were given out as ``text``.

        ``token_ids`` may end with the token that ended the turn; the template writes its own there.
        ``said`` is what the text was taken for (see ``tools.call.said``), where that is not all of
        it, and ``reasoning`` what else of it a client may send back with that; ``shown`` are the
        control tokens that are part of the text. ``encode_chat`` finds it with the same ``salt``.
        """
        turn = make_turn(
            token_ids, text, lambda ids: self.decode(ids, shown), self._control_ids - shown
        )
        if turn is not None:
            told = text if said is None else said
            sayings = {(text, ""), (told, ""), (told, (reasoning or "").strip())}
            with self._lock:
                for saying in sayings:
                    self._memory.put(prompt_ids, Saying(*saying, salt), turn)

    def end_token_ids(self) -> frozenset[int]:
        """Tokens that end an assistant's turn: the end token, and what the template closes with."""
        ends = set() if self.hf.eos_token_id is None else {int(self.hf.eos_token_id)}
        word = "agentspark"
        asked = [{"role": "user", "content": "a"}, {"role": "assistant", "content": word}]
        shown = self.template().attempt(asked, False)
        if shown is not None:
            _, _, tail = shown.rpartition(word)
            first = self._encode_middle(tail.lstrip(), markup=True)[:1]
            ends.update(token for token in first if token in self._control_ids)
        return frozenset(ends)

    def _encode_markup(self, rendered: str, markers: Markers, *, first: bool) -> list[int]:
        """Token ids of markup in which typed control tokens are placeholders."""
        ids: list[int] = []
        for text, typed in markers.split_controls(rendered):
            # A tokenizer makes a token of its mark wherever one is spelled in one piece.
            apart = typed and text in self._marks
            for part in (text[:-1], text[-1:]) if apart else (text,):
                encode = self._encode_start if first and not ids else self._encode_middle
                ids += encode(part, markup=not typed)
        return ids


def _called(ident: str) -> list[dict[str, Any]]:
    """A chat in which a tool was called, by a call of this id."""
    call = {"id": ident, "type": "function", "function": {"name": "a", "arguments": {}}}
    return [
        {"role": "user", "content": "a"},
        {"role": "assistant", "content": "", "tool_calls": [call]},
        {"role": "tool", "content": "a", "tool_call_id": ident},
    ]
