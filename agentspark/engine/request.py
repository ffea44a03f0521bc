"""A request as the engine takes it: token ids and what to do with them."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from dataclasses import dataclass, field

from agentspark.engine.grammar.constraint import Constraint
from agentspark.engine.params import Labels, RequestOptions
from agentspark.errors import ContextLengthError, InvalidRequestError
from agentspark.models.tools.answer import AnswerFormat
from agentspark.sampling.params import SamplingParams, is_whole


def new_request_id() -> str:
    """An id that no other request has."""
    return f"req-{uuid.uuid4().hex[:16]}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """One model call.

    ``constraint`` is what its output must look like, ``answer`` how its output is to be read
    (``None``: as the text it is). ``prediction`` holds the tokens of what the output is expected
    to be, if the caller has an idea: they are drafted where the output follows them and change
    nothing else.
    """

    prompt_token_ids: Sequence[int]
    prediction: Sequence[int] = ()
    sampling: SamplingParams = field(default_factory=SamplingParams)
    options: RequestOptions = field(default_factory=RequestOptions)
    labels: Labels = field(default_factory=Labels)
    constraint: Constraint | None = None
    answer: AnswerFormat | None = None
    id: str = field(default_factory=new_request_id)

    def validate(self, *, vocab_size: int, max_context: int) -> None:
        """Raise ``InvalidRequestError`` for what cannot be served, naming the field."""
        self.sampling.validate()
        self.options.validate()
        self.labels.validate()
        for token, _ in self.sampling.logit_bias:
            if token >= vocab_size:
                raise InvalidRequestError(
                    f"logit_bias names token {token} and the vocabulary ends at {vocab_size - 1}.",
                    param="logit_bias",
                )
        ids = self.prompt_token_ids
        for name, tokens in (("prompt_token_ids", ids), ("prediction", self.prediction)):
            if not isinstance(tokens, Sequence) or isinstance(tokens, str):
                raise InvalidRequestError(
                    f"{name} must be a list of token ids, not {type(tokens).__name__}.", param=name
                )
        if not ids:
            raise InvalidRequestError(
                "The prompt has no tokens: give at least one.", param="prompt_token_ids"
            )
        for name, tokens in (("prompt_token_ids", ids), ("prediction", self.prediction)):
            if not _are_token_ids(tokens, vocab_size):
                raise InvalidRequestError(
                    f"{name} has something else than token ids from 0 to {vocab_size - 1}: was it "
                    "made with another model's tokenizer?",
                    param=name,
                )
        if len(ids) >= max_context:
            raise ContextLengthError(
                # Agents that shorten their prompts know this error by the words of other servers.
                f"The prompt is too long: it has {len(ids)} tokens, and this model's maximum "
                f"context length is {max_context}: shorten it so that one token can follow.",
                param="prompt_token_ids",
            )


def _are_token_ids(tokens: Sequence[int], vocab_size: int) -> bool:
    plain = set(map(type, tokens)) <= {int}
    if not plain and not all(map(is_whole, tokens)):
        return False
    return not tokens or (min(tokens) >= 0 and max(tokens) < vocab_size)
