"""Two tools that look into a folder, for the agents beside this file."""

from __future__ import annotations

from pathlib import Path

_MOST_CHARACTERS = 1200


class FolderTools:
    """What an agent may know of the files of ``folder``; a wrong name is an answer, no error."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def list_files(self) -> str:
        """List the files of the folder."""
        return ", ".join(sorted(path.name for path in self._folder.iterdir() if path.is_file()))

    def read_file(self, name: str) -> str:
        """Read a file of the folder.

        Args:
            name: The file's name.
        """
        path = self._folder / Path(name).name
        if not path.is_file():
            return f"There is no file {name!r}. The files are: {self.list_files()}"
        return path.read_text(encoding="utf-8", errors="replace")[:_MOST_CHARACTERS]
