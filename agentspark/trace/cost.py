"""What a call costs by a price table, in tokens and in machine time."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from agentspark.errors import DataError
from agentspark.trace.record import Cost

if TYPE_CHECKING:
    from agentspark.trace.record import StepRecord

# The highest price times the most tokens or time of a record is still money that a record holds.
Price = Annotated[float, Field(ge=0.0, le=1e12, allow_inf_nan=False)]


class PriceTable(BaseModel):
    """Prices in one currency; a price that is absent is not charged.

    Token prices are per million tokens, as hosted models are billed: ``prompt`` for computed
    prompt tokens, ``cached`` for those that came from the cache (absent: they cost as much as
    computed ones), ``completion`` for output. ``machine_hour`` is what the machine costs per
    hour, by kind of device as in ``cpu`` or ``cuda``; a call pays for the time it held the
    machine. Give token prices to see what the work would cost at a provider, a machine price to
    see what it costs on a machine of one's own; both together are added up.

    As TOML (JSON has the same keys)::

        currency = "EUR"
        prompt = 0.15
        cached = 0.03
        completion = 0.60

        [machine_hour]
        cuda = 2.40
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    currency: str = "USD"
    prompt: Price | None = None
    cached: Price | None = None
    completion: Price | None = None
    machine_hour: dict[str, Price] = Field(default_factory=dict)

    @classmethod
    def load(cls, path: str | Path) -> PriceTable:
        """Read a ``.toml`` or ``.json`` file; ``DataError`` says what is wrong with it.

        A byte order mark, as some editors write one, and the case of the ending do not matter.
        """
        file = Path(path)
        try:
            text = file.read_text(encoding="utf-8-sig")
            given = tomllib.loads(text) if file.suffix.lower() == ".toml" else json.loads(text)
            return cls.model_validate(given)
        except OSError as error:
            raise DataError(f"The price table {file} cannot be read: {error.strerror}.") from error
        except ValidationError as error:
            first = error.errors()[0]
            where = ".".join(str(part) for part in first["loc"]) or "the file"
            raise DataError(
                f"The price table {file} is wrong at {where}: {first['msg']}."
            ) from error
        except (ValueError, RecursionError) as error:  # what both parsers and the decoder raise
            raise DataError(
                f"The price table {file} is neither TOML nor JSON as its name says: {error}."
            ) from error


DEFAULT_PRICES = PriceTable(currency="USD", machine_hour={"cpu": 0.10, "cuda": 3.00})
"""Round figures for a rented machine: a small virtual server, one data-centre GPU. They stand in
until a table with one's own prices is given; the ratio of the arms does not depend on them."""


def cost_of(record: StepRecord, prices: PriceTable) -> Cost:
    """What one call costs; parts that lack a price or a measurement are ``None``."""
    cached = record.cached_tokens
    computed = record.prompt_tokens
    if computed is not None and cached is not None:
        computed = max(0, computed - cached)
    cached_price = prices.prompt if prices.cached is None else prices.cached
    parts = {
        "prompt": _per_million(computed, prices.prompt),
        "cached": _per_million(cached, cached_price),
        "completion": _per_million(record.completion_tokens, prices.completion),
        "machine": _machine(record, prices),
    }
    known = [part for part in parts.values() if part is not None]
    return Cost(currency=prices.currency, total=sum(known) if known else None, **parts)


def _per_million(tokens: int | None, price: float | None) -> float | None:
    return None if tokens is None or price is None else tokens * price / 1e6


def device_kind(record: StepRecord) -> str:
    """What ``machine_hour`` calls the device of a call: ``cuda`` for ``cuda:0``; empty: unknown."""
    return (record.options.device or "").partition(":")[0]


def _machine(record: StepRecord, prices: PriceTable) -> float | None:
    price = prices.machine_hour.get(device_kind(record))
    if price is None or record.total_ms is None:
        return None
    return (record.total_ms - (record.queue_ms or 0.0)) / 3.6e6 * price
