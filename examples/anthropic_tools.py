"""An agent in Anthropic's package: its tool runner calls plain functions until it has an answer.

    agentspark serve smollm2 --trace traces/anthropic.jsonl
    python examples/anthropic_tools.py FOLDER

The address is the server's, without ``/v1``. As with ``openai_tools.py``, the trace shows the run
step by step, and ``--model smollm2:baseline`` makes its other arm:

    agentspark compare traces/anthropic.jsonl

The small default model is bad at choosing, so it is told when to call and when to answer.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any, Literal

import anthropic

TASK = "Find out what the files of this folder are for. Use the tools, then answer in one sentence."
MOST_CHARACTERS = 1500
CALL = {"type": "any", "disable_parallel_tool_use": True}


def tools_for(folder: Path) -> list[Any]:
    """The tools, which Anthropic's package describes to the model by their types and docstrings."""
    names = tuple(sorted(path.name for path in folder.iterdir() if path.is_file()))
    name_of_a_file = Literal[names]  # type: ignore[valid-type]

    def text_of(name: str) -> str:
        return (folder / name).read_text(encoding="utf-8", errors="replace")

    def count_lines(name: str) -> str:
        """Count the lines of a file."""
        return f"{name} has {len(text_of(name).splitlines())} lines."

    def read_file(name: str) -> str:
        """Read a file."""
        return text_of(name)[:MOST_CHARACTERS]

    for function in (count_lines, read_file):
        function.__annotations__["name"] = name_of_a_file
    return [anthropic.beta_tool(count_lines), anthropic.beta_tool(read_file)]


def run(client: anthropic.Anthropic, model: str, folder: Path, calls: int) -> str:
    """Let the model call tools ``calls`` times and answer; prints each step, returns the answer."""
    runner = client.beta.messages.tool_runner(
        model=model,
        max_tokens=64,
        messages=[{"role": "user", "content": TASK}],
        tools=tools_for(folder),
        tool_choice=CALL,  # type: ignore[arg-type]
        extra_body={"temperature": 0},
    )
    answer = ""
    for step, message in enumerate(runner, start=1):
        usage = message.usage
        cached = usage.cache_read_input_tokens or 0
        print(f"{step}. {usage.input_tokens + cached} prompt tokens, {cached} of them cached")
        for block in message.content:
            if block.type == "tool_use":
                print(f"-> {block.name}({block.input})")
            elif block.type == "text":
                answer = block.text
        if step == calls:
            runner.set_messages_params(lambda asked: {**asked, "tool_choice": {"type": "none"}})
    return answer


def main() -> None:
    """Run the agent on a folder and print what it did."""
    parser = argparse.ArgumentParser(description="Look into a folder with two tools.")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--base-url", default="http://127.0.0.1:8000")
    parser.add_argument("--model", default="smollm2")
    parser.add_argument("--calls", type=int, default=3, help="how many tools to call")
    args = parser.parse_args()
    with anthropic.Anthropic(base_url=args.base_url, api_key="none") as client:
        print(run(client, args.model, args.folder, args.calls))


if __name__ == "__main__":
    main()
