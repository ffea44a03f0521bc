"""Structured logs: one JSON object a line on standard error, without anybody's text."""

from __future__ import annotations

import json
import logging
from datetime import UTC, datetime
from typing import Any


class JsonLines(logging.Formatter):
    """Renders a record with the ``fields`` it was given."""

    def format(self, record: logging.LogRecord) -> str:
        """One line of ASCII: nobody's text can forge a line or tell a terminal what to do."""
        line: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, tz=UTC).isoformat(
                timespec="milliseconds"
            ),
            "level": record.levelname.lower(),
            "logger": record.name,
            "event": record.getMessage(),
        }
        fields = getattr(record, "fields", None)
        if isinstance(fields, dict):
            line.update({name: value for name, value in fields.items() if value is not None})
        if record.exc_info:
            line["error"] = self.formatException(record.exc_info)
        return json.dumps(line, default=str)


class PlainLines(logging.Formatter):
    """The same for people: time, event and ``name=value`` pairs."""

    def format(self, record: logging.LogRecord) -> str:
        """One line of text, and a traceback where there is one."""
        when = datetime.fromtimestamp(record.created).strftime("%H:%M:%S")
        fields = getattr(record, "fields", None) or {}
        pairs = [f"{name}={value!r}" for name, value in fields.items() if value is not None]
        text = " ".join([when, record.levelname.lower(), record.getMessage(), *pairs])
        return f"{text}\n{self.formatException(record.exc_info)}" if record.exc_info else text


def log_to_stderr(*, as_json: bool, level: int = logging.INFO) -> logging.Handler:
    """Send the server's, uvicorn's and the engine's logs to standard error; returns the handler."""
    handler = logging.StreamHandler()
    handler.setFormatter(JsonLines() if as_json else PlainLines())
    for name in ("openai_dspark", "agentspark", "uvicorn"):
        logger = logging.getLogger(name)
        logger.handlers = [handler]
        logger.setLevel(level)
        logger.propagate = False
    # What uvicorn says of its own start and stop, the command says better.
    logging.getLogger("uvicorn.error").setLevel(max(level, logging.WARNING))
    return handler
