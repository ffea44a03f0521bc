"""An agent reads a folder of source code and reports on it, with ChatDSpark.

    python examples/code_reader.py FOLDER

runs it once. To see what acceleration gains at each of its steps, run it in both arms:

    agentspark compare -- python examples/code_reader.py FOLDER

``agentspark demo FOLDER`` does the same in one process, the arms taking turns at every step. The
agent itself (its prompts and its control flow) is ``agentspark/cli/code_reader.py``.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from agentspark.cli.code_reader import CodeReader, Limits
from langchain_dspark import ChatDSpark

OWN_SOURCES = Path(__file__).resolve().parent.parent / "agentspark"


def main() -> None:
    """Read the folder, say what happens at each step, and print the report."""
    parser = argparse.ArgumentParser(description="Read source code and report on it.")
    parser.add_argument("folder", nargs="?", type=Path, default=OWN_SOURCES)
    parser.add_argument("--model", default="smollm2", help="target: a name, a folder, a GGUF file")
    parser.add_argument("--files", type=int, default=6, help="how many files to read")
    args = parser.parse_args()
    with ChatDSpark(model=args.model) as chat:
        reader = CodeReader(chat, args.folder, run="code reader", limits=Limits(files=args.files))
        for step in reader.steps():
            usage, timings = step.answer.usage_metadata, step.answer.response_metadata["timings"]
            cached = usage["input_token_details"]["cache_read"]
            print(
                f"{step.number:2}. {step.name}: {usage['input_tokens']} prompt tokens, "
                f"{cached} of them cached, {timings['total_ms'] / 1000:.1f} s"
            )
    print("\n" + reader.report)


if __name__ == "__main__":
    main()
