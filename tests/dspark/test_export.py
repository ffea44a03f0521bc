"""Exported checkpoints stand alone and draft what the original drafts."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from agentspark.dspark.backbone import plain_attend
from agentspark.dspark.checkpoint import load_drafter, save_drafter
from agentspark.dspark.config import read_config
from agentspark.dspark.describe import describe
from agentspark.dspark.expand import unfold_vocabulary
from agentspark.dspark.export import FORMATS, Verifier, export_drafter
from agentspark.dspark.model import DSparkModel
from agentspark.errors import DrafterError, DrafterFormatError
from tests.dspark.small import VOCAB, gemma4, pruned, small_config, small_drafter, small_model

# Every kind of head, pruned in each way that there is.
CONFIGS = [
    small_config(),
    small_config(draft_vocab_size=20),
    pruned(),
    pruned(markov_head_type="gated"),
    pruned(markov_head_type="rnn"),
    pruned(markov_rank=8, markov_head_type="rnn", confidence_head_with_markov=False),
    small_config(draft_vocab_size=20, markov_rank=0, confidence_head_with_markov=False),
]
NAMES = ["whole", "w1 whole", "vanilla", "gated", "rnn", "rnn, plain confidence", "no head"]


def matrices() -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(4)
    return tuple(torch.randn(VOCAB, 32, generator=generator).bfloat16() for _ in range(2))


def saved(config, folder: Path) -> DSparkModel:
    """A drafter as it lies on the disk, with the target of ``matrices``."""
    save_drafter(small_drafter(config), folder)
    return read(folder)


def read(folder: Path) -> DSparkModel:
    model = load_drafter(folder, dtype=torch.float32)
    model.attach_target(*matrices())
    return model


@torch.no_grad()
def draft(model: DSparkModel, seed: int) -> tuple[list[int], torch.Tensor]:
    """Greedy drafts of one block and their confidence logits."""
    generator = torch.Generator().manual_seed(seed)
    hidden = torch.randn(9, model.config.feature_size, generator=generator)
    anchor = torch.randint(0, VOCAB, (1,), generator=generator)
    backbone, head = model.backbone, model.markov_head
    context = backbone.context_kv(backbone.context_features(hidden), torch.arange(9))
    places = torch.arange(9, 9 + model.config.block_size)
    states = backbone.block_hidden(model.block_inputs(anchor), places, plain_attend(context))
    tokens, previous, state, sure = [], anchor, None, []
    for h in states:
        logits = model.base_logits(h[None])
        embedded = None
        if head is not None:
            state = head.start(1) if state is None else state
            embedded = head.previous(previous)
            bias, state = head.step(previous, h[None], state)
            logits = logits + bias
        sure.append(model.confidence_head(h[None], embedded))
        previous = model.to_target_ids(logits.argmax(-1))
        tokens.append(int(previous))
    return tokens, torch.cat(sure)


def verifier() -> Verifier:
    return Verifier("some/target", ["LlamaForCausalLM"], *matrices())


@pytest.mark.parametrize("layout", FORMATS)
@pytest.mark.parametrize("config", CONFIGS, ids=NAMES)
def test_an_export_drafts_the_same_tokens(tmp_path: Path, config, layout):
    original = saved(config, tmp_path / "own")
    export_drafter(original, verifier(), layout, tmp_path / "own", tmp_path / "out")
    again = read(tmp_path / "out")
    for seed in range(40):
        want, sure = draft(original, seed)
        got, as_sure = draft(again, seed)
        assert got == want
        assert torch.allclose(as_sure, sure, atol=1e-5)


def test_gemma4s_layers_are_exported_as_deepspec_alone(tmp_path: Path):
    shape = {"draft_vocab_size": 20, "markov_w1_pruned": True, "final_logit_softcapping": 5.0}
    original = saved(gemma4(attention_k_eq_v=True, **shape), tmp_path / "own")
    export_drafter(original, verifier(), "deepspec", tmp_path / "own", tmp_path / "out")
    found = json.loads((tmp_path / "out" / "config.json").read_text())
    assert found["architectures"] == ["Gemma4DSparkModel"]
    again = read(tmp_path / "out")
    assert [draft(again, seed)[0] for seed in range(20)] == [
        draft(original, seed)[0] for seed in range(20)
    ]
    with pytest.raises(DrafterError, match="Qwen3's layers only"):
        export_drafter(original, verifier(), "speculators", tmp_path / "own", tmp_path / "no")
    assert not (tmp_path / "no").exists()


@pytest.mark.parametrize("config", CONFIGS, ids=NAMES)
def test_deepspecs_file_has_whole_vocabularies_and_the_targets_matrices(tmp_path: Path, config):
    original = saved(config, tmp_path / "own")
    notes = export_drafter(original, verifier(), "deepspec", tmp_path / "own", tmp_path / "out")
    tensors = load_file(tmp_path / "out" / "model.safetensors")
    embed, head = matrices()
    assert torch.equal(tensors["embed_tokens.weight"], embed)
    assert torch.equal(tensors["lm_head.weight"], head)
    found = json.loads((tmp_path / "out" / "config.json").read_text())
    assert found["architectures"] == ["Qwen3DSparkModel"]
    assert not {"draft_vocab_size", "markov_w1_pruned"} & found.keys()
    rank = found["markov_rank"]
    for name in ("markov_w1", "markov_w2"):
        assert tensors[f"markov_head.{name}.weight"].shape == (VOCAB, rank)
    assert "draft_token_ids" not in tensors
    # The probabilities of what can be drafted are unchanged, those of the rest are gone.
    whole = read(tmp_path / "out")
    hidden, last = torch.randn(1, 32), torch.tensor([7])
    probs = _probs(whole, hidden, last)
    if original.draft_token_ids is not None:
        assert any("no pruned vocabulary" in note for note in notes)
        assert probs.sum() == pytest.approx(float(probs[original.draft_token_ids].sum()))
        probs = probs[original.draft_token_ids]
    assert torch.allclose(probs, _probs(original, hidden, last), atol=1e-6)


@torch.no_grad()
def _probs(model: DSparkModel, hidden: torch.Tensor, last: torch.Tensor) -> torch.Tensor:
    logits, head = model.base_logits(hidden), model.markov_head
    if head is not None:
        logits = logits + head.step(last, hidden, head.start(1))[0]
    return logits.softmax(-1)[0]


def test_speculators_file_keeps_the_pruned_vocabulary(tmp_path: Path):
    original = saved(pruned(), tmp_path / "own")
    assert export_drafter(original, verifier(), "speculators", tmp_path / "own", tmp_path) == ()
    tensors = load_file(tmp_path / "model.safetensors")
    found = json.loads((tmp_path / "config.json").read_text())
    ids = original.draft_token_ids.sort().values
    assert found["architectures"] == ["DSparkDraftModel"]
    assert found["sample_from_anchor"] is True
    assert found["aux_hidden_state_layer_ids"] == [1, 3]
    assert found["draft_vocab_size"] == 20
    assert found["transformer_layer_config"]["vocab_size"] == VOCAB
    assert found["transformer_layer_config"]["num_hidden_layers"] == 2
    assert found["speculators_config"]["proposal_methods"][0]["speculative_tokens"] == 4
    assert found["speculators_config"]["verifier"]["name_or_path"] == "some/target"
    assert torch.equal(tensors["d2t"] + torch.arange(20), ids)
    assert torch.equal(tensors["t2d"].nonzero().flatten(), ids)
    assert torch.equal(tensors["lm_head.weight"], matrices()[1][ids])
    assert tensors["markov_head.markov_w1.weight"].shape == (VOCAB, 6)
    assert tensors["markov_head.markov_w2.weight"].shape == (20, 6)
    # Others' files do not say how deep their target is.
    del found["num_target_layers"]
    (tmp_path / "config.json").write_text(json.dumps(found))
    assert read_config(tmp_path).num_target_layers is None


def test_what_is_not_dsparks_in_a_speculators_file_is_refused(tmp_path: Path):
    original = saved(small_config(), tmp_path / "own")
    export_drafter(original, verifier(), "speculators", tmp_path / "own", tmp_path)
    path = tmp_path / "config.json"
    good = json.loads(path.read_text())
    assert "draft_vocab_size" in good and read_config(tmp_path).draft_vocab_size is None
    for changed, match in (
        ({"sample_from_anchor": False}, "do not predict from the anchor"),
        ({"speculators_model_type": "eagle3"}, "of type 'eagle3'"),
        ({"transformer_layer_config": {}}, "lacks a field"),
    ):
        path.write_text(json.dumps(good | changed))
        with pytest.raises(DrafterFormatError, match=match):
            read_config(tmp_path)


def test_the_calibration_goes_along_and_the_original_is_safe(tmp_path: Path, monkeypatch):
    own, out = tmp_path / "own", tmp_path / "out"
    original = saved(pruned(markov_head_type="rnn"), own)
    (own / "calibration.json").write_text("{}")
    notes = export_drafter(original, verifier(), "speculators", own, out)
    assert (out / "calibration.json").read_text() == "{}"
    assert any("vanilla" in note for note in notes)
    with pytest.raises(DrafterError, match="overwrite"):
        export_drafter(original, verifier(), "deepspec", own, own)
    before = {path.name: path.read_bytes() for path in out.iterdir()}

    def full(*args, **kwargs):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("agentspark.dspark.export.save_file", full)
    with pytest.raises(DrafterError, match="free some space"):
        export_drafter(original, verifier(), "deepspec", own, out)
    assert {path.name: path.read_bytes() for path in out.iterdir()} == before


@pytest.mark.parametrize("layout", FORMATS)
def test_the_card_tells_what_the_exported_file_holds(tmp_path: Path, layout):
    own, out = tmp_path / "own", tmp_path / "out"
    original = saved(pruned(), own)
    export_drafter(original, verifier(), layout, own, out)
    assert not (out / "README.md").exists()
    line = describe(original.config)
    assert "rank 6" in line and "20 of 60 tokens" in line and "not in the file" in line
    (own / "README.md").write_text(f"# Title\n\n{line}\n\n## Data\n- prompts\n")
    export_drafter(original, verifier(), layout, own, out)
    card = (out / "README.md").read_text()
    assert card.startswith("# Title\n\n2 draft layers")
    assert "## Data\n- prompts" in card
    assert "not in the file" not in card and "copied into the file" in card
    title, rank = {"deepspec": ("DeepSpec", 8), "speculators": ("speculators", 6)}[layout]
    section = card.split(f"## Exported as {title}\n")[1]
    assert f"rank {rank}, " in section and "20 of 60 tokens can be drafted" in section
    assert f"rank {14 - rank}," not in card
    assert ("no pruned vocabulary" in section) is (layout == "deepspec")
    found = json.loads((out / "config.json").read_text())
    assert found["markov_rank"] == rank


def test_an_export_over_a_calibrated_one_is_calibrated_only_if_it_is(tmp_path: Path):
    own, out = tmp_path / "own", tmp_path / "out"
    original = saved(small_config(), own)
    (own / "calibration.json").write_text("{}")
    export_drafter(original, verifier(), "deepspec", own, out)
    (own / "calibration.json").unlink()
    export_drafter(original, verifier(), "deepspec", own, out)
    assert not (out / "calibration.json").exists()


def test_what_tells_of_the_drafter_exported_before_goes(tmp_path: Path):
    own, out = tmp_path / "own", tmp_path / "out"
    original = saved(small_config(), own)
    out.mkdir()
    told = ("calibration-report.json", "calibration.png", "calibration.svg", "README.md")
    (out / "README.md").write_text("of a project, as no drafter is here yet")
    export_drafter(original, verifier(), "deepspec", own, out)
    assert (out / "README.md").exists()
    for name in (*told, "notes.txt"):
        (out / name).write_text("of the drafter before")
    export_drafter(original, verifier(), "deepspec", own, out)
    assert {path.name for path in out.iterdir()} == {
        "config.json", "model.safetensors", "notes.txt",
    }  # fmt: skip


def test_nothing_is_unfolded_where_nothing_is_pruned():
    model = small_drafter(small_config())
    assert unfold_vocabulary(model) is model


def test_maps_that_contradict_the_config_are_refused(tmp_path: Path):
    original = saved(pruned(), tmp_path / "own")
    export_drafter(original, verifier(), "speculators", tmp_path / "own", tmp_path)
    tensors = load_file(tmp_path / "model.safetensors")
    tensors["d2t"] = tensors["d2t"][:-1].clone()
    save_file(tensors, tmp_path / "model.safetensors")
    with pytest.raises(DrafterFormatError, match="lists 19"):
        load_drafter(tmp_path)


@pytest.mark.parametrize("family", ["dflash", "eagle3"])
def test_other_families_have_no_layout_to_export_to(tmp_path: Path, family: str):
    plain = {"markov_rank": 0, "enable_confidence_head": False, "num_hidden_layers": 1}
    config = small_config(family=family, confidence_head_with_markov=False, **plain)
    model = small_model(config)
    with pytest.raises(DrafterError, match=f"of family {family}"):
        export_drafter(model, verifier(), "speculators", tmp_path / "a", tmp_path / "b")
    assert not (tmp_path / "b").exists()
