"""Faithfulness by what is left when pixels are taken away: ROAD, average drop and average increase."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import islice

import numpy as np
import scipy.sparse
import scipy.sparse.linalg
import torch
from torch import Tensor

from roibench.metric import Result
from roibench.metrics.attribution import read_map
from roibench.metrics.bootstrap import bootstrap, mean_statistic
from roibench.metrics.faithfulness import PROBED, confidence, explained, predicted_class
from roibench.metrics.fields import by_image
from roibench.metrics.matching import Booleans, Floats
from roibench.metrics.relevance import scaled
from roibench.model import Model, Probe
from roibench.nn.images import MEAN
from roibench.structures import Input, Prediction, Target

REMOVED = (0.2, 0.4, 0.6, 0.8)  # of the pixels
NOISE = 0.01 * 255  # standard deviation of what is put on imputed pixels
# Of a pixel's neighbours (y, x), as the authors have them.
NEIGHBOURS = {
    (dy, dx): 1 / 6 if 0 in (dy, dx) else 1 / 12 for dy in (-1, 0, 1) for dx in (-1, 0, 1) if (dy, dx) != (0, 0)
}


def road(predictions: Sequence[Prediction], targets: Sequence[Target], probe: Probe) -> Result:
    """ROAD (Rong et al. 2022, arXiv 2202.00449): what is kept of the predicted class when the least relevant pixels are
    removed, less what is kept when the most relevant ones are, halved; the mean over 20, 40, 60 and 80 % of the pixels.

    Removed pixels become what their neighbours suggest (noisy linear imputation), so that the shape of what was removed
    tells nothing. Class and what is kept of it are insertion_deletion's. Of the first 100 images; NaN in per_image
    where nothing is predicted.
    """
    model, scores = explained(probe), np.full(len(predictions), np.nan)
    for index, one, relevance, whole, label in _asked(predictions, targets, probe, model):
        rank = np.empty(relevance.size, np.int64)
        rank[np.argsort(-relevance, axis=None, kind="stable")] = np.arange(relevance.size)
        rank = rank.reshape(relevance.shape)
        generator = torch.Generator().manual_seed(index)
        images = []
        for share in REMOVED:
            count = round(share * rank.size)
            images += [
                Input(one.id, imputed(one.image, removed, generator))
                for removed in (rank >= rank.size - count, rank < count)
            ]
        kept = [confidence(found, whole, label) for found in model.predict(images)]
        scores[index] = np.mean([least - most for least, most in zip(kept[::2], kept[1::2], strict=True)]) / 2
    return _result({"ROAD": scores})


def average_drop(predictions: Sequence[Prediction], targets: Sequence[Target], probe: Probe) -> Result:
    """average_drop and average_increase (Chattopadhyay et al. 2018, arXiv 1710.11063), fractions.

    The image fades to ImageNet's mean colour where the map, scaled to [0, 1], is low. average_drop: by how much of
    itself the confidence in the predicted class falls, 0 where it rises. average_increase: the share of images where
    it rises. Class and confidence are insertion_deletion's. Of the first 100 images.
    """
    model = explained(probe)
    found = {name: np.full(len(predictions), np.nan) for name in ("average_drop", "average_increase")}
    grey = torch.tensor(MEAN)[:, None, None] * 255
    for index, one, relevance, whole, label in _asked(predictions, targets, probe, model):
        weight = torch.from_numpy(scaled(relevance)).float()
        shown = (one.image.float() * weight + grey * (1 - weight)).round().to(torch.uint8)
        before = confidence(whole, whole, label)
        [after] = (confidence(seen, whole, label) for seen in model.predict([Input(one.id, shown)]))
        found["average_drop"][index] = max(0.0, before - after) / before if before > 0 else 0.0
        found["average_increase"][index] = after > before
    return _result(found)


def imputed(image: Tensor, removed: Booleans, generator: torch.Generator) -> Tensor:
    """An image, uint8 [3, H, W], whose removed pixels [H, W] are each the weighted mean of their neighbours, which may
    be removed, too, with a little noise.
    """
    height, width = removed.shape
    place = np.full((height + 2, width + 2), -1)  # of each removed pixel among these; a border around the image
    ys, xs = np.nonzero(removed)
    place[ys + 1, xs + 1] = np.arange(len(ys))
    pixels = np.pad(image.numpy().astype(np.float64), ((0, 0), (1, 1), (1, 1)))
    inside = np.pad(np.ones((height, width), bool), 1)
    rows, columns, values = [], [], []
    total, known = np.zeros(len(ys)), np.zeros((len(ys), 3))
    for (dy, dx), weight in NEIGHBOURS.items():
        y, x = ys + 1 + dy, xs + 1 + dx
        there, other = inside[y, x], place[y, x]
        total += weight * there
        linked = there & (other >= 0)
        rows.append(np.nonzero(linked)[0])
        columns.append(other[linked])
        values.append(np.full(linked.sum(), -weight))
        known += weight * (there & (other < 0))[:, None] * pixels[:, y, x].T
    own = np.arange(len(ys))
    matrix = scipy.sparse.csc_matrix(
        (
            np.concatenate([*values, total]),
            (np.concatenate([*rows, own]), np.concatenate([*columns, own])),
        ),
        shape=(len(ys), len(ys)),
    )
    solved = scipy.sparse.linalg.splu(matrix).solve(known)
    noise = NOISE * torch.randn(len(ys), 3, generator=generator).numpy()
    result = image.clone()
    result[:, ys, xs] = torch.from_numpy((solved + noise).round().clip(0, 255).T.astype(np.uint8))
    return result


def _asked(
    predictions: Sequence[Prediction], targets: Sequence[Target], probe: Probe, model: Model
) -> Iterator[tuple[int, Input, Floats, Prediction, int]]:
    """Of the first images in which something is predicted: index, input, the map of the predicted class, what is
    predicted of the whole image, and the class.
    """
    for index, (owner, prediction, _, _) in enumerate(islice(by_image(predictions, targets), PROBED)):
        one = probe.inputs[index]
        [whole] = model.predict([one])
        if (label := predicted_class(whole)) is None:
            continue
        if label != one.query:
            [prediction] = probe.model.predict([replace(one, query=label)])
        yield index, one, read_map(owner, prediction), whole, label


def _result(values: dict[str, Floats]) -> Result:
    of_images = {name: torch.from_numpy(column) for name, column in values.items()}
    return Result(bootstrap(mean_statistic(values), len(next(iter(values.values())))), per_image=of_images)
