"""``python -m benchmarks.http``."""

from __future__ import annotations

from benchmarks.http.command import main

main()
