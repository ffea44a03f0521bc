"""Options of a command as the fields of a dataclass, for a command that has many."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any, TypeVar, get_type_hints

Options = TypeVar("Options")


def from_fields(
    options: type[Options],
) -> Callable[[Callable[[Options], None]], Callable[..., None]]:
    """Turn a function of the dataclass ``options`` into a command with an option per field.

    Typer reads the options of a command from its signature, which is made the dataclass's.
    """

    def turn(run: Callable[[Options], None]) -> Callable[..., None]:
        def command(**given: Any) -> None:
            run(options(**given))

        command.__name__, command.__doc__ = run.__name__, run.__doc__
        command.__annotations__ = get_type_hints(options)
        command.__signature__ = inspect.signature(options, eval_str=True)  # type: ignore[attr-defined]
        return command

    return turn
