"""Grammars compiled for one tokenizer, kept for the next request that asks for the same."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Iterable
from typing import TYPE_CHECKING

from agentspark.engine.grammar.closing import Closing
from agentspark.engine.grammar.constraint import Constraint
from agentspark.engine.grammar.state import GrammarState
from agentspark.engine.grammar.steering import Steering
from agentspark.errors import InvalidRequestError

if TYPE_CHECKING:
    from llguidance import LLMatcher, LLTokenizer

    from agentspark.models.chat import ChatTokenizer

_KEPT = 128


class GrammarCompiler:
    """Makes grammar states for requests; safe to use from several threads.

    The tokenizer's tables are made on the first use (a third of a second for 49,152 tokens); a
    grammar is compiled once and copied for every request. ``end_ids`` may be said wherever the
    grammar accepts what there is so far.
    """

    def __init__(self, tokenizer: ChatTokenizer, vocab_size: int, end_ids: Iterable[int]) -> None:
        self._tokenizer = tokenizer
        self._vocab_size = vocab_size
        self._end_ids = sorted(end_ids)
        self._lock = threading.Lock()
        self._tables: LLTokenizer | None = None
        self._closing: Closing | None = None
        self._compiled: OrderedDict[Constraint, tuple[LLMatcher, int]] = OrderedDict()

    def state(self, constraint: Constraint, limit: int) -> GrammarState:
        """A request's place at the beginning of its grammar; ``limit`` tokens may come.

        Raises ``InvalidRequestError`` naming the field that asked for what cannot be expressed.
        """
        with self._lock:
            found = self._compiled.get(constraint)
            if found is None:
                found = self._compile(constraint), self._reach(constraint)
                self._compiled[constraint] = found
                while len(self._compiled) > _KEPT:
                    self._compiled.popitem(last=False)
            self._compiled.move_to_end(constraint)
            if self._closing is None:
                self._closing = Closing(self._tokenizer_tables())
            closing = self._closing.leaving(constraint.leaving)
            matcher, reach = found
            steering = Steering(closing, limit, reach)
            return GrammarState(matcher.deep_copy(), self._vocab_size, steering)

    def _compile(self, constraint: Constraint) -> LLMatcher:
        from llguidance import LLMatcher

        tables = self._tokenizer_tables()
        for schema in constraint.schemas:
            problem = _problem(f"start: %json {schema.text}")
            if problem is not None:
                raise _refused(schema.param, problem)
        problem = _problem(constraint.lark)
        if problem is None:
            # Silent: what is wrong with a request goes to its caller, not to the terminal.
            matcher = LLMatcher(tables, constraint.lark, log_level=0)
            problem = matcher.get_error() or None
        if problem is not None:
            raise _refused(constraint.param, problem)
        return matcher

    def _reach(self, constraint: Constraint) -> int:
        """Tokens that a part of the grammar may take to say: twice those of its longest rule."""
        tables = self._tokenizer_tables()
        return 2 * max(len(tables.tokenize_str(rule)) for rule in constraint.lark.splitlines())

    def _tokenizer_tables(self) -> LLTokenizer:
        if self._tables is None:
            from llguidance.hf import from_tokenizer

            try:
                self._tables = from_tokenizer(
                    self._tokenizer.hf,  # type: ignore[arg-type]
                    n_vocab=self._vocab_size,
                    eos_token=self._end_ids,
                )
            except ValueError as error:
                raise InvalidRequestError(
                    f"This model's tokenizer cannot be constrained by a grammar ({error}): ask "
                    "for plain text.",
                    param="response_format",
                ) from error
        return self._tables


def _problem(lark: str) -> str | None:
    from llguidance import LLMatcher

    wrong, messages = LLMatcher.validate_grammar_with_warnings(lark)
    return messages[0] if wrong else None


def _refused(param: str, problem: str) -> InvalidRequestError:
    lines = [line.strip() for line in problem.strip().splitlines()]
    reasons = [line.removeprefix("error: ") for line in lines if line.startswith("error: ")]
    told = (reasons or lines)[0].removesuffix(".")
    return InvalidRequestError(
        f"{param} cannot be enforced: {told}. Leave that part out; of a JSON schema, "
        "strict=false leaves what cannot be enforced to the model.",
        param=param,
    )
