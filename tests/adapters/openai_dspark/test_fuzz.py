"""Requests made from the server's own OpenAPI document: no 5xx, documented answers only."""

from __future__ import annotations

import httpx
import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from ..serving import MODEL

CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_schema_conformance,
]
OPERATIONS = [
    ("POST", "/v1/chat/completions"),
    ("POST", "/v1/completions"),
    ("POST", "/v1/responses"),
    ("POST", "/v1/responses/input_tokens"),
    ("POST", "/v1/messages"),
    ("POST", "/v1/messages/count_tokens"),
    ("GET", "/v1/models/{name}"),
    ("GET", "/health"),
]
# What bounds an answer, where there is one.
LIMITS = {
    "/v1/responses": "max_output_tokens",
    "/v1/responses/input_tokens": None,
    "/v1/messages/count_tokens": None,
}


@pytest.fixture(scope="module")
def document(served):
    return schemathesis.openapi.from_dict(httpx.get(f"{served.url}/openapi.json").json())


@pytest.mark.parametrize(("method", "path"), OPERATIONS)
def test_the_document_is_kept_to(served, document, method, path):
    strategy = document[path][method].as_strategy()

    @given(case=strategy)
    @settings(
        max_examples=25,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
        database=None,
    )
    def ask(case):
        if isinstance(case.body, dict):
            # Past the model's name there is more to go wrong.
            case.body["model"] = MODEL
            if (limit := LIMITS.get(path, "max_tokens")) is not None:
                case.body[limit] = 2
        response = case.call(base_url=served.url, timeout=60)
        case.validate_response(response, checks=CHECKS)

    ask()
    assert served.settled()
