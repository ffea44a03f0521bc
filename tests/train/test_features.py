"""What is read of a target is what the target computes."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from agentspark.errors import DataError, TrainError, UnsupportedModelError
from agentspark.models.target import Target, load_target
from agentspark.train import extract, features
from agentspark.train.build import drafter_config, mask_token, new_drafter, spread_layers
from agentspark.train.config import DrafterShape
from agentspark.train.extract import extract_features
from agentspark.train.features import TargetReader
from agentspark.train.responses import Response
from agentspark.train.store import FeatureStore, write_shard
from agentspark.train.vocabulary import blend_counts, choose_draft_vocab, count_tokens, coverage

TOKENS = [1, 40, 41, 90, 7, 300, 22, 2]


@pytest.fixture(scope="module")
def target(tiny_target_dir: Path) -> Target:
    return load_target(tiny_target_dir, dtype=torch.float32)


@torch.no_grad()
def test_hidden_states_and_predictions_are_the_targets(target):
    reader, first = TargetReader(target.model, (-1, 0, 1)), target.model.model.layers[0]
    hooks = len(first._forward_hooks)
    example = reader.read(TOKENS, 3)
    assert len(first._forward_hooks) == hooks
    out = target.model(torch.tensor([TOKENS]), output_hidden_states=True)
    # Entry 0 is the embedding, so layer i's output is entry i + 1.
    want = torch.cat([out.hidden_states[i][0] for i in (0, 1, 2)], -1)
    torch.testing.assert_close(example.hidden, want)
    logits = out.logits[0, 3:]
    torch.testing.assert_close(example.log_norm, torch.logsumexp(logits, -1), atol=1e-4, rtol=1e-4)
    assert torch.equal(example.best, logits.argmax(-1))
    torch.testing.assert_close(
        example.last @ target.model.lm_head.weight.t(), logits, atol=1e-4, rtol=1e-4
    )


def test_predictions_of_the_prompt_come_before_those_of_the_response(target):
    alone = TargetReader(target.model, (0, 1)).read(TOKENS, 3)
    both = TargetReader(target.model, (0, 1), prompts=True).read(TOKENS, 3)
    assert (alone.first, both.first) == (3, 1)
    assert torch.equal(alone.own_words, both.own_words)
    assert torch.equal(alone.hidden, both.hidden)
    for name in ("last", "log_norm", "best"):
        assert torch.equal(getattr(both, name)[2:], getattr(alone, name)), name
    with torch.no_grad():
        logits = target.model(torch.tensor([TOKENS])).logits[0]
    assert torch.equal(both.best, logits[1:].argmax(-1))


def test_sequences_read_together_are_read_as_alone(target, monkeypatch):
    reader = TargetReader(target.model, (-1, 1), prompts=True)
    some = [(TOKENS[: 4 + i % 5], 2 + i % 2) for i in range(7)]
    monkeypatch.setattr(features, "_PASS_TOKENS", 20)  # three passes, the shortest ones first
    together = reader.read_many(some)
    for (tokens, start), got in zip(some, together, strict=True):
        want = reader.read(tokens, start)
        assert torch.equal(got.tokens, want.tokens) and got.start == start
        torch.testing.assert_close(got.hidden, want.hidden)
        torch.testing.assert_close(got.last, want.last)
        torch.testing.assert_close(got.log_norm, want.log_norm)
        assert torch.equal(got.best, want.best)


def test_impossible_requests_are_refused(target):
    with pytest.raises(TrainError, match="target_layer_ids"):
        TargetReader(target.model, (0, 2))
    with pytest.raises(TrainError, match="no prompt"):
        TargetReader(target.model, (0,)).read(TOKENS, 8)


def responses(count: int) -> list[Response]:
    return [
        Response(f"r{i}", "chat", 0.0, [1, 5, 6], [7 + i % 9, 8, 9, 10, 2]) for i in range(count)
    ]


def test_extraction_resumes_and_respects_the_bound(target, tmp_path: Path):
    reader = TargetReader(target.model, (0, 1))
    store = extract_features(reader, responses(3), tmp_path, 1 << 30)
    assert [store.entry(i).id for i in range(3)] == ["r0", "r1", "r2"]
    (tmp_path / "shard-00001.writing").write_bytes(b"cut off")
    store = extract_features(reader, responses(5), tmp_path, 1 << 30)
    assert [store.entry(i).id for i in range(5)] == [f"r{i}" for i in range(5)]
    assert not list(tmp_path.glob("*.writing"))
    bound = store.bytes
    assert len(extract_features(reader, responses(50), tmp_path, bound)) == 5
    for more, fewest in ((1, 5), (40_000, 9)):
        whole = extract_features(reader, responses(50), tmp_path, bound + more)
        assert sum(path.stat().st_size for path in tmp_path.iterdir()) <= bound + more
        assert fewest <= len(whole) < 50


def test_a_shards_size_is_known_before_it_is_written(target, make_example, tmp_path: Path):
    reader = TargetReader(target.model, (0, 1), prompts=True)
    for count in (1, 30):
        items = [
            (f'"\\é-{n}' * 9, "a kind", 0.25, reader.read([5] * (20 + n), 3)) for n in range(count)
        ]
        size = write_shard(tmp_path / f"shard-{count:05d}.safetensors", items, reader.origin)
        assert size <= extract._most_bytes(items) <= size + 1500 + 200 * count


def test_a_deleted_shard_comes_back_to_its_place(target, tmp_path: Path, monkeypatch):
    monkeypatch.setattr(extract, "SHARD_SEQUENCES", 2)
    reader = TargetReader(target.model, (0, 1))
    some = responses(9)
    before = extract_features(reader, some, tmp_path, 1 << 30)
    tokens = [before.example(i).tokens for i in range(9)]
    assert len(list(tmp_path.iterdir())) == 5
    for lost in ("shard-00001.safetensors", "shard-00003.safetensors"):
        (tmp_path / lost).unlink()
        after = extract_features(reader, some, tmp_path, 1 << 30)
        assert after.entries == before.entries
        assert len(list(tmp_path.iterdir())) == 5
        assert all(torch.equal(after.example(i).tokens, tokens[i]) for i in range(9))


def test_what_else_lies_in_the_folder_is_not_in_the_store(target, tmp_path: Path):
    reader = TargetReader(target.model, (0, 1))
    extract_features(reader, responses(3), tmp_path, 1 << 30)
    store = extract_features(reader, responses(5)[2:], tmp_path, 1 << 30)
    assert [store.entry(i).id for i in range(len(store))] == ["r2", "r3", "r4"]
    assert len(FeatureStore(tmp_path)) == 5


def test_features_of_other_layers_or_another_target_are_refused(
    target, tiny_qwen3_dir: Path, tmp_path: Path
):
    extract_features(TargetReader(target.model, (0, 1)), responses(2), tmp_path, 1 << 30)
    with pytest.raises(DataError, match="layers 0,1 and the drafter reads 0: train online"):
        extract_features(TargetReader(target.model, (0,)), responses(2), tmp_path, 1 << 30)
    other = TargetReader(load_target(tiny_qwen3_dir, dtype=torch.float32).model, (0, 1))
    with pytest.raises(DataError, match="is of another target"):
        extract_features(other, responses(2), tmp_path, 1 << 30)


def test_features_of_another_format_are_not_mixed_with(
    target, tiny_target_dir: Path, tmp_path: Path
):
    rounded = TargetReader(load_target(tiny_target_dir, dtype=torch.bfloat16).model, (0, 1))
    store = extract_features(rounded, responses(2), tmp_path, 1 << 30)
    assert store.example(0).hidden.dtype == store.example(0).last.dtype == torch.bfloat16
    with pytest.raises(DataError, match=r"bfloat16 states .* in float32: give --dtype bfloat16"):
        extract_features(TargetReader(target.model, (0, 1)), responses(2), tmp_path, 1 << 30)


def test_older_features_are_taken_where_their_width_fits(target, make_example, tmp_path: Path):
    write_shard(tmp_path / "shard-00000.safetensors", [("r0", "chat", 0.0, make_example())])
    with pytest.raises(DataError, match="states of 64 numbers and the drafter reads 128"):
        extract_features(TargetReader(target.model, (0, 1)), responses(1), tmp_path, 1 << 30)
    assert len(extract_features(TargetReader(target.model, (0,)), responses(1), tmp_path, 9)) == 1


def test_a_full_disk_keeps_the_shards_so_far(target, tmp_path: Path, monkeypatch):
    reader = TargetReader(target.model, (0, 1))
    extract_features(reader, responses(3), tmp_path, 1 << 30)

    def full(tensors, path, metadata):
        path.write_bytes(b"a part of it")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("agentspark.train.store.save_file", full)
    with pytest.raises(TrainError, match="free some disk"):
        extract_features(reader, responses(5), tmp_path, 1 << 30)
    assert [path.name for path in tmp_path.iterdir()] == ["shard-00000.safetensors"]
    monkeypatch.undo()
    assert len(extract_features(reader, responses(5), tmp_path, 1 << 30)) == 5


def test_a_new_drafter_fits_its_target(target):
    shape = DrafterShape(draft_vocab_size=100, markov_rank=8, block_size=3)
    counts = count_tokens([torch.tensor([5, 5, 6])], 512)
    model = new_drafter(target, shape, counts, seed=0, dtype=torch.float32)
    c = model.config
    assert (c.hidden_size, c.num_target_layers, c.target_layer_ids) == (64, 3, (0, 1))
    assert {2, 5, 6} <= set(model.draft_token_ids.tolist())
    last = target.model.model.layers[-1]
    copied = model.backbone.draft_layers()[-1]
    assert torch.equal(copied.mlp.up_proj.weight, last.mlp.up_proj.weight)
    assert float(model.markov_head.markov_w2.weight.detach().abs().max()) == 0.0
    whole = drafter_config(target, DrafterShape(draft_vocab_size=100_000, markov_rank=8))
    assert (whole.draft_vocab_size, whole.markov_w1_pruned) == (None, False)


def test_qwen3_targets_give_their_norms(tiny_qwen3_dir: Path):
    target = load_target(tiny_qwen3_dir, dtype=torch.float32)
    theirs = target.model.model.layers[-1].self_attn.q_norm.weight
    theirs.data.fill_(1.5)
    shape = DrafterShape(draft_vocab_size=None)
    model = new_drafter(target, shape, torch.zeros(512), 0, torch.float32)
    assert torch.equal(model.backbone.draft_layers()[-1].self_attn.q_norm.weight, theirs)


@torch.no_grad()
def test_gemma4_targets_give_their_layers_and_their_cap(tiny_gemma4_dir: Path):
    target = load_target(tiny_gemma4_dir, dtype=torch.float32)
    shape = DrafterShape(draft_vocab_size=None, layers=2)
    model = new_drafter(target, shape, torch.zeros(512), 0, torch.float32)
    c = model.config
    assert (c.backbone, c.attention_k_eq_v, c.final_logit_softcapping) == ("gemma4", True, 3.0)
    assert (c.num_key_value_heads, c.head_dim, c.rope_parameters["rope_type"]) == (
        1, 32, "proportional",
    )  # fmt: skip
    # Of four layers the second and the last attend to everything.
    for ours, index in zip(model.backbone.draft_layers(), (1, 3), strict=True):
        theirs = target.model.model.layers[index].state_dict()
        for name, tensor in ours.state_dict().items():
            assert torch.equal(tensor, theirs[name]), name
    example = TargetReader(target.model, (0, 1)).read(TOKENS, 3)
    logits = target.model(torch.tensor([TOKENS])).logits[0, 3:]
    torch.testing.assert_close(example.log_norm, torch.logsumexp(logits, -1), atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(model.base_logits(example.last), logits, atol=1e-4, rtol=1e-4)


def test_what_a_gemma4_drafter_cannot_be_is_named(tiny_gemma4_dir: Path):
    target = load_target(tiny_gemma4_dir)
    for shape in (DrafterShape(backbone="qwen3"), DrafterShape.of("eagle3")):
        with pytest.raises(UnsupportedModelError, match="Gemma 4"):
            drafter_config(target, shape)


def test_layers_are_spread_and_leave_out_the_last():
    assert spread_layers(30) == (1, 10, 19, 28)
    assert spread_layers(3) == (0, 1)
    assert spread_layers(2) == (0,)


def test_the_mask_token_is_in_no_chat(target):
    chat = target.tokenizer.encode_chat([{"role": "user", "content": "a"}])
    assert mask_token(target) not in {*chat, *target.spec.eos_token_ids}


def test_the_vocabulary_takes_the_most_frequent_tokens():
    counts = count_tokens([torch.tensor([4, 4, 4, 9, 9, 2])], 12)
    assert choose_draft_vocab(counts, 2).tolist() == [4, 9]
    assert choose_draft_vocab(counts, 2, always=[11]).tolist() == [4, 11]
    assert choose_draft_vocab(counts, 5).tolist() == [0, 1, 2, 4, 9]
    both = blend_counts(torch.tensor([8.0, 2.0, 0.0]), torch.tensor([0.0, 1.0, 1.0]), 0.5)
    assert both.tolist() == pytest.approx([0.4, 0.35, 0.25])
    assert coverage(counts, torch.tensor([4, 9])) == pytest.approx(5 / 6)
