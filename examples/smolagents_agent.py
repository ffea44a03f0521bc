"""A smolagents ``ToolCallingAgent`` on ``agentspark serve``, with two tools.

    agentspark serve smollm2 --trace traces/smolagents.jsonl
    python examples/smolagents_agent.py FOLDER

smolagents requires a call at every step, its own ``final_answer`` among them; after ``--steps`` it
asks for an answer in words.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from folder_tools import FolderTools
from smolagents import OpenAIModel, Tool, ToolCallingAgent

TASK = "Find out what this folder is for. Use the tools, then answer in one sentence."


def tools_for(folder: Path) -> list[Tool]:
    """The tools as smolagents takes them: classes with their inputs described."""
    tools = FolderTools(folder)

    class ListFiles(Tool):
        """Lists the files."""

        name = "list_files"
        description = "List the files of the folder."
        inputs: dict[str, dict[str, str]] = {}  # noqa: RUF012  # smolagents checks this very name
        output_type = "string"

        def forward(self) -> str:
            """List the files."""
            return tools.list_files()

    class ReadFile(Tool):
        """Reads a file."""

        name = "read_file"
        description = "Read a file of the folder."
        inputs = {"name": {"type": "string", "description": "The file's name."}}  # noqa: RUF012
        output_type = "string"

        def forward(self, name: str) -> str:
            """Read a file."""
            return tools.read_file(name)

    return [ListFiles(), ReadFile()]


def run(base_url: str, model: str, folder: Path, steps: int) -> tuple[str, list[str]]:
    """The agent's answer, and the names of the tools it called."""
    asked = OpenAIModel(model, api_base=base_url, api_key="none", temperature=0, max_tokens=64)
    agent = ToolCallingAgent(
        tools=tools_for(folder), model=asked, max_steps=steps, verbosity_level=0
    )
    with asked.client:
        answer = agent.run(TASK)
    called = [
        call.name for step in agent.memory.steps for call in getattr(step, "tool_calls", None) or ()
    ]
    return str(answer), called


def main() -> None:
    """Run the agent on a folder and print what it did."""
    parser = argparse.ArgumentParser(description="Look into a folder with smolagents.")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--base-url", default="http://127.0.0.1:8000/v1")
    parser.add_argument("--model", default="smollm2")
    parser.add_argument("--steps", type=int, default=3, help="how many steps call tools")
    args = parser.parse_args()
    answer, called = run(args.base_url, args.model, args.folder, args.steps)
    print(", ".join(called))
    print(answer)


if __name__ == "__main__":
    main()
