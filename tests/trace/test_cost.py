"""What a call costs, and price tables that are wrong."""

from __future__ import annotations

import json

import pytest

from agentspark.errors import DataError
from agentspark.trace import DEFAULT_PRICES, PriceTable, StepRecord, cost_of
from agentspark.trace.record import Options


def record(**fields: object) -> StepRecord:
    given = {
        "id": "1",
        "model": "m",
        "started_at": "2026-11-23T12:00:00Z",
        "prompt_tokens": 1000,
        "cached_tokens": 600,
        "completion_tokens": 200,
        "queue_ms": 1000.0,
        "total_ms": 37_000.0,
        "options": Options(device="cuda:0"),
    }
    return StepRecord.model_validate({**given, **fields})


def test_tokens_and_machine_time_add_up():
    prices = PriceTable(prompt=2.0, cached=0.5, completion=8.0, machine_hour={"cuda": 10.0})

    cost = cost_of(record(), prices)

    assert cost.prompt == pytest.approx(400 * 2e-6)
    assert cost.cached == pytest.approx(600 * 0.5e-6)
    assert cost.completion == pytest.approx(200 * 8e-6)
    assert cost.machine == pytest.approx(0.1)  # 36 s without the queue
    assert cost.total == pytest.approx(400 * 2e-6 + 600 * 0.5e-6 + 200 * 8e-6 + 0.1)


def test_without_a_cached_price_the_cache_saves_no_money():
    cost = cost_of(record(), PriceTable(prompt=2.0))

    assert cost.total == pytest.approx(1000 * 2e-6)


def test_what_has_no_price_or_no_measurement_is_unknown():
    cost = cost_of(record(options=Options(device="mps"), completion_tokens=None), DEFAULT_PRICES)

    assert (cost.machine, cost.completion, cost.total) == (None, None, None)


def test_default_prices_charge_machine_time_only():
    cost = cost_of(record(options=Options(device="cpu")), DEFAULT_PRICES)

    assert cost.total == cost.machine == pytest.approx(0.001)


def test_toml_and_json_say_the_same(tmp_path):
    toml, js = tmp_path / "prices.toml", tmp_path / "prices.json"
    toml.write_text('currency = "EUR"\nprompt = 0.15\n[machine_hour]\ncuda = 2.4\n')
    js.write_text(json.dumps({"currency": "EUR", "prompt": 0.15, "machine_hour": {"cuda": 2.4}}))

    assert PriceTable.load(toml) == PriceTable.load(js)
    assert PriceTable.load(toml).machine_hour == {"cuda": 2.4}


@pytest.mark.parametrize(
    ("name", "text"), [("P.TOML", "prompt = 0.15\n"), ("p.json", '{"prompt": 0.15}')]
)
def test_a_byte_order_mark_and_capitals_do_not_matter(tmp_path, name, text):
    (tmp_path / name).write_text(text, encoding="utf-8-sig")

    assert PriceTable.load(tmp_path / name) == PriceTable(prompt=0.15)


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("p.toml", "prompt = ", "neither TOML nor JSON"),
        ("p.json", "{", "neither TOML nor JSON"),
        ("p.json", '{"prompt": -1}', "wrong at prompt"),
        ("p.json", '{"promt": 1}', "wrong at promt"),
        ("p.json", "[]", "wrong at the file"),
        ("p.json", '{"machine_hour": {"cpu": NaN}}', "wrong at machine_hour.cpu"),
        ("p.json", '{"prompt": 1e300}', "wrong at prompt"),
        ("p.json", "[" * 50_000, "neither TOML nor JSON"),
    ],
)
def test_wrong_tables(tmp_path, name, text, message):
    path = tmp_path / name
    path.write_text(text)
    with pytest.raises(DataError, match=message):
        PriceTable.load(path)


def test_missing_table(tmp_path):
    with pytest.raises(DataError, match="cannot be read"):
        PriceTable.load(tmp_path / "none.toml")
