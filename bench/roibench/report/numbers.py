"""How numbers are written, the same in every report: accuracies in per cent, the rest to three significant digits."""

from roibench.measure.record import Interval
from roibench.metric import Estimate

MISSING = "-"


def percent(score: Interval | None) -> str:
    """An accuracy in the unit interval: `48.3`."""
    return MISSING if score is None else f"{100 * score.value:.1f}"


def percent_interval(score: Interval | Estimate | None) -> str:
    """`48.3 [46.1, 50.4]`."""
    return MISSING if score is None else f"{100 * score.value:.1f} [{100 * score.low:.1f}, {100 * score.high:.1f}]"


def percent_margin(score: Interval | None) -> str:
    """`48.3 ±2.2`: half the interval's width, where there is no space for its ends."""
    return MISSING if score is None else f"{100 * score.value:.1f} ±{50 * (score.high - score.low):.1f}"


def short(value: float | None) -> str:
    """Three significant digits, never an exponent: `0.00512`, `9.87`, `123`, `4,560`."""
    if value is None:
        return MISSING
    return f"{value:,.{_decimals(value)}f}"


def short_interval(interval: Interval) -> str:
    """`12.3 [12.1, 12.6]`, all with the decimals of the value."""
    decimals = _decimals(interval.value)
    return f"{interval.value:,.{decimals}f} [{interval.low:,.{decimals}f}, {interval.high:,.{decimals}f}]"


def short_margin(interval: Interval) -> str:
    """`12.3 ±0.3`."""
    decimals = _decimals(interval.value)
    return f"{interval.value:,.{decimals}f} ±{(interval.high - interval.low) / 2:,.{decimals}f}"


def _decimals(value: float) -> int:
    """How many show three significant digits, counted after rounding: 99.96 is 100, not 100.0."""
    return max(0, 2 - int(f"{value:.2e}".partition("e")[2])) if value else 0
