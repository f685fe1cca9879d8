"""What each image has to do with the value that ranks: equal to the metric itself, of that image and of all others."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from roibench.metric import cost_of
from roibench.registry import installed, resolve
from roibench.structures import Prediction, Target

N, SIZE = 9, (40, 48)


def scene(index: int) -> tuple[Prediction, Target]:
    """Predictions and ground truth of all tasks, of which some are wrong; one image is empty."""
    rng = np.random.default_rng(index)
    count = 0 if index == 4 else rng.integers(1, 4)
    corners = rng.uniform(0, 20, (count, 2))
    boxes = torch.tensor(np.concatenate([corners, corners + rng.uniform(5, 20, (count, 2))], 1), dtype=torch.float32)
    labels = torch.tensor(rng.integers(0, 3, count))
    masks = torch.zeros(count, *SIZE, dtype=torch.bool)
    joints = torch.ones(count, 3, 3)
    for k, (x1, y1, x2, y2) in enumerate(boxes.int().tolist()):
        masks[k, y1:y2, x1:x2] = True
        joints[k, :, :2] = boxes[k, :2] + torch.tensor([[0.0, 0], [2, 2], [4, 4]])
    semantic = torch.tensor(rng.integers(0, 4, SIZE), dtype=torch.uint8)
    main = 0 if count else None
    said = [f"a {('red', 'blue', 'green')[label]} disc" for label in labels.tolist()]
    target = Target(
        boxes,
        labels,
        masks=masks,
        keypoints=joints,
        captions=tuple(said),
        main=main,
        image_label=index % 3,
        semantic_map=semantic,
    )
    wrong = torch.tensor(rng.random(count) < 0.3)
    found = Prediction(
        boxes=boxes + torch.tensor(rng.normal(0, 1.5, (count, 4)), dtype=torch.float32),
        scores=torch.tensor(np.sort(rng.uniform(0.1, 1, count))[::-1].copy()),
        labels=torch.where(wrong, (labels + 1) % 3, labels),
        masks=masks.roll(index % 3, 2),
        keypoints=joints + torch.tensor(rng.normal(0, 1, (count, 3, 3)), dtype=torch.float32),
        captions=tuple("a red ring" if one else caption for one, caption in zip(wrong, said, strict=True)),
        class_scores=torch.tensor(rng.random(6), dtype=torch.float32),
        semantic_map=torch.where(torch.tensor(rng.random(SIZE) < 0.3), torch.tensor(0, dtype=torch.uint8), semantic),
        extra={"attribution": torch.tensor(rng.random(SIZE), dtype=torch.float32)},
    )
    return found, target


SCENES = [scene(index) for index in range(N)]
RANKING = [
    (metric, value.name)
    for metric in installed().metrics.values()
    for value in metric.values
    # Neighbours are among all images: one alone has none, and what asks is left out, not what is asked. Recognition is
    # of pictures that no scene has.
    if value.ranks and metric.name not in ("nearest_neighbours", "recognition")
]


@pytest.mark.parametrize(("metric", "name"), RANKING, ids=lambda one: getattr(one, "name", one))
def test_it_is_the_metric_of_the_image_alone_and_of_all_but_the_image(metric, name):
    def value(*indices: int) -> float:
        result = resolve(metric.compute)(*zip(*(SCENES[index] for index in indices), strict=True))
        return result.values[name].value if name in result.values else np.nan

    found = resolve(metric.compute)(*zip(*SCENES, strict=True)).per_image
    alone, cost = found[name].tolist(), found[cost_of(name)].tolist()
    everything = value(*range(N))
    assert 0 < everything < 1
    assert alone == pytest.approx([value(index) for index in range(N)], nan_ok=True)
    without = [value(*(other for other in range(N) if other != index)) for index in range(N)]
    assert cost == pytest.approx([one - everything for one in without], abs=1e-12)
    assert max(cost) > 0 > min(cost)


def test_an_image_that_is_wrong_costs_and_one_that_is_right_pays():
    spoilt = [
        (replace(p, boxes=p.boxes + 15), t) if i == 2 else (replace(p, boxes=t.boxes, labels=t.labels), t)
        for i, (p, t) in enumerate(SCENES)
    ]
    cost = resolve("roibench.metrics.detection:coco_ap")(*zip(*spoilt, strict=True)).per_image["AP cost"]
    assert cost.argmax() == 2 and cost[2] > 0.05
    assert cost[4] == 0, "an image without objects and detections"
