"""Depth errors of Eigen et al. 2014 (arXiv 1406.2283), with bootstrap intervals over images."""

from collections.abc import Sequence

import numpy as np

from roibench.metric import Result
from roibench.metrics.bootstrap import bootstrap, mean_statistic, per_image
from roibench.structures import Prediction, Target

_FACTOR = 1.25


def depth_error(predictions: Sequence[Prediction], targets: Sequence[Target], probe: None = None) -> Result:
    """abs_rel, rmse (metres) and delta1: each of an image's known pixels, then the mean over images.

    abs_rel: mean of |predicted - true| / true. rmse: root of the mean squared error. delta1: the fraction of pixels
    whose predicted depth is within a factor of 1.25 of the true one. An image without a known pixel doesn't count: NaN
    in per_image.
    """
    rows = [_score(prediction, target) for prediction, target in zip(predictions, targets, strict=True)]
    statistic = mean_statistic(dict(zip(("abs_rel", "rmse", "delta1"), np.transpose(rows), strict=True)))
    return Result(bootstrap(statistic, len(rows)), per_image=per_image(statistic, len(rows)))


def _score(prediction: Prediction, target: Target) -> tuple[float, float, float]:
    predicted, true = (one.get("depth").double().numpy() for one in (prediction, target))
    known = ~np.isnan(true)
    if not known.any():
        return np.nan, np.nan, np.nan
    predicted, true = predicted[known], true[known]
    error = np.abs(predicted - true)
    factor = np.maximum(predicted / true, true / predicted)
    return (error / true).mean(), np.sqrt((error**2).mean()), (factor < _FACTOR).mean()
