"""LangGraph's ReAct agent (``langchain.agents.create_agent``) on ChatDSpark, with two tools.

    python examples/langgraph_agent.py FOLDER
    python examples/langgraph_agent.py FOLDER --base-url http://127.0.0.1:8000/v1

The first loads the model into this process; ``agentspark compare -- python ...`` runs that in both
arms. The second takes it from ``agentspark serve``. The default model is too weak to choose when to
call: a middleware makes it call tools for the first steps, and answer after that.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Any

from folder_tools import FolderTools
from langchain.agents import create_agent
from langchain.agents.middleware import ModelRequest, ModelResponse, wrap_model_call
from langchain_core.messages import AIMessage, BaseMessage

from langchain_dspark import ChatDSpark

TASK = "Find out what this folder is for. Use the tools, then answer in one sentence."


def build_agent(chat: ChatDSpark, folder: Path, calls: int) -> Any:
    """The agent as a graph; it calls tools in its first ``calls`` steps."""

    @wrap_model_call
    def steer(
        request: ModelRequest, handler: Callable[[ModelRequest], ModelResponse]
    ) -> ModelResponse:
        steps = sum(isinstance(message, AIMessage) for message in request.messages)
        return handler(request.override(tool_choice="any" if steps < calls else "none"))

    tools = FolderTools(folder)
    return create_agent(chat, [tools.list_files, tools.read_file], middleware=[steer])


def run(chat: ChatDSpark, folder: Path, calls: int) -> list[BaseMessage]:
    """Let the agent do its task; returns the whole conversation."""
    agent = build_agent(chat, folder, calls)
    config = {"recursion_limit": 4 * calls + 4}
    messages: list[BaseMessage] = agent.invoke({"messages": [("user", TASK)]}, config)["messages"]
    return messages


def main() -> None:
    """Run the agent on a folder and print what it did."""
    parser = argparse.ArgumentParser(description="Look into a folder with a LangGraph agent.")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--base-url")
    parser.add_argument("--model", default="smollm2")
    parser.add_argument("--calls", type=int, default=3, help="how many steps call tools")
    args = parser.parse_args()
    with ChatDSpark(model=args.model, base_url=args.base_url, max_tokens=64) as chat:
        for message in run(chat, args.folder, args.calls):
            message.pretty_print()


if __name__ == "__main__":
    main()
