"""``python -m agentspark.cli``: the same as the console script."""

from __future__ import annotations

from agentspark.cli import main

main()
