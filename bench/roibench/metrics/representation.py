"""Representations: whether an image's nearest neighbours show the same, and how they lie in a plane."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from sklearn.manifold import TSNE, trustworthiness
from sklearn.neighbors import NearestNeighbors

from roibench.metric import Estimate, Result
from roibench.metrics.bootstrap import bootstrap, mean_statistic, per_image
from roibench.metrics.fields import ImageError, by_image, checked_array, present
from roibench.metrics.matching import Floats, Integers
from roibench.structures import Prediction, Target

NEIGHBOURS = 5
PERPLEXITY = 30.0  # t-SNE's own default
LEAST = 3 * NEIGHBOURS  # images that a plane of them is made for
MOST = 2000  # images in a plane: how far it can be trusted compares each with each


class Plane(NamedTuple):
    """points: float64 [N, 2]. trustworthiness: in [0, 1]."""

    points: Floats
    trustworthiness: float


def nearest_neighbours(predictions: Sequence[Prediction], targets: Sequence[Target], probe: None = None) -> Result:
    """neighbour_1, neighbour_5, majority_5 and trustworthiness, fractions, among the images that were scored.

    neighbour_k: the share of images that have one of their class among the k nearest others, by Euclidean distance of
    their features. majority_5: whose class is the commonest among the 5 nearest, the nearest one's among equally common
    ones. The intervals resample images that ask; those that are asked stay. Undefined for fewer than 6 images.

    trustworthiness: lay_out's, of the first 2,000 images; without an interval. artefacts["plane"]: x, y and label of
    each of these.
    """
    points, labels = [], []
    for owner, prediction, true_owner, target in by_image(predictions, targets):
        one = checked_array(owner, "features", prediction.get("features"))
        if points and one.shape != points[0].shape:
            raise ImageError(
                owner, f"features {list(one.shape)}, those of the first image have {list(points[0].shape)}"
            )
        points.append(one)
        labels.append(int(present(true_owner, "image_label", target.image_label)))
    if len(points) <= NEIGHBOURS:
        return Result({})
    features, classes = np.stack(points).astype(np.float64), np.array(labels)
    same = classes[_others(features)] == classes[:, None]
    hits = {
        "neighbour_1": same[:, 0],
        "neighbour_5": same.any(1),
        "majority_5": _majority(classes[_others(features)]) == classes,
    }
    statistic = mean_statistic(hits)
    of_images = per_image(statistic, len(points))
    values = bootstrap(statistic, len(points), of_images=of_images)
    if len(points) < LEAST:
        return Result(values, per_image=of_images)
    plane, trusted = lay_out(features[:MOST])
    x, y = plane.T.round(3).tolist()
    return Result(
        values | {"trustworthiness": Estimate(trusted, trusted, trusted, np.full(0, np.nan))},
        per_image=of_images,
        artefacts={"plane": {"x": x, "y": y, "label": labels[:MOST]}},
    )


def lay_out(features: Floats) -> Plane:
    """Features [N, D] in a plane, by t-SNE (van der Maaten and Hinton 2008), and whether neighbours in the plane are
    neighbours among the features: trustworthiness (Venna and Kaski 2001) of 5 neighbours, as scikit-learn has it.

    The same features give the same plane. Raises ValueError for fewer than 15 images, of which none is made.
    """
    if len(features) < LEAST:
        raise ValueError(f"a plane of {len(features)} images says nothing; want {LEAST} or more")
    perplexity = min(PERPLEXITY, (len(features) - 1) / 3)
    points = TSNE(perplexity=perplexity, init="pca", random_state=0).fit_transform(features.astype(np.float32))
    return Plane(points.astype(np.float64), float(trustworthiness(features, points, n_neighbors=NEIGHBOURS)))


def _others(features: Floats) -> Integers:
    """[N, 5]: the nearest other images of each, nearest first."""
    index = NearestNeighbors(n_neighbors=NEIGHBOURS + 1).fit(features)
    _, found = index.kneighbors(features)
    itself = found == np.arange(len(features))[:, None]
    itself[~itself.any(1), -1] = True  # more than 5 others lie exactly there
    return found[~itself].reshape(len(features), NEIGHBOURS)


def _majority(classes: Integers) -> Integers:
    """[N, k] -> [N]."""
    counts = (classes[:, :, None] == classes[:, None]).sum(2)
    return classes[np.arange(len(classes)), counts.argmax(1)]  # the first of the commonest: the nearest
