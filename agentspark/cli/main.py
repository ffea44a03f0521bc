"""Runs a command line and turns every outcome into an exit code.

0 done, 1 an error that was explained in one line, 2 wrong usage, 130 interrupted.
"""

from __future__ import annotations

import io
import sys
import traceback
from collections.abc import Sequence

from agentspark.cli.console import say_error
from agentspark.errors import AgentSparkError

DEBUG = "--debug"


def run(argv: Sequence[str]) -> int:
    """Run ``agentspark`` with ``argv`` (without the program's name); returns the exit code."""
    from agentspark.cli.app import app

    if isinstance(sys.stdout, io.TextIOWrapper):
        # An answer may hold what the output's encoding lacks, and Windows' lacks much.
        sys.stdout.reconfigure(errors="replace")
    args, debug = split_debug(argv)
    try:
        app(args, prog_name="agentspark")
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else int(end.code is not None)
    except KeyboardInterrupt:
        return 130
    except Exception as error:
        if debug:
            traceback.print_exc()
        else:
            say_error(explain(error))
        return 1
    return 0


def split_debug(argv: Sequence[str]) -> tuple[list[str], bool]:
    """Take ``--debug`` out of ``argv``, wherever it stands before a ``--``."""
    end = argv.index("--") if "--" in argv else len(argv)
    own = [arg for arg in argv[:end] if arg != DEBUG]
    return [*own, *argv[end:]], len(own) < end


def explain(error: Exception) -> str:
    """What to say of ``error``: its message if it was raised on purpose, else what it was."""
    text = str(error).strip()
    if isinstance(error, AgentSparkError):
        return text or type(error).__name__
    if isinstance(error, OSError):
        where = f" ({error.filename})" if error.filename else ""
        return f"{error.strerror or text}{where}"
    return f"unexpected {type(error).__name__}: {text} (run again with {DEBUG} for the traceback)"
