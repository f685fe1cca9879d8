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


def cost_of(name: str) -> str:
    """The key of a value's costs in Result.per_image."""
    return f"{name} cost"


@dataclass(frozen=True)
class Result:
    """What a metric returns: the values that its MetricSpec declares, by name, what each image has to do with them,
    things to look at, and what makes a value doubtful.

    per_image: [N] tensors. NAME: the value of each image alone, NaN where it has none. cost_of(NAME): the value without
    the image, minus the value of all. Both are what metrics.bootstrap.per_image makes of a statistic; the value that
    ranks should have them, so that `roibench inspect` finds the images that cost most.
    warnings: what is possible, but must be known to read the values: sentences, told beside the score in every table.
    """

    values: Mapping[str, Estimate]
    per_image: Mapping[str, Tensor] = field(default_factory=dict)
    artefacts: Mapping[str, Any] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()
