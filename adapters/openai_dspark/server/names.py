"""What clients call the model, and which arm a name or a header asks for."""

from __future__ import annotations

from dataclasses import dataclass

from agentspark.trace.record import ARMS, Arm
from openai_dspark.server.errors import ApiError

ARM_HEADER = "x-agentspark-arm"


@dataclass(frozen=True, slots=True)
class ModelNames:
    """The served model: its name alone, and its name with an arm behind a colon."""

    name: str

    @property
    def all(self) -> tuple[str, ...]:
        """Every name a request may give."""
        return (self.name, *(f"{self.name}:{arm}" for arm in ARMS))

    def arm(self, model: str, header: str | None) -> Arm | None:
        """The arm that ``model`` or the header asks for; ``None`` if neither does.

        ``ApiError`` 404 for another model, 400 where the two disagree or the arm is unknown.
        """
        if header is not None and header not in ARMS:
            raise ApiError(
                400,
                f"{ARM_HEADER}: {header!r} is no arm: use {' or '.join(ARMS)}.",
                param=ARM_HEADER,
            )
        asked = next((arm for arm in ARMS if arm == header), None)
        if model == self.name:
            return asked
        for arm in ARMS:
            if model == f"{self.name}:{arm}":
                if asked is not None and asked != arm:
                    raise ApiError(
                        400,
                        f"The model {model!r} asks for another arm than {ARM_HEADER}: {asked}.",
                        param=ARM_HEADER,
                    )
                return arm
        raise ApiError(
            404,
            f"The model {model!r} is not here; this server has {self.name!r}.",
            param="model",
            code="model_not_found",
        )
