"""A Pydantic AI agent on ``agentspark serve``: two tools, and a report of a fixed shape.

    agentspark serve smollm2 --trace traces/pydantic.jsonl
    python examples/pydantic_ai_agent.py FOLDER

Pydantic AI makes the model call something at every step: a tool, or the output. The default model
is too weak to see when it is done, so its tools are taken away after a few steps; then the report
is all that is left to call.
"""

from __future__ import annotations

import argparse
import asyncio
from pathlib import Path

from folder_tools import FolderTools
from openai import AsyncOpenAI
from pydantic import BaseModel, Field
from pydantic_ai import Agent, RunContext, Tool, ToolDefinition
from pydantic_ai.models.openai import OpenAIChatModel, OpenAIChatModelSettings
from pydantic_ai.providers.openai import OpenAIProvider

TASK = "Find out what this folder is for. Use the tools, then report."


class Report(BaseModel):
    """What the folder is for."""

    purpose: str = Field(max_length=120)
    files: int = Field(ge=0, le=1000)


async def run(base_url: str, model: str, folder: Path, calls: int) -> tuple[Report, int]:
    """The report, and how many requests it took; tools are there for ``calls`` steps."""
    tools = FolderTools(folder)

    async def at_first(context: RunContext[None], tool: ToolDefinition) -> ToolDefinition | None:
        return tool if context.run_step <= calls else None

    async with AsyncOpenAI(base_url=base_url, api_key="none") as client:
        agent = Agent(
            OpenAIChatModel(model, provider=OpenAIProvider(openai_client=client)),
            output_type=Report,
            tools=[
                Tool(tools.list_files, prepare=at_first),
                Tool(tools.read_file, prepare=at_first),
            ],
            model_settings=OpenAIChatModelSettings(temperature=0.0, max_tokens=96),
        )
        result = await agent.run(TASK)
    return result.output, result.usage.requests


def main() -> None:
    """Run the agent on a folder and print its report."""
    parser = argparse.ArgumentParser(description="Look into a folder with Pydantic AI.")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--base-url", default="http://127.0.0.1:8000/v1")
    parser.add_argument("--model", default="smollm2")
    parser.add_argument("--calls", type=int, default=2, help="how many steps may call tools")
    args = parser.parse_args()
    report, requests = asyncio.run(run(args.base_url, args.model, args.folder, args.calls))
    print(f"{requests} requests: {report.model_dump_json()}")


if __name__ == "__main__":
    main()
