"""What a metric returns."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor


@dataclass(frozen=True)
class Estimate:
    """A value with its 95 % bootstrap confidence interval over images.

    resampled: what the value was in each resample, NaN where undefined; two models are compared by it.
    """

    value: float
    low: float
    high: float
    resampled: Sequence[float] = field(default=(), repr=False, compare=False)


@dataclass(frozen=True)
class Result:
    """What a metric returns: the values that its MetricSpec declares, by name, one number per image where the
    definition has one, and things to look at.
    """

    values: Mapping[str, Estimate]
    per_image: Mapping[str, Tensor] = field(default_factory=dict)
    artefacts: Mapping[str, Any] = field(default_factory=dict)
