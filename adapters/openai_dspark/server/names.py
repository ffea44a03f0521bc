"""What clients call the model, and which arm a name or a header asks for."""

from __future__ import annotations

from dataclasses import dataclass

from agentspark.trace.record import ARMS, Arm
from openai_dspark.server.errors import ApiError


@dataclass(frozen=True, slots=True)
class ModelNames:
    """The served model: its name alone, and its name with an arm behind a colon."""

    name: str

    @property
    def all(self) -> tuple[str, ...]:
        """Every name a request may give."""
        return (self.name, *(f"{self.name}:{arm}" for arm in ARMS))

    def arm(self, model: str, label: str | None = None, where: str = "arm") -> Arm | None:
        """The arm that ``model`` or the label asks for; ``None`` if neither does.

        ``where`` the label stands: a header or in the metadata. ``ApiError`` 404 for another
        model, 400 where the two disagree or the arm is unknown.
        """
        if label is not None and label not in ARMS:
            raise ApiError(
                400, f"{where}: {label!r} is no arm: use {' or '.join(ARMS)}.", param=where
            )
        asked = next((arm for arm in ARMS if arm == label), None)
        if model == self.name:
            return asked
        for arm in ARMS:
            if model == f"{self.name}:{arm}":
                if asked is not None and asked != arm:
                    raise ApiError(
                        400,
                        f"The model {model!r} asks for another arm than {where}: {asked}.",
                        param=where,
                    )
                return arm
        raise ApiError(
            404,
            f"The model {model!r} is not here; this server has {self.name!r}.",
            param="model",
            code="model_not_found",
        )
