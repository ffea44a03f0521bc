"""A model's chat template at work: messages in, markup out, with the turns found in it."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from agentspark.common import common_prefix
from agentspark.errors import InvalidRequestError
from agentspark.models.markers import Markers

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


_WORD = "agentspark"


def named_template(templates: object, *, tools: bool) -> str | None:
    """A tokenizer's chat template; of several with names the one for chats with ``tools`` or not.

    ``templates`` is what transformers keeps: one text, texts by name, or nothing.
    """
    if not isinstance(templates, Mapping):
        return str(templates) if templates else None
    names = ("tool_use", "default") if tools else ("default", "tool_use")
    found = [templates[name] for name in (*names, *templates) if name in templates]
    return str(found[0]) if found else None


@dataclass(frozen=True, slots=True)
class ChatTemplate:
    """A tokenizer's chat template with what is the same for every message of a request.

    ``tools`` are in OpenAI's shape; none for a template that knows no tools. Of several templates
    with names it is the one for chats with tools where there are any.
    """

    hf: PreTrainedTokenizerBase
    tools: Sequence[Mapping[str, Any]] = ()
    arguments: Mapping[str, Any] = field(default_factory=dict)

    @property
    def source(self) -> str | None:
        """The template's text."""
        return named_template(self.hf.chat_template, tools=bool(self.tools))

    def render(self, messages: list[dict[str, Any]], add_generation_prompt: bool) -> str:
        """The chat as markup. Raises ``InvalidRequestError`` when the template refuses it."""
        from jinja2 import TemplateError

        source = self.source
        if source is None:
            raise InvalidRequestError(
                "This model has no chat template: give a plain prompt instead of messages.",
                param="messages",
            )
        try:
            return str(
                self.hf.apply_chat_template(
                    messages,
                    chat_template=source,
                    tools=list(self.tools) or None,  # type: ignore[arg-type]
                    tokenize=False,
                    add_generation_prompt=add_generation_prompt,
                    **self.arguments,
                )
            )
        except (TemplateError, TypeError, ValueError, KeyError) as error:
            raise InvalidRequestError(
                f"The model's chat template cannot render these messages: {error}",
                param="messages",
            ) from error

    def attempt(
        self, messages: list[dict[str, Any]], add_generation_prompt: bool = True
    ) -> str | None:
        """``render``, or ``None`` where the template refuses."""
        try:
            return self.render(messages, add_generation_prompt)
        except InvalidRequestError:
            return None

    def unread(self) -> list[str]:
        """Names of ``arguments`` that are no variable of the template: nothing comes of them."""
        source = str(self.hf.chat_template)
        return [
            name
            for name in self.arguments
            # An attribute or a key of that name is no variable.
            if not re.search(rf"(?<![\w.'\"]){re.escape(name)}(?![\w'\"])", source)
        ]

    def prompt_end(self) -> str:
        """What a prompt has behind the text of its last message."""
        try:
            return self.render([{"role": "user", "content": _WORD}], True).rpartition(_WORD)[2]
        except InvalidRequestError:
            return ""

    def openings(self) -> list[tuple[str, str]]:
        """How the end of a prompt may differ once the answer to it is a part of a longer chat.

        ``(written, prompted)``: what stands before the answer then, and what stood there when it
        was generated. A section of reasoning that the prompt opens, for example, may be left out of
        an earlier answer, and stand empty before one that a user has not replied to yet.
        """
        ask = {"role": "user", "content": "a"}
        answer = {"role": "assistant", "content": _WORD}
        prompt = self.attempt([ask])
        if prompt is None:
            return []
        found: dict[tuple[str, str], None] = {}
        for chat in ([ask, answer, ask], [ask, answer]):
            before, word, _ = (self.attempt(chat, False) or "").partition(_WORD)
            if word:
                same = common_prefix(before, prompt)
                found[before[same:], prompt[same:]] = None
        return list(found)


@dataclass(frozen=True, slots=True)
class Rendered:
    """Markup cut at some of its turns: ``pieces[0]``, turn 0, ``pieces[1]``, turn 1, ....

    ``turns`` holds the message number of each turn, ``shown`` its text as the template wrote it.
    """

    pieces: list[str]
    turns: list[int]
    shown: list[str]


