"""The ``agentspark`` command. Heavy imports wait inside the commands, so ``--help`` is fast."""

from __future__ import annotations


def main() -> None:
    """Entry point of the console script; ends the process with the command's exit code."""
    import sys

    from agentspark.cli.main import run

    sys.exit(run(sys.argv[1:]))
