"""An agent of OpenAI's Agents SDK on ``agentspark serve``, with two tools.

    agentspark serve smollm2 --trace traces/agents.jsonl
    python examples/openai_agents_sdk.py FOLDER

The SDK makes the model call a tool first (``tool_choice="required"``) and lets it answer then.
"""

from __future__ import annotations

import argparse
import asyncio
from pathlib import Path

from agents import (
    Agent,
    ModelSettings,
    OpenAIChatCompletionsModel,
    Runner,
    function_tool,
    set_tracing_disabled,
)
from folder_tools import FolderTools
from openai import AsyncOpenAI

TASK = "Find out what this folder is for. Use a tool, then answer in one sentence."


async def run(base_url: str, model: str, folder: Path) -> tuple[str, list[str]]:
    """The agent's answer, and the kinds of items it made on the way."""
    set_tracing_disabled(True)  # its traces would go to OpenAI
    tools = FolderTools(folder)
    async with AsyncOpenAI(base_url=base_url, api_key="none") as client:
        agent = Agent(
            name="Reader",
            instructions="You look into folders.",
            model=OpenAIChatCompletionsModel(model=model, openai_client=client),
            model_settings=ModelSettings(temperature=0, max_tokens=64, tool_choice="required"),
            tools=[function_tool(tools.list_files), function_tool(tools.read_file)],
        )
        result = await Runner.run(agent, TASK, max_turns=6)
    return str(result.final_output), [item.type for item in result.new_items]


def main() -> None:
    """Run the agent on a folder and print what it did."""
    parser = argparse.ArgumentParser(description="Look into a folder with the Agents SDK.")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--base-url", default="http://127.0.0.1:8000/v1")
    parser.add_argument("--model", default="smollm2")
    args = parser.parse_args()
    answer, kinds = asyncio.run(run(args.base_url, args.model, args.folder))
    print(", ".join(kinds))
    print(answer)


if __name__ == "__main__":
    main()
