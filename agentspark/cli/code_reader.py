"""An agent that reads a folder of source code and reports on it, in a dozen model calls.

Its control flow is fixed and its questions are small (plan; show a file, ask what it is for and
what the main thing in it does; sum up the notes), so that a model of 135 million parameters gets
through. Each call sees everything that was read before it, a context that grows to a few thousand
tokens. Answers go into a notebook and come back at the end: a very small model that sees its last
answer repeats it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from agentspark.cli.sources import SourceFile, choose, excerpt, listing, main_name, read_folder

if TYPE_CHECKING:
    from langchain_core.language_models import BaseChatModel
    from langchain_core.messages import AIMessage, BaseMessage

SYSTEM = "You read source code and explain it to a colleague in one sentence at a time."
LISTING = "These are the files of {folder}:\n\n{listing}"
PLAN = "Which of these files would you read first, and why?"
FILE = "File {path}:\n\n{excerpt}"
READ = "In one sentence, what is {path} for?"
ASK = "What does `{name}` do?"
NOTES = "These are my notes on {folder}:\n\n{notes}"
SUM_UP = "In two sentences, what is {folder} for?"
# One sentence an answer: very small models wander off after it.
_ONE_SENTENCE = [". ", ".\n", "\n"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """How much is read and written, in tokens but for ``files``; bounds the whole conversation."""

    files: int = 6
    listing: int = 300
    excerpt: int = 400
    sentence: int = 48
    summary: int = 80


@dataclass(frozen=True, slots=True)
class Step:
    """One finished model call: its number from 1, its name and kind, and the model's answer."""

    number: int
    name: str
    kind: str
    answer: AIMessage

    @property
    def sentence(self) -> str:
        """The answer's text as one sentence."""
        text = " ".join(self.answer.text.split())
        return text if text.endswith((".", "!", "?")) else text + "."


class CodeReader:
    """Works through ``folder`` with any LangChain chat model; ``run`` names it in the trace."""

    def __init__(
        self, model: BaseChatModel, folder: Path, *, run: str, limits: Limits | None = None
    ) -> None:
        self._model = model
        self._run = run
        self._limits = limits or Limits()
        self._folder = folder.resolve().name
        self._files = read_folder(folder)
        self._chosen = choose(self._files, self._limits.files)
        self._seen: list[BaseMessage] = []
        self._notes: dict[str, str] = {}
        self._summary = ""
        self._number = 0

    @property
    def total(self) -> int:
        """How many model calls the work takes."""
        return 2 + len(self._chosen) + sum(main_name(file) is not None for file in self._chosen)

    @property
    def report(self) -> str:
        """What was found so far, as Markdown."""
        return f"# {self._folder}\n\n{self._summary}\n\n{self._noted()}"

    def steps(self) -> Iterator[Step]:
        """Do the work; one model call per item."""
        from langchain_core.messages import SystemMessage

        self._seen = [SystemMessage(SYSTEM)]
        shown = listing(self._files, self._model.get_num_tokens, self._limits.listing)
        self._show(LISTING.format(folder=self._folder, listing=shown))
        yield self._ask("plan", "plan", PLAN)
        for file in self._chosen:
            yield from self._study(file)
        self._show(NOTES.format(folder=self._folder, notes=self._noted()))
        question = SUM_UP.format(folder=self._folder)
        last = self._ask("sum up", "report", question, ["\n\n"], self._limits.summary)
        self._summary = last.answer.text
        yield last

    def _study(self, file: SourceFile) -> Iterator[Step]:
        shown = excerpt(file, self._model.get_num_tokens, self._limits.excerpt)
        self._show(FILE.format(path=file.path, excerpt=shown))
        step = self._ask(f"read {file.path}", "read", READ.format(path=file.path))
        self._notes[file.path] = step.sentence
        yield step
        name = main_name(file)
        if name is not None:
            step = self._ask(f"ask about {name}", "ask", ASK.format(name=name))
            self._notes[file.path] += " " + step.sentence
            yield step

    def _noted(self) -> str:
        return "\n".join(f"- `{path}`: {note}" for path, note in self._notes.items())

    def _show(self, text: str) -> None:
        from langchain_core.messages import HumanMessage

        self._seen.append(HumanMessage(text))

    def _ask(
        self,
        name: str,
        kind: str,
        question: str,
        stop: list[str] | None = None,
        max_tokens: int | None = None,
    ) -> Step:
        from langchain_core.messages import HumanMessage

        self._number += 1
        labels = {
            "agentspark_run": self._run,
            "agentspark_step": self._number,
            "agentspark_step_name": name,
            "agentspark_step_kind": kind,
        }
        answer = self._model.invoke(
            [*self._seen, HumanMessage(question)],
            config={"metadata": labels},
            stop=stop or _ONE_SENTENCE,
            max_tokens=max_tokens or self._limits.sentence,
        )
        return Step(self._number, name, kind, answer)
