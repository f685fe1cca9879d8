"""Faithfulness: is a map about what the model does? The model is run again, after the clock has stopped."""

import copy
from collections.abc import Sequence
from dataclasses import replace
from itertools import islice

import numpy as np
import torch
import torch.nn.functional as F
from scipy.stats import rankdata
from torch import Tensor, nn
from torchvision.transforms.functional import gaussian_blur

from roibench.metric import Result
from roibench.metrics.attribution import read_map
from roibench.metrics.bootstrap import bootstrap, mean_statistic
from roibench.metrics.fields import by_image
from roibench.metrics.matching import Floats
from roibench.model import Model, Probe, Wrapper
from roibench.nn.images import MEAN
from roibench.structures import Input, Prediction, Target

STEPS = 20  # of 5 % of the pixels each
PROBED = 100  # images, from the first one on: the model is run 43 times on each
BLUR = 5 / 224  # the Gaussian's standard deviation over the image's shorter side; its kernel ends one deviation away
UNCHANGED = (
    "of {:,} attributions none changes when the model's parameters are shuffled: "
    "high insertion or low deletion tells of the images here, not of the model"
)


def insertion_deletion(predictions: Sequence[Prediction], targets: Sequence[Target], probe: Probe) -> Result:
    """insertion, deletion and faithfulness (RISE: Petsiuk et al. 2018, arXiv 1806.07421): areas under curves.

    As in RISE, the class is the one that the explained model predicts of the whole image: of the highest score, of the
    highest-scoring detection, or of most pixels that aren't background. Where it isn't the one that was queried, the
    explainer is asked again, so that the map and the curve are about one class. An image of which nothing is predicted
    doesn't count: NaN in per_image.

    The pixels are ranked by relevance, equal ones by place. deletion: the most relevant ones are replaced first by
    zeros of the normalised image, which is ImageNet's mean colour; the sooner the class is lost, the lower, the better.
    insertion: they replace a blurred image's; the higher, the better. Both in 20 steps of 5 % of the pixels; the blur
    is RISE's, sigma 5 and a kernel of 11 pixels at 224, in proportion to the shorter side. faithfulness: insertion -
    deletion. Of the first 100 images.
    A curve's ordinate is what the explained model predicts of the class: its probability, the score of its
    highest-scoring detection, or the fraction of the pixels of this class in the whole image that still have it.
    artefacts["curves"]: the mean curves.
    """
    model = explained(probe)
    curves = np.full((len(predictions), 2, STEPS + 1), np.nan)
    for i, (owner, prediction, _, _) in enumerate(islice(by_image(predictions, targets), PROBED)):
        one = probe.inputs[i]
        [whole] = model.predict([one])
        label = predicted_class(whole)
        if label is None:
            continue
        if label != one.query:
            [prediction] = probe.model.predict([replace(one, query=label)])
        curves[i] = _curves(model, one, read_map(owner, prediction), whole, label)
    insertion, deletion = area(curves).T
    per_image = {"insertion": insertion, "deletion": deletion, "faithfulness": insertion - deletion}
    counted = curves[~np.isnan(curves).any((1, 2))]
    means = counted.mean(0).tolist() if len(counted) else ([], [])
    return Result(
        bootstrap(mean_statistic(per_image), len(predictions)),
        per_image={name: torch.from_numpy(column) for name, column in per_image.items()},
        artefacts={"curves": dict(zip(("insertion", "deletion"), means, strict=True))},
    )


