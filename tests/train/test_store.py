"""Feature shards: what is written is read, and readers see new shards."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from agentspark.errors import DataError
from agentspark.train.source import is_held_out, split_source
from agentspark.train.store import FeatureStore, write_shard


def test_examples_read_back_equal(store, make_example):
    assert len(store) == 12
    for shard in range(2):
        for i in range(6):
            want, got = make_example(10 + i, 4, seed=10 * shard + i), store.example(6 * shard + i)
            assert got.start == want.start
            for name in ("tokens", "hidden", "last", "log_norm", "best"):
                assert torch.equal(getattr(got, name), getattr(want, name)), name
    assert store.entry(7).id == "p1-1"
    assert store.entry(7).anchors == 11 - 4 - 1


def test_refresh_takes_in_new_shards_at_the_end(store, make_example):
    assert store.next_shard().name == "shard-00002.safetensors"
    write_shard(store.next_shard(), [("new", "code", 0.8, make_example())])
    assert store.refresh() == 13
    assert (store.entry(12).id, store.entry(12).temperature) == ("new", 0.8)
    assert store.bytes == sum(p.stat().st_size for p in store.folder.iterdir())


def test_a_sequence_that_was_stored_twice_is_one(store, make_example):
    entry = store.entry(3)
    write_shard(store.next_shard(), [(entry.id, "chat", 0.0, make_example(9, 4, seed=99))])
    assert store.refresh() == 12
    again = FeatureStore(store.folder)
    assert [again.entry(i) for i in range(len(again))] == [store.entry(i) for i in range(12)]


def test_no_shard_is_written_over(store, make_example):
    first, second = sorted(store.folder.iterdir())
    before = second.read_bytes()
    with pytest.raises(DataError, match="shard-00001"):
        write_shard(second, [("new", "code", 0.8, make_example())])
    assert second.read_bytes() == before
    first.unlink()
    assert FeatureStore(store.folder).next_shard() == first
    write_shard(first, [("new", "code", 0.8, make_example(10))])
    again = FeatureStore(store.folder)
    assert again.entry(0).id == "new"
    assert torch.equal(again.example(0).tokens, make_example(10).tokens)


def test_stores_keep_their_own_files_open(store, make_example):
    other = FeatureStore(store.folder)
    want = store.example(0)
    path = store.folder / "shard-00000.safetensors"
    path.unlink()
    write_shard(path, [("new", "code", 0.8, make_example(10))])
    # Those who read before go on with what they read; a new store reads what is there.
    assert torch.equal(store.example(0).tokens, want.tokens)
    assert torch.equal(other.example(0).tokens, want.tokens)
    assert torch.equal(FeatureStore(store.folder).example(0).tokens, make_example(10).tokens)


def test_a_cut_off_shard_is_named(tmp_path: Path):
    (tmp_path / "shard-00000.safetensors").write_bytes(b"\x10")
    with pytest.raises(DataError, match="shard-00000"):
        FeatureStore(tmp_path)


def test_the_split_is_disjoint_stable_and_follows_the_id(store):
    split = split_source(store, every=3, most=2)
    assert not set(split.train) & set(split.held_out)
    assert len(split.held_out) == 2
    assert all(is_held_out(store.entry(i).id, 3) for i in split.held_out)
    assert not any(is_held_out(store.entry(i).id, 3) for i in split.train)


def test_examples_with_and_without_predictions_of_prompts_share_a_shard(make_example, tmp_path):
    examples = [make_example(10, 4, seed=1), make_example(12, 6, seed=2)]
    # The same predictions, which now begin within the prompt.
    examples.append(replace(make_example(12, 3, seed=3), start=8))
    items = [(f"p{i}", "chat", 0.0, example) for i, example in enumerate(examples)]
    write_shard(tmp_path / "shard-00000.safetensors", items)
    store = FeatureStore(tmp_path)
    assert [store.entry(i).predicted for i in range(3)] == [6, 6, 9]
    for i, want in enumerate(examples):
        got = store.example(i)
        assert (got.start, got.first) == (want.start, want.first)
        for name in ("tokens", "last", "log_norm", "best"):
            assert torch.equal(getattr(got, name), getattr(want, name)), name


def test_entries_of_older_shards_begin_their_predictions_at_the_response(make_example, tmp_path):
    path = tmp_path / "shard-00000.safetensors"
    write_shard(path, [("p", "chat", 0.0, make_example(10, 4))])
    with safe_open(path, framework="pt") as file:
        entries = json.loads(file.metadata()["entries"])
    tensors = load_file(path)
    for entry in entries:
        del entry["first"]
    save_file(tensors, path, {"entries": json.dumps(entries)})
    store = FeatureStore(tmp_path)
    assert store.entry(0).predicted == 6
    assert store.example(0).first == 4