def render_turns(
    template: ChatTemplate,
    messages: list[dict[str, Any]],
    add_generation_prompt: bool,
    turns: Sequence[int],
    markers: Markers,
    openings: Sequence[tuple[str, str]] = (),
) -> Rendered:
    """The chat as markup, cut at those messages of ``turns`` that the template copies.

    A turn counts as copied when its content stands in the markup as it is or without the white
    space around it; a template that leaves part of it out (reasoning, say) does not copy it. A turn
    with tool calls or reasoning of its own is all that stands between what is around it: of one
    with reasoning that is also what ``openings`` have before an answer without.
    """
    plain = template.render(messages, add_generation_prompt)
    left = list(turns)
    while left:
        hollow = [
            _hollow(message, markers.turn(index)) if index in left else message
            for index, message in enumerate(messages)
        ]
        markup = template.attempt(hollow, add_generation_prompt)
        if markup is None:
            opened = (template, messages, add_generation_prompt, left, markers, openings)
            return _one_by_one(*opened, plain)
        pieces, found = markers.split_turns(markup)
        if found != left:
            left = [index for index in left if found.count(index) == 1]
            if found != left:
                break
            continue
        pieces = [
            *(
                _before(piece, messages[index], openings)
                for piece, index in zip(pieces, left, strict=False)
            ),
            pieces[-1],
        ]
        shown = _fill(plain, pieces, [_own_text(messages[index]) for index in left])
        if len(shown) == len(left):
            return Rendered(pieces, left, shown)
        del left[len(shown)]
    return Rendered([plain], [], [])


def _one_by_one(
    template: ChatTemplate,
    messages: list[dict[str, Any]],
    add_generation_prompt: bool,
    turns: Sequence[int],
    markers: Markers,
    openings: Sequence[tuple[str, str]],
    plain: str,
) -> Rendered:
    """The same for a template that refuses the chat without the calls of all these turns.

    Mistral's insist on alternating roles and do not count messages with calls: each turn is put in
    the place of its own alone. One that cannot be left out even so is not cut out.
    """
    found: list[tuple[int, int, int]] = []
    for index in turns:
        hollow = list(messages)
        hollow[index] = _hollow(messages[index], markers.turn(index))
        around = (template.attempt(hollow, add_generation_prompt) or "").split(markers.turn(index))
        around[0] = _before(around[0], messages[index], openings)
        if len(around) != 2 or not plain.startswith(around[0]) or not plain.endswith(around[1]):
            continue
        begin, end = len(around[0]), len(plain) - len(around[1])
        text, last = _own_text(messages[index]), found[-1][2] if found else 0
        if last <= begin <= end and (text is None or plain[begin:end] in (text, text.strip())):
            found.append((index, begin, end))
    cuts = [0, *(at for _, begin, end in found for at in (begin, end)), len(plain)]
    parts = [plain[begin:end] for begin, end in pairwise(cuts)]
    return Rendered(parts[::2], [index for index, _, _ in found], parts[1::2])


def _before(piece: str, message: Mapping[str, Any], openings: Sequence[tuple[str, str]]) -> str:
    """``piece`` without what the template puts before an answer because it has no reasoning."""
    if message.get("reasoning_content"):
        for written, _ in sorted(openings, reverse=True):
            if written and piece.endswith(written):
                return piece.removesuffix(written)
    return piece


def _hollow(message: Mapping[str, Any], text: str) -> dict[str, Any]:
    kept = {key: message[key] for key in message if key not in ("tool_calls", "reasoning_content")}
    return {**kept, "content": text}


def _own_text(message: Mapping[str, Any]) -> str | None:
    """The text a template copies; ``None`` where it writes calls or reasoning too."""
    if message.get("tool_calls") or message.get("reasoning_content"):
        return None
    return str(message["content"])


def _fill(plain: str, pieces: list[str], texts: list[str | None]) -> list[str]:
    """How each text stands between ``pieces`` in ``plain``; ends before the first misfit.

    A text that is not known is whatever stands there.
    """
    shown: list[str] = []
    at = len(pieces[0])
    if not plain.startswith(pieces[0]):
        return shown
    for text, after in zip(texts, pieces[1:], strict=True):
        last = len(shown) == len(texts) - 1
        if text is None:
            end = plain.rfind(after, at) if last else plain.find(after, at)
            if end < 0:
                return shown
            text = plain[at:end]
        for form in (text, text.strip(), text.lstrip(), text.rstrip()):
            fits = plain.startswith(form + after, at)
            if fits and (not last or len(plain) == at + len(form) + len(after)):
                shown.append(form)
                at += len(form) + len(after)
                break
        else:
            return shown
    return shown
