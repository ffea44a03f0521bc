"""Numbers as people read them."""

from __future__ import annotations

import pytest

from agentspark.report import format as shown
from agentspark.trace import DEFAULT_PRICES, PriceTable

DASH = "–"  # noqa: RUF001


@pytest.mark.parametrize(
    ("milliseconds", "text"),
    [
        (None, DASH),
        (0.0, "0 ms"),
        (0.4231, "0.423 ms"),
        (9.99, "9.99 ms"),
        (340.2, "340 ms"),
        (999.7, "1.00 s"),
        (1240.0, "1.24 s"),
        (9996.0, "10.0 s"),
        (48_310.0, "48.3 s"),
        (99_960.0, "1 min 40 s"),
        (125_400.0, "2 min 05 s"),
        (119_700.0, "2 min 00 s"),
        (5_999_400.0, "99 min 59 s"),
        (6_000_000.0, "1 h 40 min"),
        (15_001_000.0, "4 h 10 min"),
        (7_199_000.0, "2 h 00 min"),
    ],
)
def test_durations(milliseconds, text):
    assert shown.duration(milliseconds) == text


@pytest.mark.parametrize(
    ("number", "text"),
    [
        (None, DASH),
        (999_999, "999,999"),
        (1_234_567, "1.23M"),
        (50_500_000, "50.5M"),
        (999_600_000, "1B"),
        (12_345_678_901, "12.3B"),
        (2**53, "9,007,199B"),
    ],
)
def test_large_counts(number, text):
    assert shown.short(number) == text


def test_factors_shares_and_counts():
    assert (shown.times(2.714), shown.times(12.36), shown.times(None)) == ("2.71×", "12.4×", DASH)  # noqa: RUF001
    assert (shown.percent(0.974), shown.percent(0.9961), shown.percent(0.004)) == (
        "97%",
        "99.6%",
        "0.4%",
    )
    assert (shown.percent(0.0), shown.percent(1.0), shown.percent(None)) == ("0%", "100%", DASH)
    assert (shown.count(12345), shown.count(None), shown.decimal(2.305, 1)) == (
        "12,345",
        DASH,
        "2.3",
    )
    assert (shown.named(1, "step"), shown.named(1200, "step")) == ("1 step", "1,200 steps")


@pytest.mark.parametrize(
    ("amount", "currency", "text"),
    [
        (1.25, "USD", "$1.25"),
        (0.000423, "USD", "$0.00042"),
        (0.0, "EUR", "€0.00"),
        (1234.5, "CHF", "1,234.50 CHF"),
        (0.05, None, "0.050"),
        (1e-12, "USD", "$0.00000000"),
        (None, "USD", DASH),
    ],
)
def test_money(amount, currency, text):
    assert shown.money(amount, currency) == text


def test_prices_are_said_in_words():
    assert shown.prices_used(None) == "Costs are as the traces recorded them."
    assert shown.prices_used(DEFAULT_PRICES) == (
        "Default prices: $0.10 per cpu hour, $3.00 per cuda hour."
    )
    assert shown.prices_used(PriceTable(prompt=0.15)) == "Prices: $0.15 per million prompt tokens."
