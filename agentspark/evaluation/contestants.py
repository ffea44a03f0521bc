"""Who takes part: drafters by folder, or sources of drafts by name."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from agentspark.dspark.config import read_config
from agentspark.engine.params import Speculation
from agentspark.errors import ConfigError, DrafterFormatError

WITH_COPIES = "+suffix"
# Names that are no folders: the engine's drafter and where drafts come from.
_NAMED: dict[str, tuple[str | None, Speculation]] = {
    "none": (None, "off"),
    "suffix": (None, "suffix"),
    "shipped": ("auto", "dspark"),
    "auto": ("auto", "auto"),
}


@dataclass(frozen=True, slots=True)
class Contestant:
    """One source of drafts: the engine's ``drafter`` and what of it a request uses.

    ``speculation`` is ``dspark`` for the drafter alone, ``suffix`` for copies alone, ``auto`` for
    both and ``off`` for none.
    """

    name: str
    drafter: Path | str | None
    speculation: Speculation


def parse_contestants(names: Sequence[str]) -> list[Contestant]:
    """Read names: ``none``, ``suffix``, ``shipped``, ``auto``, a folder, or ``FOLDER+suffix``.

    ``shipped`` is the drafter shipped for the target, ``auto`` that with copies; a folder drafts
    alone, with ``+suffix`` with copies. Raises ``DrafterFormatError`` for a folder that is none,
    before anything is loaded, and ``ConfigError`` for a name given twice.
    """
    folders = {Path(text.removesuffix(WITH_COPIES)) for text in names if text not in _NAMED}
    found: list[Contestant] = []
    for text in names:
        if text in _NAMED:
            found.append(Contestant(text, *_NAMED[text]))
            continue
        folder = Path(text.removesuffix(WITH_COPIES))
        if not folder.is_dir():
            raise DrafterFormatError(
                f"There is no drafter folder {folder}: give folders, or one of {', '.join(_NAMED)}."
            )
        read_config(folder)
        copies = text.endswith(WITH_COPIES)
        shown = _short(folder, folders) + (WITH_COPIES if copies else "")
        found.append(Contestant(shown, folder, "auto" if copies else "dspark"))
    for contestant in found:
        if sum(other.name == contestant.name for other in found) > 1:
            raise ConfigError(
                f"Two drafters are called {contestant.name!r}: give each once, in folders of "
                "different names."
            )
    if not found:
        raise ConfigError(f"No drafter is named: give folders, or some of {', '.join(_NAMED)}.")
    return found


def _short(folder: Path, folders: Iterable[Path]) -> str:
    """A folder's name, after its parent's where another folder has the same."""
    path = folder.absolute()
    same = sum(other.absolute().name == path.name for other in folders)
    return path.name if same == 1 else f"{path.parent.name}/{path.name}"


def by_engine(contestants: Sequence[Contestant]) -> list[list[Contestant]]:
    """Contestants that can share an engine, together; in the order of their first ones."""
    groups: dict[str, list[Contestant]] = {}
    for contestant in contestants:
        drafter = contestant.drafter
        key = str(drafter.resolve()) if isinstance(drafter, Path) else str(drafter)
        groups.setdefault(key, []).append(contestant)
    return list(groups.values())
