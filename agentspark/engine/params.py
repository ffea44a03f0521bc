"""What a caller may ask of one request: how to sample, how to speed up, how to label."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from agentspark.errors import InvalidRequestError

Speculation = Literal["auto", "dspark", "suffix", "off"]
Verify = Literal["auto", "full"] | int

SPECULATIONS: tuple[str, ...] = ("auto", "dspark", "suffix", "off")


def _reject(param: str, value: object, want: str) -> InvalidRequestError:
    return InvalidRequestError(f"{param}={value!r} cannot be used: give {want}.", param=param)


@dataclass(frozen=True, slots=True, kw_only=True)
class SamplingParams:
    """How the next token is chosen and when a request ends.

    ``temperature`` 0 is greedy. ``top_k`` 0, ``top_p`` 1 and ``min_p`` 0 are off. Penalties follow
    the usual meaning: repetition (multiplicative, over prompt and output, 1 is off), presence and
    frequency (subtractive, over the output, 0 is off). ``logprobs`` is the number of alternatives
    reported beside the chosen token, ``None`` for no log-probabilities at all. ``logit_bias`` adds
    to the logits of single tokens, as ``(token id, -100 to 100)`` pairs. With a ``seed`` the
    output is the same every time, also with other options and in other company.
    """

    max_tokens: int = 256
    min_tokens: int = 0
    temperature: float = 0.0
    top_p: float = 1.0
    top_k: int = 0
    min_p: float = 0.0
    repetition_penalty: float = 1.0
    presence_penalty: float = 0.0
    frequency_penalty: float = 0.0
    stop: tuple[str, ...] = ()
    seed: int | None = None
    logprobs: int | None = None
    logit_bias: tuple[tuple[int, float], ...] = ()
    ignore_eos: bool = False

    @property
    def greedy(self) -> bool:
        """Whether the most likely token is always taken."""
        return self.temperature == 0.0

    @property
    def penalized(self) -> bool:
        """Whether logits depend on the tokens seen so far."""
        return (
            self.repetition_penalty != 1.0
            or self.presence_penalty != 0.0
            or self.frequency_penalty != 0.0
        )

    def validate(self) -> None:
        """Raise ``InvalidRequestError`` for the first field that cannot be served."""
        if self.max_tokens < 1:
            raise _reject("max_tokens", self.max_tokens, "a whole number of at least 1")
        if not 0 <= self.min_tokens <= self.max_tokens:
            raise _reject("min_tokens", self.min_tokens, "a number from 0 to max_tokens")
        for name, low, high in (
            ("temperature", 0.0, 100.0),
            ("top_p", 0.0, 1.0),
            ("min_p", 0.0, 1.0),
            ("presence_penalty", -10.0, 10.0),
            ("frequency_penalty", -10.0, 10.0),
        ):
            value = float(getattr(self, name))
            if not (math.isfinite(value) and low <= value <= high):
                raise _reject(name, value, f"a finite number from {low:g} to {high:g}")
        if self.top_p == 0.0:
            raise _reject("top_p", self.top_p, "a number above 0 (1 turns it off)")
        # Less would make logits infinite.
        if not (math.isfinite(self.repetition_penalty) and 0.01 <= self.repetition_penalty <= 10.0):
            raise _reject("repetition_penalty", self.repetition_penalty, "a number, 0.01 to 10")
        if self.top_k < 0:
            raise _reject("top_k", self.top_k, "0 (off) or a positive whole number")
        if any(not text for text in self.stop):
            raise _reject("stop", self.stop, "strings that are not empty")
        if self.logprobs is not None and not 0 <= self.logprobs <= 20:
            raise _reject("logprobs", self.logprobs, "None or a number from 0 to 20")
        for token, bias in self.logit_bias:
            if token < 0 or not -100.0 <= bias <= 100.0:
                raise _reject("logit_bias", {token: bias}, "token ids and -100 to 100")


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestOptions:
    """What acceleration a request uses; two arms of a comparison differ in nothing else.

    ``speculation``: where drafts come from (``auto`` is every source the engine has, the drafter
    as long as its pass pays; ``dspark`` its drafter alone, of whatever family, always).
    ``verify``: ``auto`` lets the scheduler choose, ``full`` verifies whole proposals, a number
    verifies at most that many drafts a round. ``cache_salt``: prefixes are shared only among
    requests with the same salt.
    """

    speculation: Speculation = "auto"
    verify: Verify = "auto"
    share_prefix: bool = True
    cache_salt: str | None = None

    @property
    def automatic(self) -> bool:
        """Whether the engine may do without its drafter where that is faster."""
        return self.speculation == "auto" and self.verify == "auto"

    def validate(self) -> None:
        """Raise ``InvalidRequestError`` for the first field that cannot be served."""
        if self.speculation not in SPECULATIONS:
            raise _reject("speculation", self.speculation, "one of " + ", ".join(SPECULATIONS))
        fixed = isinstance(self.verify, int) and not isinstance(self.verify, bool)
        if not (self.verify in ("auto", "full") or (fixed and int(self.verify) >= 0)):
            raise _reject("verify", self.verify, "'auto', 'full' or a whole number from 0")


@dataclass(frozen=True, slots=True, kw_only=True)
class Labels:
    """Where a model call stands in its agent's work; copied into its trace record."""

    run: str | None = None
    step: int | None = None
    step_name: str | None = None
    step_kind: str | None = None
    parent: str | None = None
    arm: str | None = None
