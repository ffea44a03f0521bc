"""What a request gives back: deltas while it runs, one completion when it ends."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from agentspark.engine.params import Labels, RequestOptions
from agentspark.models.tools.answer import Answer
from agentspark.models.tools.call import AnswerDelta, ToolCall, ToolCallDelta
from agentspark.sampling.logprob import TokenLogprob

# ``tool_calls`` is a ``stop`` after at least one complete call.
FinishReason = Literal["stop", "length", "tool_calls", "cancelled", "error"]


@dataclass(slots=True)
class Counts:
    """Token and round counts of one request.

    ``rounds`` are target passes after the prefill (one that repeats the prefill of a request
    which had lost its KV blocks counts), so the mean accepted length (bonus token included) is
    ``(completion_tokens - 1) / rounds``. ``draft_tokens`` were proposed,
    ``verified_tokens`` of them went through the target, ``accepted_tokens`` of those were kept.
    ``accepted_histogram[k]`` counts the rounds that accepted ``k`` drafts.
    ``cache_break_position`` is the first position at which the prompt parts from that of the run's
    previous step, ``None`` where it extends it or there is none.
    ``reasoning_tokens`` of the completion are reasoning, ``None`` where the model does not reason.
    Of the drafts taken from the request's own prediction, ``prediction_accepted`` were kept and
    ``prediction_rejected`` were not. ``round_verified`` and ``round_accepted`` are the drafts that
    each round verified and kept, in order; ``None`` unless ``EngineConfig.round_counts`` asks.
    """

    prompt_tokens: int
    cached_tokens: int = 0
    completion_tokens: int = 0
    rounds: int = 0
    draft_tokens: int = 0
    verified_tokens: int = 0
    accepted_tokens: int = 0
    accepted_histogram: list[int] = field(default_factory=list)
    cache_break_position: int | None = None
    reasoning_tokens: int | None = None
    prediction_accepted: int = 0
    prediction_rejected: int = 0
    round_verified: list[int] | None = None
    round_accepted: list[int] | None = None

    @property
    def accepted_length(self) -> float | None:
        """Mean tokens per round, bonus included; ``None`` before the first round."""
        return (self.completion_tokens - 1) / self.rounds if self.rounds else None


@dataclass(slots=True)
class Timings:
    """Where the time of one request went, in seconds; ``started_at`` is unix time.

    ``queue_s`` from submission to admission, ``prefill_s`` from there to the first token,
    ``ttft_s`` is their sum, ``decode_s`` from the first to the last token, ``total_s`` all of it.
    """

    started_at: float
    queue_s: float | None = None
    prefill_s: float | None = None
    ttft_s: float | None = None
    decode_s: float | None = None
    total_s: float | None = None


@dataclass(slots=True)
class Completion:
    """A finished request.

    ``text`` is all that was generated. The last ``cut_tokens`` of ``token_ids`` are of the stop
    string that ended it and have no part in ``text`` (known where ``logprobs`` were asked for).
    ``answer`` are its parts, where the request asked for them
    to be told apart; ``content``, ``reasoning`` and ``tool_calls`` give them for any request.
    ``stop_string`` is the one of the request's stop strings that ended it, if one did.
    """

    request_id: str
    model: str
    drafter: str | None
    prompt_token_ids: list[int]
    token_ids: list[int]
    text: str
    finish_reason: FinishReason
    counts: Counts
    timings: Timings
    logprobs: list[TokenLogprob] | None = None
    labels: Labels = field(default_factory=Labels)
    options: RequestOptions = field(default_factory=RequestOptions)
    answer: Answer | None = None
    cut_tokens: int = 0
    stop_string: str | None = None

    @property
    def content(self) -> str:
        """What the user is to see."""
        return self.text if self.answer is None else self.answer.content

    @property
    def reasoning(self) -> str | None:
        """The model's reasoning; ``None`` where it does not reason."""
        return None if self.answer is None else self.answer.reasoning

    @property
    def tool_calls(self) -> list[ToolCall]:
        """The complete calls."""
        return [] if self.answer is None else self.answer.tool_calls

    @property
    def unfinished_call(self) -> ToolCall | None:
        """The call that the end cut short, with the beginning of its arguments."""
        return None if self.answer is None else self.answer.unfinished


@dataclass(slots=True)
class Delta:
    """What is new since the last delta; ``completion`` comes with the last one only.

    ``answer`` is what is new of the parts, as in ``Completion``. The text of the last
    ``held_tokens`` so far, which may be older than ``token_ids``, is not out, since it may be that
    of a stop string (known where ``logprobs`` were asked for). ``cached_tokens`` are those of the
    prompt that were found in the prefix cache.
    """

    token_ids: list[int]
    text: str
    logprobs: list[TokenLogprob] | None = None
    completion: Completion | None = None
    answer: AnswerDelta | None = None
    held_tokens: int = 0
    cached_tokens: int = 0

    @property
    def content(self) -> str:
        """What the user is to see of it."""
        return self.text if self.answer is None else self.answer.content

    @property
    def reasoning(self) -> str:
        """What of it is reasoning."""
        return "" if self.answer is None else self.answer.reasoning

    @property
    def tool_calls(self) -> list[ToolCallDelta]:
        """What of it belongs to tool calls."""
        return [] if self.answer is None else self.answer.tool_calls
