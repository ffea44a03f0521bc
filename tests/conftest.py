"""Fixtures every room shares: tiny random targets, the real default target, seeds."""

from __future__ import annotations

import os
import random
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import settings

if TYPE_CHECKING:
    from transformers import PreTrainedConfig, PreTrainedTokenizerFast

    from agentspark.engine.result import Completion
    from agentspark.train.store import FeatureStore
    from tests.family_drafters import FamilyDir

# Processes of ``pytest -n`` share the cores, and so do the commands that they start.
THREADS = 1 if "PYTEST_XDIST_WORKER" in os.environ else min(2, os.cpu_count() or 1)
os.environ.setdefault("OMP_NUM_THREADS", str(THREADS))
if "PYTEST_XDIST_WORKER" in os.environ:
    # Where an engine has two threads, the one that waits must not take the core the other needs.
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")

# The files that take longest, the longest first. Processes of ``pytest -n`` take whole files in
# this order: whoever came upon one of these at the end would keep all others waiting.
LONGEST = (
    "adapters/langchain_dspark/test_standard_integration.py",
    "engine/test_lossless.py",
    "engine/test_real.py",
    "examples/test_frameworks.py",
    "drafting/test_families.py",
    "engine/test_chat_tools.py",
    "engine/test_verify.py",
    "benchmarks/test_http.py",
    "examples/test_code_reader.py",
    "engine/test_equivalence.py",
    "cli/test_comparisons.py",
    "test_readme.py",
    "engine/test_real_tools.py",
    "engine/test_schedules.py",
    "train/test_ranks.py",
    "train/test_pipeline.py",
)

# The machine may be busy: how long one example takes says nothing.
settings.register_profile("agentspark", deadline=None)
settings.load_profile("agentspark")

