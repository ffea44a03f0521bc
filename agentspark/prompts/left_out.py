"""Prompts that are not used: counted by reason and named, never silent."""

from __future__ import annotations

from dataclasses import dataclass, field

from agentspark.prompts.prompt import Prompt

_SHOWN = 3


@dataclass(slots=True)
class LeftOut:
    """Why prompts are not used: for each reason the names of those it keeps out, by their ids."""

    found: dict[str, dict[str, str]] = field(default_factory=dict)

    def add(self, prompt: Prompt, reason: str, detail: str | None = None) -> None:
        """Count a prompt, once for a reason; ``detail`` is what is true of it alone."""
        name = prompt.name if detail is None else f"{prompt.name}: {detail.rstrip('.')}"
        self.found.setdefault(reason, {}).setdefault(prompt.id, name)

    def describe(self) -> tuple[str, ...]:
        """Return a sentence for every reason, with the first prompts it was found for."""
        return tuple(
            _sentence(reason, list(names.values())) for reason, names in self.found.items()
        )


def _sentence(reason: str, names: list[str]) -> str:
    count = "1 prompt was" if len(names) == 1 else f"{len(names)} prompts were"
    more = len(names) - _SHOWN
    rest = f" and {more} more" if more > 0 else ""
    return f"{count} left out, {reason} ({'; '.join(names[:_SHOWN])}{rest})."
