"""Model folders made once from another file, kept in the cache, and checked before use.

``<cache>/targets/<key>/`` appears by a rename when it is complete; a lock file beside it makes
other processes wait for the one that converts.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock

from agentspark.errors import ModelError
from agentspark.files import sync
from agentspark.models.cache import ENVIRONMENT
from agentspark.models.progress import progress_bar

MANIFEST = "agentspark.json"
# Raise this when the conversion gives other files for the same source.
CONVERSION = 1


@dataclass(frozen=True, slots=True)
class Conversion:
    """A folder to be made under ``cache`` from a file, by ``convert(source, folder)``.

    ``key`` names the source and its state. ``find_source(scratch)`` is called only when there is
    something to convert; it gives the file and may fetch it into the empty folder ``scratch``.
    """

    key: str
    title: str
    cache: Path
    find_source: Callable[[Path], Path]
    convert: Callable[[Path, Path], None]

    @property
    def folder(self) -> Path:
        """Where the converted model lies once it is made."""
        return self.cache / "targets" / f"{self.key}-v{CONVERSION}"

    def ensure(self) -> Path:
        """The folder, made first if it is not there whole. Safe among threads and processes.

        Raises ``ModelError`` when the cache cannot be written, and what ``find_source`` and
        ``convert`` raise; nothing half-made is left behind.
        """
        if is_whole(self.folder):
            return self.folder
        try:
            self.folder.parent.mkdir(parents=True, exist_ok=True)
            # The bar is up while waiting for another process too.
            with progress_bar(self.title), FileLock(f"{self.folder}.lock"):
                if not is_whole(self.folder):
                    self._make()
        except OSError as error:
            raise ModelError(
                f"The converted model cannot be kept in {self.cache}: {error}. "
                f"Free some space there, or name another folder in {ENVIRONMENT}."
            ) from error
        return self.folder

    def _make(self) -> None:
        """Convert into a temporary folder beside the final one, then rename. Needs the lock."""
        prefix = f".{self.folder.name}."
        for stale in self.folder.parent.glob(f"{prefix}*"):
            shutil.rmtree(stale)  # whoever made it is gone: we hold the lock
        with tempfile.TemporaryDirectory(dir=self.folder.parent, prefix=prefix) as made:
            scratch, whole = Path(made) / "scratch", Path(made) / "whole"
            scratch.mkdir()
            whole.mkdir()
            source = self.find_source(scratch)
            self.convert(source, whole)
            _write_manifest(whole, source)
            for file in whole.iterdir():
                sync(file)
            sync(whole)
            if self.folder.exists():  # there, but not whole
                shutil.rmtree(self.folder)
            whole.rename(self.folder)
        sync(self.folder.parent)


def is_whole(folder: Path) -> bool:
    """Whether ``folder`` has a manifest and every file in it has the size written there."""
    try:
        files = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))["files"]
        return all((folder / name).stat().st_size == size for name, size in files.items())
    except (OSError, ValueError, KeyError, AttributeError):
        return False


def source_key(source: Path) -> str:
    """A folder name for ``source``: changes when the file's place, size or time changes."""
    state = source.stat()
    told = f"{source.resolve()}|{state.st_size}|{state.st_mtime_ns}"
    return f"{source.stem}-{hashlib.sha256(told.encode()).hexdigest()[:12]}"


def _write_manifest(folder: Path, source: Path) -> None:
    import transformers

    with source.open("rb") as stream:
        digest = hashlib.file_digest(stream, "sha256").hexdigest()
    manifest = {
        "source": {"file": source.name, "size": source.stat().st_size, "sha256": digest},
        "transformers": transformers.__version__,
        "files": {file.name: file.stat().st_size for file in sorted(folder.iterdir())},
    }
    text = json.dumps(manifest, indent=2) + "\n"
    (folder / MANIFEST).write_text(text, encoding="utf-8")
