"""Reports: pair the arms of a comparison, work out what changed, and show it. Reads traces only.

``write_report`` turns records into files, ``compare_files`` and ``compare_script`` stand behind
``agentspark compare``; ``summarize`` gives the numbers alone.
"""

from __future__ import annotations

from agentspark.report.arms import ArmRun
from agentspark.report.compare import Comparison, compare_files, compare_script
from agentspark.report.pairing import Pairing, StepPair, pair_records
from agentspark.report.summarize import summarize
from agentspark.report.summary import Summary
from agentspark.report.table import print_summary, step_table
from agentspark.report.write import ReportPaths, write_report, write_summary

__all__ = [
    "ArmRun",
    "Comparison",
    "Pairing",
    "ReportPaths",
    "StepPair",
    "Summary",
    "compare_files",
    "compare_script",
    "pair_records",
    "print_summary",
    "step_table",
    "summarize",
    "write_report",
    "write_summary",
]
