"""An agent in one loop around the ``openai`` package: it looks into a folder with two tools.

    agentspark serve smollm2 --trace traces/tools.jsonl
    python examples/openai_tools.py FOLDER

Nothing in it is agentspark's but the address, and yet the trace shows it step by step: a chat that
goes on belongs to the run it began. Run it again with ``--model smollm2:baseline`` and compare:

    agentspark compare traces/tools.jsonl

The small default model is bad at choosing, so it is told when to call and when to answer; what it
may call, and with which arguments, is up to it and always fits the tools' schemas.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from openai import OpenAI

TASK = "Find out what the files of this folder are for. Use the tools, then answer in one sentence."
MOST_CHARACTERS = 1500


def tools_for(folder: Path) -> tuple[list[dict[str, Any]], dict[str, Callable[..., str]]]:
    """The tools as the API takes them, and what they do."""
    names = sorted(path.name for path in folder.iterdir() if path.is_file())

    def text_of(name: str) -> str:
        return (folder / name).read_text(encoding="utf-8", errors="replace")

    def count_lines(name: str) -> str:
        return f"{name} has {len(text_of(name).splitlines())} lines."

    def read_file(name: str) -> str:
        return text_of(name)[:MOST_CHARACTERS]

    parameters = {
        "type": "object",
        "properties": {"name": {"type": "string", "enum": names}},
        "required": ["name"],
    }
    does = {"count_lines": "Count the lines of a file.", "read_file": "Read a file."}
    described = [
        {
            "type": "function",
            "function": {"name": name, "description": text, "parameters": parameters},
        }
        for name, text in does.items()
    ]
    return described, {"count_lines": count_lines, "read_file": read_file}


def run(client: OpenAI, model: str, folder: Path, calls: int) -> list[dict[str, Any]]:
    """Let the model call tools ``calls`` times and answer; returns the whole conversation."""
    described, functions = tools_for(folder)
    messages: list[dict[str, Any]] = [{"role": "user", "content": TASK}]
    for step in range(calls + 1):
        answer = client.chat.completions.create(
            model=model,
            messages=messages,  # type: ignore[arg-type]
            tools=described,  # type: ignore[arg-type]
            tool_choice="required" if step < calls else "none",
            parallel_tool_calls=False,
            temperature=0,
            max_tokens=64,
        )
        said = answer.choices[0].message
        messages.append(said.model_dump(exclude_none=True))
        for call in said.tool_calls or ():
            result = functions[call.function.name](**json.loads(call.function.arguments))
            messages.append({"role": "tool", "tool_call_id": call.id, "content": result})
        usage = answer.usage
        print(f"{step + 1}. {usage.prompt_tokens} prompt tokens, ", end="")
        print(f"{usage.prompt_tokens_details.cached_tokens} of them cached")
    return messages


def main() -> None:
    """Run the agent on a folder and print what it did."""
    parser = argparse.ArgumentParser(description="Look into a folder with two tools.")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--base-url", default="http://127.0.0.1:8000/v1")
    parser.add_argument("--model", default="smollm2")
    parser.add_argument("--calls", type=int, default=3, help="how many tools to call")
    args = parser.parse_args()
    with OpenAI(base_url=args.base_url, api_key="none") as client:
        messages = run(client, args.model, args.folder, args.calls)
    for message in messages[1:]:
        for call in message.get("tool_calls", ()):
            print(f"-> {call['function']['name']}({call['function']['arguments']})")
    print(messages[-1]["content"])


if __name__ == "__main__":
    main()
