"""What a line of a prompts or transcripts file asks of its calls, beside their messages."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

from agentspark.engine.chat_format import ChatFormat
from agentspark.errors import DataError, InvalidRequestError
from agentspark.models.tools.choice import ToolChoice
from agentspark.sampling.params import SamplingParams

CHAT_FIELDS = (
    "tools",
    "tool_choice",
    "parallel_tool_calls",
    "response_format",
    "regex",
    "choice",
    "template_args",
)
SAMPLING_FIELDS = (
    "max_tokens",
    "min_tokens",
    "temperature",
    "top_p",
    "top_k",
    "min_p",
    "repetition_penalty",
    "presence_penalty",
    "frequency_penalty",
    "stop",
    "seed",
    "ignore_eos",
)
# What would change an answer elsewhere and nothing here. Whatever is in none of these lists
# describes the line, as every data set has it: a source, the model that answered, its prompt as
# one text, the choices of a question, the answer that is hoped for.
_NOT_SERVED = frozenset((
    "functions", "function_call", "prediction", "n", "best_of", "logprobs", "top_logprobs",
    "logit_bias", "logit_processors", "bad_words", "stop_token_ids", "stop_sequences",
    "max_completion_tokens", "max_output_tokens", "max_new_tokens", "do_sample", "num_beams",
    "typical_p", "reasoning_effort", "stream", "stream_options", "guided_json", "guided_regex",
    "guided_choice", "guided_grammar", "structured_outputs", "chat_template",
    "chat_template_kwargs", "add_generation_prompt", "continue_final_message", "sampling_params",
    "extra_body", "speculation", "verify", "share_prefix", "cache_salt",
))  # fmt: skip
_DESCRIBING = frozenset(("choices",))


@dataclass(frozen=True, slots=True)
class Asked:
    """What one line asks for; ``where`` names it in errors.

    ``sampling`` are fields of ``SamplingParams`` that win over those of the command.
    """

    where: str = ""
    sampling: Mapping[str, Any] = field(default_factory=dict)
    chat: ChatFormat | None = None

    @property
    def held_by(self) -> str | None:
        """The field that an answer in the model's own free words might not keep to, if any.

        Tools that it may call or not are none: they are a part of the prompt.
        """
        chat = self.chat
        if chat is None:
            return None
        if chat.wanted is not None:
            return chat.wanted.param.partition(".")[0]
        if chat.tools and chat.choice != ToolChoice("auto"):
            return "tool_choice"
        return "parallel_tool_calls" if chat.tools and chat.parallel is False else None

    def over(self, sampling: SamplingParams) -> SamplingParams:
        """``sampling`` with what the line says otherwise; ``DataError`` where that cannot be."""
        if not self.sampling:
            return sampling
        try:
            asked = dataclasses.replace(sampling, **self.sampling)
            asked.validate()
        except InvalidRequestError as error:
            raise DataError(f"{self.where}: {error}") from error
        return asked


def read_asked(value: Mapping[str, Any], own: Collection[str], where: str) -> Asked:
    """What the line ``value`` asks for; ``own`` are the fields that the file's reader reads.

    A field that is null is not there; ``where`` is for errors that show later. Raises
    ``DataError``, without the place, for fields that mean something for a call and are not served,
    or that are spelt almost like one that is.
    """
    known = {*own, *CHAT_FIELDS, *SAMPLING_FIELDS}
    likely = {_plain(name): name for name in known}
    given = {name: item for name, item in value.items() if item is not None}
    for name in (name for name in given if name not in known):
        if name in _NOT_SERVED:
            raise DataError(
                f"{name} is not served here. Take it out, or rename it where it only "
                "describes the line."
            )
        if name not in _DESCRIBING and (meant := likely.get(_plain(name))) is not None:
            raise DataError(f"{name} is not known; did you mean {meant}?")
    chat = {name: given[name] for name in CHAT_FIELDS if name in given}
    try:
        return Asked(where, _sampling(given), ChatFormat.of(**chat) if chat else None)
    except InvalidRequestError as error:
        raise DataError(str(error)) from error


def _sampling(given: Mapping[str, Any]) -> dict[str, Any]:
    asked = {name: given[name] for name in SAMPLING_FIELDS if name in given}
    if "stop" in asked:
        stop = asked["stop"]
        asked["stop"] = tuple(stop) if isinstance(stop, list) else (stop,)
    if not isinstance(asked.get("ignore_eos", False), bool):
        raise DataError("ignore_eos must be true or false.")
    return asked


def _plain(name: str) -> str:
    """A name without what is easily mistaken in it: case, separators and the plural."""
    return re.sub("[^a-z0-9]", "", name.lower()).removesuffix("s")
