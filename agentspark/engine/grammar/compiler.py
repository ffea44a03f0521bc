"""Grammars compiled for one tokenizer, kept for the next request that asks for the same."""

from __future__ import annotations

import re
import threading
from collections.abc import Iterable
from typing import TYPE_CHECKING

import numpy as np

from agentspark.engine.grammar.closing import Closing
from agentspark.engine.grammar.constraint import Constraint
from agentspark.engine.grammar.endings import endings
from agentspark.engine.grammar.kept import Compiled, KeptGrammars
from agentspark.engine.grammar.state import GrammarState
from agentspark.engine.grammar.steering import Steering
from agentspark.engine.grammar.tables import GrammarTables
from agentspark.errors import InvalidRequestError
from agentspark.sampling import bits as masks

if TYPE_CHECKING:
    from llguidance import LLMatcher

    from agentspark.models.chat import ChatTokenizer

# Characters of a whole grammar, all its schemas together: it compiles in well under a second.
MAX_GRAMMAR_CHARS = 400_000
# Fields that come with a ``strict``.
_STRICT = ("tools", "response_format")
# Where in a grammar something is wrong: not where its writer sees it.
_PLACE = re.compile(r"^(?:(?:at )?\d+\(\d+\): )+")
# Tokens of a rule are counted up to this many characters: beyond, that would take longer than
# compiling it. Texts of schemas have two to four characters to a token.
_COUNTED_CHARS = 10_000


class GrammarCompiler:
    """Makes grammar states for requests; safe to use from several threads.

    The tokenizer's tables are made on the first use (half a second for 49,152 tokens); a grammar
    is compiled once and copied for every request. ``end_ids`` may be said wherever the grammar
    accepts what there is so far.
    """

    def __init__(self, tokenizer: ChatTokenizer, vocab_size: int, end_ids: Iterable[int]) -> None:
        self._tokenizer = tokenizer
        self._vocab_size = vocab_size
        self._end_ids = sorted(end_ids)
        # Held while tables are made and the store is looked at, never while a grammar is compiled.
        self._lock = threading.Lock()
        self._made: tuple[GrammarTables, Closing] | None = None
        self._kept = KeptGrammars()

    def state(self, constraint: Constraint, limit: int) -> GrammarState:
        """A request's place at the beginning of its grammar; ``limit`` tokens may come.

        Raises ``InvalidRequestError`` naming the field that asked for what cannot be expressed.
        """
        with self._lock:
            tables, closing = self._make()
            found = self._kept.find(constraint)
        if found is None:
            matcher = self._compile(tables, constraint)
            found = Compiled(matcher, _reach(tables, constraint.lark), _endings(tables, constraint))
            with self._lock:
                self._kept.keep(constraint, found)
        left = constraint.leaving
        closing = closing.leaving(left, tables.encode(left) if left else (), found.endings)
        steering = Steering(closing, limit, found.reach)
        return GrammarState(
            found.matcher.deep_copy(), self._vocab_size, steering, param=constraint.param
        )

    def _compile(self, tables: GrammarTables, constraint: Constraint) -> LLMatcher:
        lark = constraint.lark
        if len(lark) > MAX_GRAMMAR_CHARS:
            raise InvalidRequestError(
                f"{constraint.param} makes a grammar of {len(lark):,} characters and at most "
                f"{MAX_GRAMMAR_CHARS:,} are taken: give fewer or smaller schemas.",
                param=constraint.param,
            )
        matcher, problem = self._try(tables, lark)
        if problem is None:
            return matcher
        if (opened := constraint.opened.lark) != lark:
            other, still = self._try(tables, opened)
            if still is None:
                return other
        # Which of the schemas is it, if one of them?
        for schema in constraint.schemas:
            _, own = self._try(tables, f"start: %json {schema.text}")
            if own is not None:
                strict = schema.param.startswith(_STRICT) and not schema.lenient
                raise _refused(schema.param, own, strict=strict)
        raise _refused(constraint.param, problem)

    def _try(self, tables: GrammarTables, lark: str) -> tuple[LLMatcher, str | None]:
        """Compile a grammar and take a first look; returns what is wrong with it as well.

        Some grammars can be compiled but not begun: a schema that is nothing but itself.
        """
        from llguidance import LLMatcher

        # Silent: what is wrong with a request goes to its caller, not to the terminal.
        matcher = LLMatcher(tables.plain, lark, log_level=0)
        problem = matcher.get_error()
        if problem:
            return matcher, problem
        first, row = matcher.deep_copy(), masks.all_allowed(1, self._vocab_size)
        first.unsafe_compute_mask_ptr(row.ctypes.data, row.nbytes)
        if first.is_error() or not np.any(row):
            return matcher, "no text fits it: does it refer to nothing but itself?"
        return matcher, None

    @property
    def tables(self) -> GrammarTables:
        """The tokenizer as grammars see it; raises ``InvalidRequestError`` where they cannot."""
        with self._lock:
            return self._make()[0]

    def _make(self) -> tuple[GrammarTables, Closing]:
        if self._made is None:
            try:
                tables = GrammarTables.of(self._tokenizer.hf, self._vocab_size, self._end_ids)
            except ValueError as error:
                raise InvalidRequestError(
                    f"This model's tokenizer cannot be constrained by a grammar ({error}): ask "
                    "for plain text.",
                    param="response_format",
                ) from error
            self._made = tables, Closing(tables.plain)
        return self._made


def _endings(tables: GrammarTables, constraint: Constraint) -> list[list[int]]:
    texts = endings([schema.text for schema in constraint.schemas], constraint.pattern)
    return [list(tables.plain.tokenize_str(text)) for text in texts]


def _reach(tables: GrammarTables, lark: str) -> int:
    """Tokens that a part of the grammar may take to say: twice those of its longest rule."""
    return 2 * max(_tokens(tables, rule) for rule in lark.splitlines())


def _tokens(tables: GrammarTables, rule: str) -> int:
    if len(rule) > _COUNTED_CHARS:
        return len(rule) // 2
    return len(tables.plain.tokenize_str(rule))


def _refused(param: str, problem: str, *, strict: bool = False) -> InvalidRequestError:
    lines = [line.strip() for line in problem.strip().splitlines()]
    reasons = [line.removeprefix("error: ") for line in lines if line.startswith("error: ")]
    told = _PLACE.sub("", (reasons or lines)[0]).removesuffix(".").removesuffix("?")
    advice = ", or use strict=false, which leaves what cannot be enforced to the model"
    return InvalidRequestError(
        f"{param} cannot be enforced: {told}. Leave that part out{advice if strict else ''}.",
        param=param,
    )
