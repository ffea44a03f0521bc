"""Writes ``data/transcripts.jsonl``: agents at work on this repository.

``python -m benchmarks.make_transcripts`` makes them from the files as they are now. The file that
is kept stays as it is while sources change, so that measurements of two commits do the same work.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from agentspark.cli.jsonl import LinesFile
from benchmarks.bench import DATA
from benchmarks.transcript_tools import Repository

ROOT = Path(__file__).parent.parent

SYSTEM = (
    "You are a careful engineer who works on a Python repository with these tools:\n"
    "list_files(folder), read_file(path, start), search(pattern, folder), outline(path).\n"
    'Call one tool a turn, as JSON: {"tool": name, "arguments": {...}}. Before the call, say in '
    "one or two sentences what the last result showed. When you are asked for it, write the result."
)


@dataclass(frozen=True, slots=True)
class Call:
    """One turn of the agent: what it says of the last result, and the tool it calls next."""

    says: str
    tool: str
    arguments: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Story:
    """One agent's task, its calls in order, and what it is asked for at the end."""

    id: str
    task: str
    calls: tuple[Call, ...]
    last_words: str
    request: str


def _list(says: str, folder: str) -> Call:
    return Call(says, "list_files", {"folder": folder})


def _read(says: str, path: str, start: int = 1) -> Call:
    return Call(says, "read_file", {"path": path, "start": start})


def _search(says: str, pattern: str, folder: str) -> Call:
    return Call(says, "search", {"pattern": pattern, "folder": folder})


def _outline(says: str, path: str) -> Call:
    return Call(says, "outline", {"path": path})


STORIES = (
    Story(
        "explain-prefix-cache",
        "Explain to a new colleague how requests share cached prefixes: which parts take part, who "
        "holds which block, and what keeps two tenants apart. Read the code first.",
        (
            _list("I begin with the files that deal with keys and values.", "agentspark/kv"),
            _read("There is a contract, so I read that first.", "agentspark/kv/contract.py"),
            _outline("The contract is match, lock, insert, evict.", "agentspark/kv/prefix.py"),
            _read("The tree is made of nodes. I look at one.", "agentspark/kv/node.py"),
            _outline("A node holds whole blocks. Now the pool.", "agentspark/kv/blocks.py"),
            _read("References are counted in the pool.", "agentspark/engine/memory.py"),
            _search("Admission locks a match. Who sets the salt?", "salt", "agentspark/engine"),
            _read("The namespace is made at intake.", "agentspark/engine/intake.py", 30),
            _read("I check what the store keeps per block.", "agentspark/kv/store.py", 44),
        ),
        "The store keeps the target's and the drafter's layers together. I have seen enough.",
        "Write the explanation now: five short paragraphs, with the names of the classes.",
    ),
    Story(
        "review-error-messages",
        "Review the error messages of the command line: each must say what happened and what to do "
        "next. List those that do not, with file and line.",
        (
            _read("First the tree of errors itself.", "agentspark/errors.py"),
            _list("Now the files of the command.", "agentspark/cli"),
            _search("I look for every place that raises.", r"raise \w+", "agentspark/cli"),
            _read("Most are about input files.", "agentspark/prompts/lines.py"),
            _read("These name the line. Next, prompts.", "agentspark/prompts/prompt.py", 59),
            _read("Good messages. Transcripts now.", "agentspark/cli/transcripts.py", 22),
            _read("Each says which line. How do they reach people?", "agentspark/cli/main.py"),
            _search("One line and an exit code. Models next.", r"raise \w+", "agentspark/models"),
            _read("I check the longest of these.", "agentspark/models/target.py", 66),
        ),
        "The messages of the models say what to get or to change. I can write the review.",
        "Write the review: a table with file, line, message and what is missing, then a summary.",
    ),
    Story(
        "document-trace-records",
        "Write a page for a data engineer who will load trace files into a warehouse: what a "
        "record holds, its units, what may be missing, and what happens after a crash.",
        (
            _list("I look at what there is.", "agentspark/trace"),
            _read("The record's file comes first.", "agentspark/trace/record.py", 1),
            _read("The rest of the fields follow.", "agentspark/trace/record.py", 60),
            _read("Now how a record is made.", "agentspark/engine/recording.py", 30),
            _read("Durations are rounded milliseconds.", "agentspark/trace/recorder.py", 26),
            _outline("Each record is one append.", "agentspark/trace/reader.py"),
            _search("The reader forgives a torn line.", "torn", "agentspark"),
            _read("Costs are the last open point.", "agentspark/trace/cost.py"),
            _read("And where it was made.", "agentspark/trace/environment.py"),
            _read("Repetitions are in the label.", "agentspark/trace/runs.py"),
        ),
        "A run and its repetition are kept apart in the record. That is all I need.",
        "Write the page: fields by group with units, then missing values, then crashes.",
    ),
)


def build(root: Path = ROOT) -> list[dict[str, Any]]:
    """The transcripts, ``{"id", "steps"}`` each; a step's messages extend the last step's."""
    return [{"id": story.id, "steps": _steps(story, Repository(root))} for story in STORIES]


def _steps(story: Story, repository: Repository) -> list[list[dict[str, str]]]:
    tools: dict[str, Callable[..., str]] = {
        "list_files": repository.list_files,
        "read_file": repository.read_file,
        "search": repository.search,
        "outline": repository.outline,
    }
    messages = [_message("system", SYSTEM), _message("user", story.task)]
    steps = [list(messages)]
    for call in story.calls:
        request = json.dumps({"tool": call.tool, "arguments": call.arguments})
        result = tools[call.tool](**call.arguments)
        messages += [_message("assistant", f"{call.says}\n{request}"), _message("tool", result)]
        steps.append(list(messages))
    messages += [_message("assistant", story.last_words), _message("user", story.request)]
    steps.append(list(messages))
    return steps


def _message(role: str, content: str) -> dict[str, str]:
    return {"role": role, "content": content}


def main() -> None:
    """Write the file anew."""
    with LinesFile(DATA / "transcripts.jsonl") as file:
        for transcript in build():
            file.write(transcript)


if __name__ == "__main__":
    main()
