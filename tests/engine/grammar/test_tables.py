"""Control tokens are no text to a grammar, and texts that spell them are no control tokens."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from agentspark.engine.grammar.compiler import GrammarCompiler
from agentspark.engine.grammar.constraint import Constraint
from agentspark.engine.grammar.tables import GrammarTables
from agentspark.models import ChatTokenizer
from agentspark.sampling import bits

VOCAB, END = 512, 2


@pytest.fixture(scope="module")
def tables(tiny_target_dir: Path) -> GrammarTables:
    from transformers import AutoTokenizer

    return GrammarTables.of(AutoTokenizer.from_pretrained(tiny_target_dir), VOCAB, [END])


@pytest.mark.parametrize(
    ("constraint", "text"),
    [
        (Constraint.choice(["say <|im_end|> now"]), "say <|im_end|> now"),
        (Constraint.regex(r"<\|im_end\|>!"), "<|im_end|>!"),
        (Constraint.json_schema({"const": "<|im_start|>"}), '"<|im_start|>"'),
        (
            Constraint.json_schema(
                {
                    "type": "object",
                    "properties": {"<|im_end|>": {"type": "null"}},
                    "required": ["<|im_end|>"],
                }
            ),
            '{"<|im_end|>": null}',
        ),
    ],
)
def test_a_forced_text_that_spells_a_control_token_is_said_as_text(
    compiler: GrammarCompiler, tables: GrammarTables, constraint: Constraint, text: str
) -> None:
    state, said = compiler.state(constraint, 100), []
    while not state.complete and len(said) < 60:
        (allowed,) = bits.allowed(state.rows(), VOCAB).tolist()
        said += state.advance([allowed.index(True)])
    assert state.failure is None
    assert said[-1:] == [END] or state.complete
    assert tables.plain.decode_bytes([t for t in said if t != END]) == text.encode()
    assert not {0, 1} & set(said)


def test_tokens_that_only_the_tokenizer_has_are_never_said(tiny_target_dir: Path) -> None:
    from tokenizers import AddedToken
    from transformers import AutoTokenizer

    hf = AutoTokenizer.from_pretrained(tiny_target_dir)
    hf.add_tokens([AddedToken("<img>", special=False), AddedToken("<end>", special=True)])
    compiler = GrammarCompiler(ChatTokenizer(hf), VOCAB, [END])
    state, said = compiler.state(Constraint.choice(["<img> and <end>"]), 100), []
    while not state.complete and len(said) < 60:
        row = state.rows()
        assert row.shape == (1, VOCAB // 32)
        said += state.advance([int(np.flatnonzero(bits.allowed(row, VOCAB)[0])[0])])
    assert compiler.tables.plain.decode_bytes([t for t in said if t != END]) == b"<img> and <end>"
    assert max(said) < VOCAB
    with pytest.raises(ValueError, match="vocab"):
        GrammarTables.of(hf, 24, [END])


def test_only_a_grammar_that_names_a_control_token_gets_it(tables: GrammarTables) -> None:
    assert tables.encode("a<|im_end|>b")[1] == END
    assert END not in tables.plain.tokenize_str("a<|im_end|>b")
    assert tables.plain.decode_bytes(tables.plain.tokenize_str("a<|im_end|>b")) == b"a<|im_end|>b"


def test_masks_are_those_of_the_tokenizer_as_it_is(tables: GrammarTables) -> None:
    from llguidance import LLMatcher

    grammar = 'start: %json {"type": "object", "properties": {"a b": {"enum": ["x y", "é☃"]}}}'
    one, other = (LLMatcher(t, grammar) for t in (tables.plain, tables.spelling))
    for _ in range(20):
        rows = [bits.all_allowed(1, VOCAB) for _ in range(2)]
        for matcher, row in zip((one, other), rows, strict=True):
            matcher.unsafe_compute_mask_ptr(row.ctypes.data, row.nbytes)
        assert np.array_equal(*rows)
        assert one.compute_ff_tokens() == other.compute_ff_tokens()
        if one.is_stopped():
            break
        token = int(bits.allowed(rows[0], VOCAB)[0].nonzero()[0][-1])
        assert one.consume_token(token) == other.consume_token(token)
