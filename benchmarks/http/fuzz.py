"""Random requests made from the server's OpenAPI document."""

from __future__ import annotations

import time
from collections import Counter
from dataclasses import dataclass, field
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


@dataclass
class _Tally:
    """What came of the requests so far."""

    statuses: Counter[str] = field(default_factory=Counter)
    failures: list[str] = field(default_factory=list)
    slowest_s: float = 0.0
    made: int = 0


def _ask(root: str, operation: Any, count: int, tally: _Tally) -> None:
    """Make at most ``count`` random requests of one operation; fewer where no more differ."""

    @given(case=operation.as_strategy())
    @settings(
        max_examples=count,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
        deadline=None,
        database=None,
    )
    def ask(case: Any) -> None:
        _aim(case.body, tally.made)
        tally.made += 1
        began = time.perf_counter()
        try:
            response = case.call(base_url=root, timeout=_LIMIT_S)
            tally.statuses[str(response.status_code)] += 1
            case.validate_response(response, checks=_CHECKS)
        except FailureGroup as group:
            found = "; ".join(map(str, group.exceptions))
            tally.failures.append(f"{case.method} {case.path}: {found}"[:500])
        except Exception as error:
            tally.failures.append(f"{case.method} {case.path}: {error}"[:500])
        tally.slowest_s = max(tally.slowest_s, time.perf_counter() - began)

    ask()


def measure(wanted: Settings, requests: int) -> Measurement:
    """How many of ``requests`` or more were answered with 5xx, not as documented, or not at all."""
    tally = _Tally()
    with in_process(wanted, "--request-timeout", str(_LIMIT_S)) as server:
        root = server.url.removesuffix("/v1")
        document = schemathesis.openapi.from_dict(httpx.get(f"{root}/openapi.json").json())
        operations = [
            found.ok() for found in document.get_all_operations() if isinstance(found, Ok)
        ]
        posts = [operation for operation in operations if operation.method == "post"]
        gets = [operation for operation in operations if operation.method != "post"]
        for group, part in ((gets, 1 - _POSTS), (posts, _POSTS)):
            for operation in group:
                _ask(root, operation, max(int(requests * part / len(group)), 1), tally)
        # There are only so many ways to get a health page: posts make up for what is missing.
        while tally.made < requests:
            for operation in posts:
                _ask(root, operation, max(1, -(-(requests - tally.made) // len(posts))), tally)
    return Measurement(
        name="fuzz",
        title=f"of {tally.made} random requests, 5xx, undocumented or unanswered",
        unit="requests",
        value=float(len(tally.failures)),
        bar=0.0,
        sense="at most",
        note=f"slowest {tally.slowest_s:.1f} s; "
        + ", ".join(f"{n} x {s}" for s, n in tally.statuses.items()),
        figures={
            "failures": list(tally.failures[:50]),
            "slowest_s": tally.slowest_s,
            **dict(tally.statuses),
        },
    )
