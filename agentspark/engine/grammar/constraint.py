"""What a request's output must look like, as a grammar that is not compiled yet."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace

from agentspark.engine.grammar.schema import SchemaText, schema_text
from agentspark.engine.texts import check_text
from agentspark.errors import InvalidRequestError

MAX_REGEX_CHARS = 20_000
MAX_CHOICES = 10_000
MAX_GRAMMAR_TEXT = 100_000


@dataclass(frozen=True, slots=True)
class Constraint:
    """A grammar in llguidance's Lark dialect whose start rule is ``answer``.

    ``param`` names the request's field that asked for it; ``schemas`` are the JSON schemas in it,
    each with the field it came from, so that an error names the right one. ``preamble`` is what
    may or must come before the answer (a rule ``preamble``): a section of reasoning, which the
    text ``leaving`` ends. ``pattern`` is one that the answer, or a part of it, matches as a whole.
    """

    rules: str
    param: str
    schemas: tuple[SchemaText, ...] = ()
    preamble: str = ""
    leaving: str = ""
    pattern: str = ""

    @property
    def lark(self) -> str:
        """The whole grammar."""
        start = "start: preamble answer" if self.preamble else "start: answer"
        return "\n".join(filter(None, (start, self.preamble, self.rules)))

    @property
    def opened(self) -> Constraint:
        """The same with all objects open that its schemas leave open."""
        rules = self.rules
        for schema in self.schemas:
            rules = rules.replace(f"%json {schema.text}", f"%json {schema.opened or schema.text}")
        return replace(self, rules=rules)

    @classmethod
    def json_schema(
        cls, schema: object, *, strict: bool | None = None, param: str = "response_format"
    ) -> Constraint:
        """JSON that validates against ``schema``, on one line.

        A keyword that the grammar cannot express is an error when the request is submitted; with
        ``strict=False`` it is not enforced instead.
        """
        text = schema_text(schema, strict=strict, param=param)
        return cls(f"answer: %json {text.text}", param, (text,))

    @classmethod
    def json_object(cls, *, param: str = "response_format") -> Constraint:
        """Any JSON object."""
        return cls.json_schema({"type": "object"}, param=param)

    @classmethod
    def regex(cls, pattern: str, *, param: str = "regex") -> Constraint:
        """Text that ``pattern`` matches as a whole (Rust's regex syntax, no look-around).

        ``\\d`` is 0 to 9; what other classes match is Unicode.
        """
        from llguidance import regex_to_lark

        if not isinstance(pattern, str) or not 0 < len(pattern) <= MAX_REGEX_CHARS:
            raise InvalidRequestError(
                f"{param} must be a pattern of 1 to {MAX_REGEX_CHARS} characters.", param=param
            )
        check_text(pattern, param)
        return cls(
            f"answer: PATTERN\nPATTERN: /{regex_to_lark(pattern, use_ascii='d')}/",
            param,
            pattern=pattern,
        )

    @classmethod
    def grammar(cls, text: str, *, param: str = "grammar") -> Constraint:
        """Text of a grammar: Lark's, as llguidance knows it, or GBNF, as llama.cpp has it.

        Its rule ``start`` (``root`` in GBNF) is the whole text. Control tokens that it names by
        ``<[ID]>`` or ``<NAME>`` come as such, whatever they do.
        """
        if not isinstance(text, str) or not 0 < len(text) <= MAX_GRAMMAR_TEXT:
            raise InvalidRequestError(
                f"{param} must be a grammar of 1 to {MAX_GRAMMAR_TEXT:,} characters.", param=param
            )
        check_text(text, param)
        return cls(f"answer: %lark {{\n{_in_lark(text, param)}\n}}", param)

    @classmethod
    def choice(cls, choices: Sequence[str], *, param: str = "choice") -> Constraint:
        """One of ``choices``, literally."""
        if (
            isinstance(choices, str)
            or not isinstance(choices, Sequence)
            or not 0 < len(choices) <= MAX_CHOICES
            or not all(isinstance(choice, str) and choice for choice in choices)
        ):
            raise InvalidRequestError(
                f"{param} must be a list of 1 to {MAX_CHOICES} texts that are not empty.",
                param=param,
            )
        for text in choices:
            check_text(text, param)
        # One terminal: as alternatives of a rule each would be an item of the parser, which gives
        # up at 2,000 of them.
        return cls("answer: CHOICE\nCHOICE: " + " | ".join(map(quoted, choices)), param)


def quoted(text: str) -> str:
    """``text`` as a literal of the grammar."""
    # Grammars refuse control characters, and JSON escapes all of them but this one.
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")


def _in_lark(text: str, param: str) -> str:
    from llguidance.gbnf_to_lark import any_to_lark

    try:
        return str(any_to_lark(text))
    except Exception as error:  # of that very class, among others
        problem = " ".join(str(error).split())[:200] or type(error).__name__
        raise InvalidRequestError(
            f"{param} is no grammar of Lark, with a rule start, nor one in GBNF, with a rule root: "
            f"{problem}.",
            param=param,
        ) from error
