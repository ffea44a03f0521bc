"""A compiler for the tiny tokenizer: grammars without a model."""

from __future__ import annotations

from pathlib import Path

import pytest

from agentspark.engine.grammar.compiler import GrammarCompiler
from agentspark.models import ChatTokenizer


@pytest.fixture(scope="module")
def compiler(tiny_target_dir: Path) -> GrammarCompiler:
    """For 512 tokens, of which 2 ends an output."""
    from transformers import AutoTokenizer

    tokenizer = ChatTokenizer(AutoTokenizer.from_pretrained(tiny_target_dir))
    return GrammarCompiler(tokenizer, 512, [2])
