"""Errors cross processes whole: a pool of workers hands them back as pickles."""

from __future__ import annotations

import copy
import pickle

import pytest

from agentspark import errors
from agentspark.errors import AgentSparkError, RemoteStatusError

KINDS = sorted(
    (
        kind
        for kind in vars(errors).values()
        if isinstance(kind, type) and issubclass(kind, AgentSparkError)
    ),
    key=lambda kind: kind.__name__,
)


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_an_error_survives_a_pickle(kind: type[AgentSparkError]) -> None:
    error = kind("what happened")
    for found in (pickle.loads(pickle.dumps(error)), copy.copy(error)):
        assert type(found) is kind
        assert str(found) == "what happened"
        assert vars(found) == vars(error)


def test_all_that_a_server_said_survives_it() -> None:
    error = RemoteStatusError(
        "too many", status=429, code="busy", param="n", request_id="r", retry_after_s=2.5
    )
    found = pickle.loads(pickle.dumps(error))
    assert vars(found) == vars(error)
    assert found.status == 429
