"""Which room may import which: the arrows of the house, as the code has them.

Every ``import`` statement counts, also one inside a function or under ``TYPE_CHECKING``.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).parent.parent
LANGCHAIN, OPENAI = "langchain_dspark", "openai_dspark"
PACKAGES = {"agentspark": ROOT, LANGCHAIN: ROOT / "adapters", OPENAI: ROOT / "adapters"}

# Single files are rooms too. Everyone may import the leaves; they stand on each other only.
LEAVES = {"common", "errors", "files", "locks", "printable", "recent"}
ARROWS: dict[str, set[str]] = {
    "common": set(),
    "errors": set(),
    "files": set(),
    "locks": set(),
    "printable": set(),
    "recent": set(),
    "config": set(),
    # What its ``__init__`` exports.
    "agentspark": {"config", "engine", "sampling"},
    "models": set(),
    "kv": set(),
    "dspark": set(),
    "sampling": set(),
    "trace": set(),
    "report": {"trace"},
    "drafting": {"dspark", "kv", "models", "sampling"},
    "engine": {
        "config", "drafting", "dspark", "kv", "models", "sampling", "trace",
    },
    "prompts": {"engine", "models", "sampling"},
    "train": {
        "config", "drafting", "dspark", "engine", "models", "prompts", "sampling",
        "trace",
    },
    "evaluation": {
        "config", "drafting", "dspark", "engine", "prompts", "report", "sampling",
        "trace",
    },
    OPENAI: {"agentspark", "engine", "models", "sampling", "trace"},
    LANGCHAIN: {"config", "engine", "sampling", "trace", OPENAI},
    "cli": {
        "agentspark", "config", "dspark", "engine", "evaluation", "models", "prompts",
        "report", "sampling", "trace", "train", LANGCHAIN, OPENAI,
    },
}  # fmt: skip


class Arrow(NamedTuple):
    """One import that leaves its room."""

    room: str
    target: str
    where: str
    module: str

    def __str__(self) -> str:
        return f"{self.where} imports {self.module}: {self.room} -> {self.target} is no arrow"


def arrows(package: str, folder: Path) -> Iterator[Arrow]:
    """Every import of the house's packages in ``folder/package`` that leaves its room."""
    for path in sorted((folder / package).rglob("*.py")):
        parts = path.relative_to(folder).with_suffix("").parts
        here = room_of(".".join(parts).removesuffix(".__init__"))
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            for module in imported(node, parts):
                target = room_of(module)
                if module.split(".")[0] in PACKAGES and target != here:
                    where = f"{path.relative_to(folder)}:{getattr(node, 'lineno', 0)}"
                    yield Arrow(here, target, where, module)


def imported(node: ast.AST, parts: tuple[str, ...]) -> list[str]:
    """The modules that a statement in the file ``parts`` imports; a name may be a module too."""
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    if not isinstance(node, ast.ImportFrom):
        return []
    above = parts[: len(parts) - node.level] if node.level else ()
    module = ".".join([*above, *([node.module] if node.module else [])])
    return [f"{module}.{alias.name}" for alias in node.names]


def room_of(module: str) -> str:
    """The room of a module: its folder or file in the library, or the whole adapter.

    What ``agentspark`` itself holds or exports (``from agentspark import Engine``) is its own.
    """
    package, *rest = module.split(".")
    if package != "agentspark":
        return package
    if not rest or not any((ROOT / package / rest[0]).with_suffix(s).exists() for s in ("", ".py")):
        return package
    return rest[0]


def allowed(room: str) -> set[str]:
    """What a room may import; the leaves may import each other."""
    return ARROWS.get(room, set()) | LEAVES


def test_imports_follow_the_arrows() -> None:
    found = [arrow for package, folder in PACKAGES.items() for arrow in arrows(package, folder)]
    wrong = [str(arrow) for arrow in found if arrow.target not in allowed(arrow.room)]
    assert not wrong, "\n".join(wrong)
    unused = {
        room: sorted(unused)
        for room, targets in ARROWS.items()
        if (unused := targets - {arrow.target for arrow in found if arrow.room == room})
    }
    assert not unused, f"no import uses these arrows any more, take them out: {unused}"


def test_every_room_has_its_arrows_and_none_leads_back() -> None:
    library = ROOT / "agentspark"
    rooms = {path.parent.name for path in library.glob("*/__init__.py")}
    files = {path.stem for path in library.glob("*.py")} - {"__init__"}
    assert rooms | files | {"agentspark", LANGCHAIN, OPENAI} == set(ARROWS)
    above = set(LEAVES)
    left = dict(ARROWS)
    while left:
        ready = {room for room, targets in left.items() if targets <= above}
        assert ready, f"these rooms import each other in a circle: {sorted(left)}"
        above |= ready
        left = {room: targets for room, targets in left.items() if room not in ready}


@pytest.mark.parametrize(
    "line",
    [
        "from agentspark.engine.params import Labels",
        "from agentspark.engine import params",
        "from agentspark import engine",
        "from ..engine.params import Labels",
        "from .. import engine",
        "import agentspark.engine.params",
        "if TYPE_CHECKING:\n    from agentspark.engine.params import Labels",
        "def late():\n    import agentspark.engine",
    ],
)
def test_a_wrong_arrow_is_named_with_its_file_and_import(tmp_path: Path, line: str) -> None:
    room = tmp_path / "agentspark" / "trace"
    room.mkdir(parents=True)
    (room / "wrong.py").write_text(f"{line}\n")
    (room / "right.py").write_text("import json\nfrom .record import StepRecord\n")

    (arrow,) = arrows("agentspark", tmp_path)

    assert (arrow.room, arrow.target) == ("trace", "engine")
    number = line.count("\n") + 1
    assert str(arrow).startswith(f"agentspark/trace/wrong.py:{number} imports agentspark.engine")
