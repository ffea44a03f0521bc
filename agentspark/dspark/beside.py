"""Files beside a drafter that speak of its weights, and are wrong beside others."""

from __future__ import annotations

from pathlib import Path

from agentspark.dspark.calibration import FILE_NAME

CARD_FILE = "README.md"
REPORT_FILE = "calibration-report.json"
DIAGRAMS = ("calibration.png", "calibration.svg")


def calibration_files(folder: Path) -> list[Path]:
    """All files by which a calibration speaks of the weights in a drafter's ``folder``."""
    return [folder / name for name in (FILE_NAME, REPORT_FILE, *DIAGRAMS)]
