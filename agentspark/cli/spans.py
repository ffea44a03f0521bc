"""``agentspark spans``: trace files to an OpenTelemetry collector."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from agentspark.cli.console import say
from agentspark.cli.extras import require


def spans(
    traces: Annotated[list[Path], typer.Argument(help="Trace files.")],
    endpoint: Annotated[
        str | None,
        typer.Option(
            help="The collector's URL for traces; otherwise OTEL_EXPORTER_OTLP_ENDPOINT, or "
            "http://localhost:4318/v1/traces."
        ),
    ] = None,
    service: Annotated[str, typer.Option(help="The name to list the spans under.")] = "agentspark",
) -> None:
    """Send trace files to an OpenTelemetry collector: a span per run, below it one per model call.

    Each file has runs of its own. Ids follow from the records, so a file may be sent again when
    it has grown.
    """
    require("otel", "opentelemetry.sdk", "opentelemetry.exporter.otlp.proto.http")
    from agentspark.report.format import named
    from agentspark.trace.otlp import send
    from agentspark.trace.reader import read_traces
    from agentspark.trace.spans import spans_of

    files = read_traces(traces)
    # Runs of different files may only share a name; and a file's ids must not depend on the others.
    made, seen = [], set[str]()
    for file in files:
        fresh = {record.id: record for record in file.records if record.id not in seen}
        made += spans_of(fresh.values(), service=service)
        seen |= fresh.keys()
        if file.torn_lines:
            cut = named(len(file.torn_lines), "line")
            say(f"{file.path} has {cut} cut short: the calls behind are lost.")
    if not made:
        say("The files hold no calls: nothing was sent.")
        return
    send(made, endpoint)
    say(f"Sent {len(made)} spans of {len(seen)} calls.")
