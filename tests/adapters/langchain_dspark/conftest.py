"""A ChatDSpark over the tiny random target, its engine shared by the whole session."""

from __future__ import annotations

import pytest


@pytest.fixture(scope="session")
def tiny_name(tiny_target_dir):
    return str(tiny_target_dir)


@pytest.fixture(scope="session")
def chat(tiny_name):
    from langchain_dspark import ChatDSpark

    with ChatDSpark(model=tiny_name, drafter=None, max_tokens=12) as model:
        model.invoke("load")
        yield model
