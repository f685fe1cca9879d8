import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from pycocotools import mask as rle
from pycocotools.coco import COCO

from roibench.metrics.instance_segmentation import coco_mask_ap
from roibench.structures import Prediction, Target

SIZE = (24, 32)


def values(predictions, targets):
    return {name: estimate.value for name, estimate in coco_mask_ap(predictions, targets).values.items()}


def discs(generator, count):
    """Masks of ellipses, some of them empty."""
    y, x = np.ogrid[: SIZE[0], : SIZE[1]]
    centre, radius = generator.random((count, 2)) * SIZE, generator.choice([0.1, 4, 8], (count, 2), p=[0.1, 0.5, 0.4])
    inside = [((y - c[0]) / r[0]) ** 2 + ((x - c[1]) / r[1]) ** 2 <= 1 for c, r in zip(centre, radius, strict=True)]
    return np.array(inside, dtype=bool).reshape(count, *SIZE)


def scene(seed, images=30):
    """Random images whose detections are the objects' masks with noise; crowds, ignored objects, empty images."""
    generator = np.random.default_rng(seed)
    predictions, targets = [], []
    for _ in range(images):
        objects = int(generator.integers(0, 5))
        true, labels = discs(generator, objects), generator.integers(2, size=objects)
        seen = generator.integers(max(objects, 1), size=2 * objects)
        flipped = true[seen] ^ (generator.random((len(seen), *SIZE)) < generator.choice([0.0, 0.01, 0.05]))
        found = np.concatenate([flipped, discs(generator, 2)])
        guess = np.concatenate([labels[seen], generator.integers(2, size=2)])
        scores = generator.permutation(1 << 12)[: len(found)] / (1 << 12)
        predictions.append(
            Prediction(
                masks=torch.tensor(found),
                labels=torch.tensor(guess),
                scores=torch.tensor(scores, dtype=torch.float32),
            )
        )
        targets.append(
            Target(
                masks=torch.tensor(true),
                labels=torch.tensor(labels),
                crowd=torch.tensor(generator.random(objects) < 0.15),
                ignored=torch.tensor(generator.random(objects) < 0.1),
            )
        )
    return predictions, targets


def encoded(mask):
    return rle.encode(np.asfortranarray(mask.numpy().astype(np.uint8)))


def as_json(predictions, targets):
    annotations, results = [], []
    for i, (prediction, target) in enumerate(zip(predictions, targets, strict=True)):
        for mask, label, crowd, ignored in zip(target.masks, target.labels, target.crowd, target.ignored, strict=True):
            annotations.append(
                {"id": len(annotations) + 1, "image_id": i, "category_id": int(label), "area": int(mask.sum())}
                | {"iscrowd": int(crowd), "ignored": int(ignored), "segmentation": encoded(mask)}
            )
        for mask, label, score in zip(prediction.masks, prediction.labels, prediction.scores, strict=True):
            entry = {"image_id": i, "category_id": int(label), "score": float(score)}
            results.append(entry | {"segmentation": encoded(mask)})
    images = [{"id": i, "height": SIZE[0], "width": SIZE[1]} for i in range(len(targets))]
    return {"images": images, "categories": [{"id": 0}, {"id": 1}], "annotations": annotations}, results


@pytest.mark.parametrize("seed", range(4))
def test_the_numbers_are_those_of_pycocotools(coco_json_numbers, seed):
    data = scene(seed)
    expected = coco_json_numbers(*as_json(*data), "segm")
    assert values(*data) == pytest.approx(expected, abs=1e-12)
    assert 0.1 < expected["AP"] < 0.9


def test_areas_are_those_of_the_masks_unless_given():
    data = scene(0)
    assert values(*data).keys() >= {"APsmall"}
    large = [replace(target, areas=torch.full((len(target.masks),), 1e5)) for target in data[1]]
    assert "APsmall" not in values(data[0], large)


def test_images_without_masks_need_no_size():
    nothing = torch.zeros(0, 0, 0, dtype=torch.bool)
    none = torch.zeros(0, dtype=torch.int64)
    shown = Target(masks=torch.ones(1, 4, 4, dtype=torch.bool), labels=torch.tensor([0]))
    silent = Prediction(masks=nothing, labels=none, scores=torch.zeros(0))
    assert values([silent, silent], [shown, Target(masks=nothing, labels=none)])["AP"] == 0


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"masks": None}, "prediction of image 1: no masks"),
        (
            {"masks": torch.ones(1, 2, 2)},
            r"prediction of image 1: masks are torch.float32 \[1, 2, 2\], want torch.bool",
        ),
        ({"masks": torch.ones(1, 3, 2).bool()}, "prediction of image 1: masks: 3x2 pixels, the ground truth has 2x2"),
        ({"scores": torch.ones(2)}, "prediction of image 1: 2 scores for 1 masks"),
        ({"scores": torch.tensor([float("nan")])}, "prediction of image 1: NaN or infinite scores"),
    ],
)
def test_a_broken_prediction_is_named(change, message):
    masks, label = torch.ones(1, 2, 2).bool(), torch.tensor([0])
    good = Prediction(masks=masks, scores=torch.ones(1), labels=label)
    with pytest.raises(ValueError, match=message):
        coco_mask_ap([good, replace(good, **change)], [Target(masks=masks, labels=label)] * 2)


@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # of pycocotools
def test_cocos_own_fixture(coco_fixtures, coco_json_numbers):
    ground_truth = json.loads((coco_fixtures / "tests/dataset/cocoapi/instances_val2014_100.json").read_text())
    results = json.loads((coco_fixtures / "results/instances_val2014_fakesegm100_results.json").read_text())
    coco = COCO()
    coco.dataset = ground_truth
    coco.createIndex()
    predictions, targets = [], []
    for image in sorted(coco.imgs):
        objects, found = coco.imgToAnns[image], [r for r in results if r["image_id"] == image]
        height, width = coco.imgs[image]["height"], coco.imgs[image]["width"]
        targets.append(
            Target(
                masks=_stack([coco.annToMask(a) for a in objects], height, width),
                labels=torch.tensor([a["category_id"] for a in objects], dtype=torch.int64),
                crowd=torch.tensor([bool(a["iscrowd"]) for a in objects], dtype=torch.bool),
                areas=torch.tensor([a["area"] for a in objects], dtype=torch.float32),
            )
        )
        predictions.append(
            Prediction(
                masks=_stack([rle.decode(r["segmentation"]) for r in found], height, width),
                labels=torch.tensor([r["category_id"] for r in found], dtype=torch.int64),
                scores=torch.tensor([r["score"] for r in found], dtype=torch.float32),
            )
        )
    numbers = values(predictions, targets)
    assert numbers == pytest.approx(coco_json_numbers(ground_truth, results, "segm"), abs=1e-6)
    published = {"AP": 0.319545, "AP50": 0.562288, "AP75": 0.298927}
    assert {name: numbers[name] for name in published} == pytest.approx(published, abs=1e-6)


def _stack(masks, height, width):
    return torch.tensor(np.array(masks, dtype=bool).reshape(len(masks), height, width))
