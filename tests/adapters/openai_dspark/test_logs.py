"""What the server writes down of its requests."""

from __future__ import annotations

import json
import logging

import pytest

from openai_dspark.server.logs import JsonLines, PlainLines


@pytest.mark.parametrize("form", [JsonLines(), PlainLines()])
def test_a_line_holds_no_text_that_a_terminal_obeys(form):
    path = "/v1/\x1b[31m\x9b31m\x85\u2028\nforged"
    record = logging.makeLogRecord({"msg": "request", "fields": {"path": path, "user": None}})
    line = form.format(record)
    assert line.isprintable()
    if isinstance(form, JsonLines):
        assert json.loads(line)["path"] == path
        assert "user" not in json.loads(line)
