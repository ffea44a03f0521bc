"""The outcome of one measurement: a number, what is asked of it, and the figures behind it."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, JsonValue, computed_field

Sense = Literal["at least", "at most", "equal"]
Unit = Literal["x", "share", "tokens/s", "ms", "requests"]

# Two means over different rounds are called equal when they differ by no more than this.
EQUAL_WITHIN = 0.005


class Measurement(BaseModel):
    """What was measured (``title``), its ``value`` and the ``bar`` it is held against.

    ``value`` ``None``: there was nothing to measure. ``bar`` ``None``: for information only.
    ``note`` is one line for the table. ``figures`` holds what the value was made from;
    durations in them end in ``_ms``, rates in ``_tokens_s``.
    """

    model_config = ConfigDict(frozen=True, allow_inf_nan=False)

    name: str
    title: str
    unit: Unit
    value: float | None
    bar: float | None = None
    sense: Sense = "at least"
    note: str = ""
    took_ms: float | None = None
    figures: dict[str, JsonValue]

    @computed_field  # type: ignore[prop-decorator]
    @property
    def met(self) -> bool | None:
        """Whether the value keeps to the bar; ``None`` where one of them is missing."""
        if self.value is None or self.bar is None:
            return None
        if self.sense == "at least":
            return self.value >= self.bar
        if self.sense == "at most":
            return self.value <= self.bar
        return abs(self.value - self.bar) <= EQUAL_WITHIN
