"""A model's chat template at work: messages in, markup out, with the turns found in it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from agentspark.errors import InvalidRequestError
from agentspark.models.markers import Markers

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


@dataclass(frozen=True, slots=True)
class Rendered:
    """Markup cut at some of its turns: ``pieces[0]``, turn 0, ``pieces[1]``, turn 1, ....

    ``turns`` holds the message number of each turn, ``shown`` its text as the template wrote it.
    """

    pieces: list[str]
    turns: list[int]
    shown: list[str]


def render(
    hf: PreTrainedTokenizerBase, messages: list[dict[str, Any]], add_generation_prompt: bool
) -> str:
    """The chat as markup. Raises ``InvalidRequestError`` when the template refuses it."""
    from jinja2 import TemplateError

    if not hf.chat_template:
        raise InvalidRequestError(
            "This model has no chat template: give a plain prompt instead of messages.",
            param="messages",
        )
    try:
        return str(
            hf.apply_chat_template(
                messages, tokenize=False, add_generation_prompt=add_generation_prompt
            )
        )
    except (TemplateError, TypeError, ValueError, KeyError) as error:
        raise InvalidRequestError(
            f"The model's chat template cannot render these messages: {error}", param="messages"
        ) from error


def render_turns(
    hf: PreTrainedTokenizerBase,
    messages: list[dict[str, Any]],
    add_generation_prompt: bool,
    turns: Sequence[int],
    markers: Markers,
) -> Rendered:
    """The chat as markup, cut at those messages of ``turns`` that the template copies.

    A turn counts as copied when its content stands in the markup as it is or without the white
    space around it; a template that leaves part of it out (reasoning, say) does not copy it.
    """
    plain = render(hf, messages, add_generation_prompt)
    left = list(turns)
    while left:
        hollow = [
            {**message, "content": markers.turn(index)} if index in left else message
            for index, message in enumerate(messages)
        ]
        pieces, found = markers.split_turns(render(hf, hollow, add_generation_prompt))
        if found != left:
            left = [index for index in left if found.count(index) == 1]
            if found != left:
                break
            continue
        shown = _fill(plain, pieces, [messages[index]["content"] for index in left])
        if len(shown) == len(left):
            return Rendered(pieces, left, shown)
        del left[len(shown)]
    return Rendered([plain], [], [])


def _fill(plain: str, pieces: list[str], texts: list[str]) -> list[str]:
    """How each text stands between ``pieces`` in ``plain``; ends before the first misfit."""
    shown: list[str] = []
    at = len(pieces[0])
    if not plain.startswith(pieces[0]):
        return shown
    for text, after in zip(texts, pieces[1:], strict=True):
        last = len(shown) == len(texts) - 1
        for form in (text, text.strip(), text.lstrip(), text.rstrip()):
            fits = plain.startswith(form + after, at)
            if fits and (not last or len(plain) == at + len(form) + len(after)):
                shown.append(form)
                at += len(form) + len(after)
                break
        else:
            return shown
    return shown
