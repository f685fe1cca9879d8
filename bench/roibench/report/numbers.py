"""How numbers are written, the same in every report: fractions in per cent, the rest to three significant digits.

A score is a metric's value in its unit (roibench.specs.Value): "%" is of a fraction, any other of the number as it is.
"""

from collections.abc import Iterable

from roibench.measure.record import Interval
from roibench.metric import Estimate

MISSING = "-"


def short(value: float | None) -> str:
    """Three significant digits, never an exponent: `0.00512`, `9.87`, `123`, `4,560`."""
    if value is None:
        return MISSING
    return f"{value:,.{_decimals(value)}f}"


def plain(score: Interval | None, unit: str = "") -> str:
    """`48.3`."""
    return MISSING if score is None else _written(unit, score.value)[0]


def number(value: float, unit: str = "") -> str:
    """`48.3` of a fraction in per cent; whole numbers stay whole: `12`."""
    return f"{value:,}" if isinstance(value, int) else _written(unit, value)[0]


def with_interval(score: Interval | Estimate | None, unit: str = "") -> str:
    """`48.3 [46.1, 50.4]`, all with the decimals of the value."""
    if score is None:
        return MISSING
    value, low, high = _written(unit, score.value, score.low, score.high)
    return f"{value} [{low}, {high}]"


def noise_floor_note(share: float) -> str:
    """Turns.noise_floor in words, for under a table."""
    return f"Noise floor (A/A): {100 * share:.1f} %; no smaller difference in time is one."


def heading(name: str, unit: str) -> str:
    """`AP %`."""
    return f"{name} {unit}".rstrip()


def scale(unit: str) -> float:
    """What a value is multiplied by to be shown in its unit."""
    return 100.0 if unit == "%" else 1.0


def short_name(key: str, keys: Iterable[str] = ()) -> str:
    """VALUE of METRIC/VALUE; all of it where another of the keys ends alike."""
    name = key.partition("/")[2]
    return key if any(other != key and other.partition("/")[2] == name for other in keys) else name


def _written(unit: str, *values: float) -> list[str]:
    """Per cent to one decimal, everything else with the decimals of the first."""
    decimals = 1 if unit == "%" else _decimals(values[0])
    return [f"{scale(unit) * value:,.{decimals}f}" for value in values]


def _decimals(value: float) -> int:
    """How many show three significant digits, counted after rounding: 99.96 is 100, not 100.0."""
    return max(0, 2 - int(f"{value:.2e}".partition("e")[2])) if value else 0
