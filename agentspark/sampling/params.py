"""How the next token is chosen, as a caller asks for it, and what such fields may hold."""

from __future__ import annotations

from dataclasses import dataclass
from numbers import Integral, Real
from typing import TypeGuard

from agentspark.errors import InvalidRequestError


def unusable(param: str, value: object, want: str) -> InvalidRequestError:
    """The error for a field ``param`` that holds ``value``; ``want`` says what it may hold."""
    return InvalidRequestError(f"{param}={value!r} cannot be used: give {want}.", param=param)


def is_whole(value: object) -> TypeGuard[int]:
    """Whether ``value`` is a whole number by its type (``True`` and ``5.0`` are not)."""
    return isinstance(value, Integral) and not isinstance(value, bool)


def _is_real(value: object) -> bool:
    return isinstance(value, Real) and not isinstance(value, bool)


def _is_bias(pair: object) -> bool:
    if not isinstance(pair, tuple | list) or len(pair) != 2:
        return False
    token, bias = pair
    return is_whole(token) and token >= 0 and _is_real(bias) and abs(bias) <= 100.0


@dataclass(frozen=True, slots=True, kw_only=True)
class SamplingParams:
    """How the next token is chosen and when a request ends.

    ``temperature`` 0 is greedy. ``top_k`` 0, ``top_p`` 1 and ``min_p`` 0 are off. Penalties follow
    the usual meaning: repetition (multiplicative, over prompt and output, 1 is off), presence and
    frequency (subtractive, over the output, 0 is off). ``logprobs`` is the number of alternatives
    reported beside the chosen token, ``None`` for no log-probabilities at all. ``logit_bias`` adds
    to the logits of single tokens, as ``(token id, -100 to 100)`` pairs. ``min_tokens`` keeps
    end tokens away; a stop string ends the output all the same. With a ``seed`` the output is the
    same every time, also with other options and in other company.
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
        if not is_whole(self.max_tokens) or self.max_tokens < 1:
            raise unusable("max_tokens", self.max_tokens, "a whole number of at least 1")
        if not is_whole(self.min_tokens) or not 0 <= self.min_tokens <= self.max_tokens:
            raise unusable("min_tokens", self.min_tokens, "a whole number from 0 to max_tokens")
        for name, low, high in (
            ("temperature", 0.0, 100.0),
            ("top_p", 0.0, 1.0),
            ("min_p", 0.0, 1.0),
            ("presence_penalty", -10.0, 10.0),
            ("frequency_penalty", -10.0, 10.0),
            # Less would make logits infinite.
            ("repetition_penalty", 0.01, 10.0),
        ):
            value = getattr(self, name)
            # Comparing takes whole numbers of any size, and refuses infinities and nan.
            if not (_is_real(value) and low <= value <= high):
                raise unusable(name, value, f"a finite number from {low:g} to {high:g}")
        if self.top_p == 0.0:
            raise unusable("top_p", self.top_p, "a number above 0 (1 turns it off)")
        if not is_whole(self.top_k) or self.top_k < 0:
            raise unusable("top_k", self.top_k, "0 (off) or a positive whole number")
        if self.seed is not None and not is_whole(self.seed):
            raise unusable("seed", self.seed, "None or a whole number")
        stops = self.stop if isinstance(self.stop, tuple | list) else [None]
        if not all(isinstance(text, str) and text for text in stops):
            raise unusable("stop", self.stop, "strings that are not empty")
        if self.logprobs is not None and not (is_whole(self.logprobs) and 0 <= self.logprobs <= 20):
            raise unusable("logprobs", self.logprobs, "None or a whole number from 0 to 20")
        biases = self.logit_bias if isinstance(self.logit_bias, tuple | list) else [None]
        for pair in biases:
            if not _is_bias(pair):
                wanted = "pairs of a token id and a number from -100 to 100"
                raise unusable("logit_bias", self.logit_bias if pair is None else pair, wanted)
