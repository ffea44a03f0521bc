"""One engine per model and settings in a process, for as long as somebody holds it."""

from __future__ import annotations

import copy
import gc
import pickle
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest

from agentspark.config import EngineConfig
from agentspark.errors import EngineClosedError, ModelNotFoundError
from agentspark.sampling.params import SamplingParams
from langchain_dspark import ChatDSpark, engines
from langchain_dspark.engines import EngineKey, Leases


@pytest.fixture
def key(tiny_name):
    # A setting of its own keeps this engine apart from those of other tests.
    config = EngineConfig(max_requests=7)
    return EngineKey(model=tiny_name, drafter=None, config=config, trace=None)


def is_closed(engine):
    try:
        engine.generate("a", SamplingParams(max_tokens=1))
    except EngineClosedError:
        return True
    return False


def test_equal_keys_share_an_engine_and_the_last_lease_closes_it(key):
    first, second = Leases(), Leases()
    engine = first.engine(key)
    assert second.engine(key) is engine
    assert first.engine(key) is engine
    first.close()
    first.close()
    assert not is_closed(engine)
    second.close()
    assert is_closed(engine)
    third = Leases()
    assert third.engine(key) is not engine
    third.close()


def test_threads_that_ask_at_once_load_one_engine(key):
    holders = [Leases() for _ in range(6)]
    with ThreadPoolExecutor(6) as pool:
        found = list(pool.map(lambda holder: holder.engine(key), holders))
    assert len(set(map(id, found))) == 1
    for holder in holders:
        holder.close()
    assert is_closed(found[0])


def test_a_forgotten_holder_does_not_cost_the_next_one_a_load(key):
    engine = Leases().engine(key)
    gc.collect()
    kept = Leases()
    assert kept.engine(key) is engine
    kept.close()
    assert is_closed(engine)


def test_a_forgotten_engine_is_closed_when_another_is_leased(key):
    engine = Leases().engine(key)
    gc.collect()
    other = Leases()
    other.engine(replace(key, config=EngineConfig(max_requests=6)))
    assert is_closed(engine)
    other.close()


def test_an_engine_that_died_is_replaced_for_everybody(key, tiny_name):
    holder, late = Leases(), Leases()
    engine = holder.engine(key)
    assert late.engine(key) is engine
    engine.close()
    with ChatDSpark(model=tiny_name, drafter=None, max_tokens=2, engine_config=key.config) as model:
        model._leases = holder
        assert model.invoke("a").usage_metadata["output_tokens"] == 2
        fresh = holder.engine(key)
        assert fresh is not engine
        late.discard(key, engine)
        assert late.engine(key) is fresh
        late.close()


def test_without_retries_the_error_arrives(key, tiny_name):
    with ChatDSpark(
        model=tiny_name, drafter=None, max_retries=0, engine_config=key.config
    ) as model:
        model._leases.engine(key).close()
        with pytest.raises(EngineClosedError):
            model.invoke("a")


def test_a_load_that_fails_leaves_nothing_behind(key, tmp_path):
    wrong = replace(key, model=str(tmp_path / "none"))
    holder = Leases()
    with pytest.raises(ModelNotFoundError):
        holder.engine(wrong)
    assert wrong not in engines._registry
    assert holder.held(wrong) is None


def test_copies_hold_leases_of_their_own(key, tiny_name):
    model = ChatDSpark(model=tiny_name, drafter=None, max_tokens=1, engine_config=key.config)
    engine = model._leases.engine(key)
    twin = copy.deepcopy(model)
    assert pickle.loads(pickle.dumps(model)) == model
    assert twin._leases.engine(key) is engine
    model.close()
    assert not is_closed(engine)
    twin.close()
    assert is_closed(engine)
    # A closed model opens again when it is called.
    assert model.invoke("a").usage_metadata["output_tokens"] == 1
    model.close()
