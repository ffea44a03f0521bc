"""Numbers as people read them; ``None`` is always a dash."""

from __future__ import annotations

from agentspark.trace.cost import DEFAULT_PRICES, PriceTable

UNKNOWN = "–"  # noqa: RUF001  # an en dash, as in tables

_CURRENCY_SIGNS = {"USD": "$", "EUR": "€", "GBP": "£"}


def duration(milliseconds: float | None) -> str:
    """``0.42 ms``, ``340 ms``, ``1.24 s``, ``48.3 s``, ``2 min 05 s``, ``4 h 10 min``."""
    if milliseconds is None:
        return UNKNOWN
    if milliseconds < 10:
        return f"{milliseconds:.3g} ms" if milliseconds else "0 ms"
    if milliseconds < 999.5:
        return f"{milliseconds:.0f} ms"
    seconds = milliseconds / 1e3
    if seconds < 9.995:
        return f"{seconds:.2f} s"
    if seconds < 99.95:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 100:
        return f"{minutes} min {rest:02d} s"
    hours, minutes = divmod(round(seconds / 60), 60)
    return f"{hours:,} h {minutes:02d} min"


def times(factor: float | None) -> str:
    """A speed-up: ``2.71×``, ``12.4×``."""  # noqa: RUF002
    if factor is None:
        return UNKNOWN
    return f"{factor:.2f}×" if factor < 9.995 else f"{factor:.1f}×"  # noqa: RUF001


def percent(share: float | None) -> str:
    """A share from 0 to 1: ``97%``, ``99.6%`` near the ends, where a tenth tells."""
    if share is None:
        return UNKNOWN
    near_end = 0 < share < 0.02 or 0.98 < share < 1
    return f"{share * 100:.1f}%" if near_end else f"{share * 100:.0f}%"


def count(number: int | float | None) -> str:
    """``12,345``; a fraction is rounded."""
    return UNKNOWN if number is None else f"{number:,.0f}"


def output_tokens(completion: int | None, reasoning: int | None) -> str:
    """``120``, or ``120 (80 reasoning)`` of a model that reasoned."""
    return count(completion) + (f" ({count(reasoning)} reasoning)" if reasoning else "")


def short(number: int | None) -> str:
    """A count where there is little room: ``12,345``, ``1.23M``, ``50.5M``."""
    if number is None or number < 1_000_000:
        return count(number)
    size, unit = (1e9, "B") if number >= 0.9995e9 else (1e6, "M")
    return f"{number / size:.3g}{unit}" if number < 1e12 else f"{number / size:,.0f}{unit}"


def decimal(number: float | None, digits: int = 2) -> str:
    """``2.31``."""
    return UNKNOWN if number is None else f"{number:,.{digits}f}"


def money(amount: float | None, currency: str | None = None) -> str:
    """Two significant digits below one: ``$0.00042``, ``$1.25``, ``12.00 CHF``."""
    if amount is None:
        return UNKNOWN
    digits = 2
    while 0 < abs(amount) < 10.0 ** (1 - digits) and digits < 8:
        digits += 1
    text = f"{amount:,.{digits}f}"
    sign = _CURRENCY_SIGNS.get(currency or "")
    return f"{sign}{text}" if sign else f"{text} {currency or ''}".strip()


def prices_used(prices: PriceTable | None) -> str:
    """One sentence on where the costs come from."""
    if prices is None:
        return "Costs are as the traces recorded them."
    parts = [
        f"{money(price, prices.currency)} per million {name} tokens"
        for name, price in (
            ("prompt", prices.prompt),
            ("cached", prices.cached),
            ("output", prices.completion),
        )
        if price is not None
    ]
    parts += [
        f"{money(price, prices.currency)} per {kind} hour"
        for kind, price in prices.machine_hour.items()
    ]
    origin = "Default prices" if prices == DEFAULT_PRICES else "Prices"
    return f"{origin}: {', '.join(parts) or 'none'}."


def named(count_: int, noun: str) -> str:
    """``1 step``, ``12 steps``."""
    return f"{count_:,} {noun}" if count_ == 1 else f"{count_:,} {noun}s"