def parameter_randomization(predictions: Sequence[Prediction], targets: Sequence[Target], probe: Probe) -> Result:
    """randomization, null and constant (Adebayo et al. 2018, arXiv 1810.03292): does a map change with the model?

    randomization: Spearman's rank correlation of a map with that of a model which has learned nothing, the mean over
    images of its absolute value. 1 doesn't look at the model. Nothing learned is left by shuffling the numbers within
    each of the explained model's parameters, all layers at once; buffers stay. A model that is no nn.Module has no
    parameters to shuffle, and its explanations no such values.
    null: the same of a map and another image's by the unshuffled model, resized to this one's size: the image before,
    of the first the last. They share nothing but the place, as maps of unrelated models would: a randomization near it
    is sane, one far above it isn't; where the null itself is near 1, randomization tells nothing. Undefined for a
    single image.
    constant: the share of images where a map, before or after shuffling, is the same everywhere. There a correlation is
    a convention: two constant maps correlate by 1, a constant one and another by 0.
    A warning tells where shuffling changes no map at all.
    """
    if not isinstance(explained(probe), nn.Module):
        return Result({})
    explainer = copy.deepcopy(probe.model)
    generator = torch.Generator().manual_seed(0)
    for parameter in explainer.inner.parameters():
        order = torch.randperm(parameter.numel(), generator=generator).to(parameter.device)
        parameter.data = parameter.data.flatten()[order].view_as(parameter)
    images = list(by_image(predictions, targets))
    of_images = {name: np.full(len(images), np.nan) for name in ("randomization", "null", "constant")}
    changed = False
    for i, (owner, prediction, _, _) in enumerate(images):
        own = read_map(owner, prediction)
        [other] = explainer.predict([probe.inputs[i]])
        shuffled = read_map(owner._replace(what="prediction, parameters shuffled,"), other)
        of_images["randomization"][i] = abs(rank_correlation(own, shuffled))
        of_images["constant"][i] = np.ptp(own) == 0 or np.ptp(shuffled) == 0
        if len(images) > 1:
            of_images["null"][i] = abs(rank_correlation(own, resized(read_map(*images[i - 1][:2]), own.shape)))
        changed |= not np.array_equal(own, shuffled)
    return Result(
        bootstrap(mean_statistic(of_images), len(images)),
        per_image={name: torch.from_numpy(column) for name, column in of_images.items()},
        warnings=() if changed else (UNCHANGED.format(len(images)),),
    )


def area(curves: Floats) -> Floats:
    """Under curves [..., n] on the unit interval, by trapezoids."""
    return (curves.sum(-1) - (curves[..., 0] + curves[..., -1]) / 2) / (curves.shape[-1] - 1)


def rank_correlation(first: Floats, second: Floats) -> float:
    """Spearman's, of two maps of one size; equal values share their mean rank."""
    ranks = [rankdata(one) - (one.size + 1) / 2 for one in (first.ravel(), second.ravel())]
    lengths = [np.linalg.norm(one) for one in ranks]
    if not all(lengths):
        return float(lengths[0] == lengths[1])
    return float(np.dot(*ranks) / np.prod(lengths))


def resized(relevance: Floats, size: tuple[int, int]) -> Floats:
    """A map at another (height, width), bilinearly."""
    [[scaled]] = F.interpolate(torch.from_numpy(relevance)[None, None], size, mode="bilinear", antialias=True)
    return scaled.numpy()


def predicted_class(whole: Prediction) -> int | None:
    """The class of the highest score, of the highest-scoring detection, or of most pixels that aren't background; None
    where nothing is predicted.
    """
    if whole.class_scores is not None:
        return int(whole.class_scores.argmax())
    if whole.labels is not None:
        return int(whole.labels[whole.scores.argmax()]) if len(whole.labels) else None
    if whole.semantic_map is not None and whole.semantic_map.any():
        return int(whole.semantic_map.flatten().bincount()[1:].argmax())
    return None


def explained(probe: Probe) -> Model:
    if not isinstance(probe.model, Wrapper):
        raise TypeError(f"{type(probe.model).__name__} goes around no other model; want a roibench.model.Wrapper")
    return probe.model.inner


def _curves(model: Model, one: Input, relevance: Floats, whole: Prediction, label: int) -> Floats:
    """[2, STEPS + 1]: insertion and deletion. whole: what is predicted of the unchanged image."""
    height, width = relevance.shape
    rank = np.empty(relevance.size, np.int64)
    rank[np.argsort(-relevance, axis=None, kind="stable")] = np.arange(relevance.size)
    rank = torch.from_numpy(rank.reshape(height, width))
    changed = [round(step * relevance.size / STEPS) for step in range(STEPS + 1)]
    grey = torch.tensor([round(255 * value) for value in MEAN], dtype=torch.uint8)[:, None, None].expand_as(one.image)
    curves = []
    for start, end in ((blurred(one.image), one.image), (one.image, grey)):
        images = [Input(one.id, torch.where(rank < count, end, start)) for count in changed]
        curves.append([confidence(prediction, whole, label) for prediction in model.predict(images)])
    return np.array(curves)


def blurred(image: Tensor) -> Tensor:
    """uint8 [3, H, W] -> the same."""
    sigma = BLUR * min(image.shape[1:])
    return gaussian_blur(image, 2 * round(sigma) + 1, sigma)


def confidence(prediction: Prediction, whole: Prediction, label: int) -> float:
    """How much of the class that is predicted of the whole image is predicted still, in [0, 1]."""
    if prediction.class_scores is not None:
        return float(prediction.class_scores[label])
    if prediction.labels is not None:
        return float(max(prediction.scores[prediction.labels == label], default=0.0))
    named = whole.semantic_map == label + 1
    return float((prediction.semantic_map[named] == label + 1).double().mean())