CHATML = (
    "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\n'"
    " + message['content'] + '<|im_end|>' + '\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
CORPUS = (
    "An agent reads a file, notes what it found, and reads the next file until the work is done.",
    "def add(first: int, second: int) -> int:\n    return first + second\n\n\nprint(add(2, 40))\n",
    "The cache keeps the keys and values of every prefix that two requests have in common.",
    '{"name": "read_file", "arguments": {"path": "src/main.py", "lines": [10, 200]}}',
    "A draft is accepted when the target would have chosen the same token in the same place.",
    "Scheduling spends one budget of verification on the drafts most likely to survive the target.",
    "Each branch of a run shares its blocks with its siblings; only what differs takes memory.",
    "Übergrößenträger, naïve café, Straße, déjà vu: letters that take more than one byte.",
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the longest files first; skip tests marked ``gpu`` where there is no CUDA device."""
    here = Path(__file__).parent
    places = {here / name: place for place, name in enumerate(LONGEST)}
    items.sort(key=lambda item: places.get(item.path, len(places)))
    marked = [item for item in items if item.get_closest_marker("gpu")]
    if not marked:
        return
    import torch

    if not torch.cuda.is_available():
        for item in marked:
            item.add_marker(pytest.mark.skip(reason="needs a CUDA device; this machine has none"))


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Give engines of the real target a pool that takes no seconds to fill with zeros."""
    if item.get_closest_marker("real"):
        from agentspark.engine import assembly

        assembly._CPU_TOKENS = 16_384


@pytest.fixture(autouse=True)
def _same_start() -> Iterator[None]:
    """Seed every generator, and give torch as many threads as a test starts with."""
    random.seed(0)
    if "torch" in sys.modules:
        import numpy
        import torch

        numpy.random.seed(0)
        torch.manual_seed(0)
        torch.set_num_threads(THREADS)
    yield


def tiny_tokenizer() -> PreTrainedTokenizerFast:
    """A byte-level BPE tokenizer of 512 tokens; ids 0, 1, 2 are the ChatML control tokens."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    raw = Tokenizer(models.BPE())
    raw.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    raw.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=512,
        special_tokens=["<|endoftext|>", "<|im_start|>", "<|im_end|>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    raw.train_from_iterator(CORPUS, trainer)
    return PreTrainedTokenizerFast(
        tokenizer_object=raw,
        bos_token="<|im_start|>",
        eos_token="<|im_end|>",
        pad_token="<|im_end|>",
        unk_token="<|endoftext|>",
        chat_template=CHATML,
        clean_up_tokenization_spaces=False,
    )


def _shape(**more: object) -> dict[str, object]:
    # Weights larger than usual, so that logits are far enough apart to rank in bfloat16.
    return {
        "vocab_size": 512,
        "hidden_size": 64,
        "intermediate_size": 128,
        "num_hidden_layers": 3,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "head_dim": 16,
        "max_position_embeddings": 2048,
        "initializer_range": 0.2,
        "bos_token_id": 1,
        "eos_token_id": 2,
        "pad_token_id": 2,
        **more,
    }


def _save_tiny(config: PreTrainedConfig, folder: Path) -> Path:
    import torch
    from transformers import AutoModelForCausalLM

    torch.manual_seed(7)
    model = AutoModelForCausalLM.from_config(config, dtype=torch.bfloat16)
    model.save_pretrained(folder)
    tiny_tokenizer().save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def tiny_target_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A random Llama (3 layers, hidden 64, 4 heads, 2 kv heads, vocab 512) in bf16 safetensors."""
    from transformers import LlamaConfig

    return _save_tiny(LlamaConfig(**_shape()), tmp_path_factory.mktemp("tiny-llama"))


@pytest.fixture(scope="session")
def tiny_qwen3_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same as a Qwen3, with tied embeddings."""
    from transformers import Qwen3Config

    config = Qwen3Config(**_shape(tie_word_embeddings=True))
    return _save_tiny(config, tmp_path_factory.mktemp("tiny-qwen3"))


def _gemma4(**more: object) -> PreTrainedConfig:
    from transformers import Gemma4TextConfig

    kinds = ["sliding_attention", "full_attention"]
    shape = _shape(
        num_hidden_layers=4,
        layer_types=kinds * 2,
        global_head_dim=32,
        sliding_window=24,
        hidden_size_per_layer_input=0,
        vocab_size_per_layer_input=512,
        initializer_range=0.05,
    )
    return Gemma4TextConfig(**{**shape, **more})


@pytest.fixture(scope="session")
def tiny_gemma4_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A random Gemma 4 as its large ones are: keys that are values too, and capped logits."""
    config = _gemma4(
        attention_k_eq_v=True, num_global_key_value_heads=1, final_logit_softcapping=3.0
    )
    return _save_tiny(config, tmp_path_factory.mktemp("tiny-gemma4"))


@pytest.fixture(scope="session")
def tiny_gemma4_small_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A random Gemma 4 as its small ones are: shared keys and values, embeddings per layer."""
    config = _gemma4(
        num_hidden_layers=6,
        layer_types=["sliding_attention", "full_attention"] * 3,
        num_kv_shared_layers=2,
        use_double_wide_mlp=True,
        hidden_size_per_layer_input=16,
    )
    return _save_tiny(config, tmp_path_factory.mktemp("tiny-gemma4-small"))


@pytest.fixture(scope="session")
def smollm2_dir() -> Path:
    """The folder of the real default target, converted once into the usual cache folder."""
    from agentspark.models import resolve_target

    return resolve_target("smollm2")


@pytest.fixture(scope="session")
def tiny_drafter_dir(tiny_target_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A random drafter of the tiny target: its drafts are rarely right, its paths all run."""
    import torch

    from agentspark.dspark.check import target_fingerprint
    from agentspark.dspark.checkpoint import save_drafter
    from agentspark.dspark.config import DrafterConfig
    from agentspark.dspark.model import DSparkModel
    from agentspark.models import load_target

    target = load_target(tiny_target_dir)
    embed = target.model.get_input_embeddings().weight
    head = target.model.get_output_embeddings().weight
    torch.manual_seed(3)
    config = DrafterConfig(
        hidden_size=64,
        intermediate_size=96,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        head_dim=16,
        vocab_size=512,
        num_target_layers=3,
        target_layer_ids=(-1, 0, 1),
        mask_token_id=0,
        block_size=5,
        markov_rank=8,
        draft_vocab_size=300,
        target_fingerprint=target_fingerprint(embed, head),
    )
    folder = tmp_path_factory.mktemp("tiny-drafter")
    save_drafter(DSparkModel(config, torch.arange(0, 300)), folder)
    return folder


@pytest.fixture(scope="session")
def family_dir(tiny_target_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> FamilyDir:
    """Gives the folder of a little trained drafter of a family (``family_drafters.SHAPES``).

    It is trained once for all processes of ``pytest -n``, whose tiny targets are the same.
    """
    from filelock import FileLock

    from tests import family_drafters

    base = tmp_path_factory.getbasetemp()
    folder = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "families"
    folder.mkdir(exist_ok=True)
    stores: list[FeatureStore] = []

    def trained(name: str) -> Path:
        drafter = folder / name / "drafter"
        with FileLock(folder / f"{name}.lock"):
            if not drafter.exists():
                if not stores:
                    own = folder / f"data-{os.getpid()}"
                    stores.append(family_drafters.greedy_features(tiny_target_dir, own))
                losses = family_drafters.train(name, tiny_target_dir, stores[0], folder / name)
                assert losses[-1] < 0.85 * losses[0], f"{name} did not learn: {losses}"
        return drafter

    return trained


@pytest.fixture(scope="session")
def cost_cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the engines of the tests keep their cost tables."""
    return tmp_path_factory.mktemp("cache")


@pytest.fixture
def make_completion() -> Callable[..., Completion]:
    """Makes a finished request, any field of it changed."""
    from tests.completions import completion

    return completion
