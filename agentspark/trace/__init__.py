"""Traces: one record per model call, the files they go to, and what a call costs.

A leaf: every room may write to it, it imports none of them.
"""

from __future__ import annotations

from agentspark.trace.context import Place, TraceContext
from agentspark.trace.cost import DEFAULT_PRICES, PriceTable, cost_of
from agentspark.trace.detail import Detail
from agentspark.trace.environment import Environment, describe_environment
from agentspark.trace.facts import EngineFacts
from agentspark.trace.hashing import text_hash, token_hash
from agentspark.trace.reader import TraceFile, read_trace, read_traces
from agentspark.trace.record import ARMS, SCHEMA_VERSION, Arm, Cost, StepRecord
from agentspark.trace.recorder import Recorder
from agentspark.trace.runs import run_label, split_run

__all__ = [
    "ARMS",
    "DEFAULT_PRICES",
    "SCHEMA_VERSION",
    "Arm",
    "Cost",
    "Detail",
    "EngineFacts",
    "Environment",
    "Place",
    "PriceTable",
    "Recorder",
    "StepRecord",
    "TraceContext",
    "TraceFile",
    "cost_of",
    "describe_environment",
    "read_trace",
    "read_traces",
    "run_label",
    "split_run",
    "text_hash",
    "token_hash",
]
