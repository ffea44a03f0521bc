"""Random requests made from the server's OpenAPI document."""

from __future__ import annotations

import time
from collections import Counter
from typing import Any

import httpx
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from schemathesis.checks import not_a_server_error
from schemathesis.core.failures import FailureGroup
from schemathesis.core.result import Ok
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from benchmarks.bench import Settings
from benchmarks.http.served import NAME, in_process
from benchmarks.measurement import Measurement

_CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_schema_conformance,
]
_LIMIT_S = 120.0
_TOKENS = 2
# One in so many requests keeps its random model.
_STRANGERS = 10
# The posts are where anything can go wrong; they get this part of the requests.
_POSTS = 0.9


def _aim(body: Any, number: int) -> None:
    """Let most requests get past the model's name, and keep all of them short."""
    if isinstance(body, dict) and isinstance(body.get("model"), str):
        if number % _STRANGERS:
            body["model"] = NAME
        # One is for responses, the other for the rest.
        limit = "max_output_tokens" if "input" in body else "max_tokens"
        body[limit] = _TOKENS


def measure(wanted: Settings, requests: int) -> Measurement:
    """How many of ``requests`` were answered with 5xx, not as documented, or not at all."""
    statuses: Counter[str] = Counter()
    failures: list[str] = []
    slowest = 0.0
    with in_process(wanted, "--request-timeout", str(_LIMIT_S)) as server:
        root = server.url.removesuffix("/v1")
        document = schemathesis.openapi.from_dict(httpx.get(f"{root}/openapi.json").json())
        operations = [
            found.ok() for found in document.get_all_operations() if isinstance(found, Ok)
        ]
        posts = sum(operation.method == "post" for operation in operations)
        for operation in operations:
            part = (
                _POSTS / posts
                if operation.method == "post"
                else (1 - _POSTS) / (len(operations) - posts)
            )

            @given(case=operation.as_strategy())
            @settings(
                max_examples=max(int(requests * part), 1),
                phases=[Phase.generate],
                suppress_health_check=list(HealthCheck),
                deadline=None,
                database=None,
            )
            def ask(case: Any) -> None:
                nonlocal slowest
                _aim(case.body, sum(statuses.values()))
                began = time.perf_counter()
                try:
                    response = case.call(base_url=root, timeout=_LIMIT_S)
                    statuses[str(response.status_code)] += 1
                    case.validate_response(response, checks=_CHECKS)
                except FailureGroup as group:
                    found = "; ".join(map(str, group.exceptions))
                    failures.append(f"{case.method} {case.path}: {found}"[:500])
                except Exception as error:
                    failures.append(f"{case.method} {case.path}: {error}"[:500])
                slowest = max(slowest, time.perf_counter() - began)

            ask()
    return Measurement(
        name="fuzz",
        title=f"of {sum(statuses.values())} random requests, 5xx, undocumented or unanswered",
        unit="requests",
        value=float(len(failures)),
        bar=0.0,
        sense="at most",
        note=f"slowest {slowest:.1f} s; " + ", ".join(f"{n} x {s}" for s, n in statuses.items()),
        figures={"failures": list(failures[:50]), "slowest_s": slowest, **dict(statuses)},
    )
