import numpy as np
import pytest
import scipy.ndimage
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from sklearn.metrics import confusion_matrix

from roibench.metrics.semantic_segmentation import mean_iou
from roibench.structures import VOID, Prediction, Target


def data(predicted, true):
    """Predictions and targets of nested lists or arrays, one map per image."""
    maps = [[torch.tensor(np.asarray(one), dtype=torch.uint8) for one in ones] for ones in (predicted, true)]
    return [Prediction(semantic_map=one) for one in maps[0]], [Target(semantic_map=one) for one in maps[1]]


def values(predicted, true):
    return {name: estimate.value for name, estimate in mean_iou(*data(predicted, true)).values.items()}


def pixel_by_pixel(predicted, true):
    """The definition: IoU of two sets of pixels, each named by image, row and column."""
    of_class, of_target, near, right, valid = {}, {}, ({}, {}), 0, 0
    for i, (one, target) in enumerate(zip(predicted, true, strict=True)):
        for y, x in np.ndindex(*np.shape(target)):
            if target[y][x] != VOID:
                of_class.setdefault(int(one[y][x]), set()).add((i, y, x))
                of_target.setdefault(int(target[y][x]), set()).add((i, y, x))
                right += one[y][x] == target[y][x]
                valid += 1
                for of, labels in zip(near, (one, target), strict=True):
                    if at_an_edge(labels, y, x):
                        of.setdefault(int(labels[y][x]), set()).add((i, y, x))
    none = set()
    pairs = [(of_class.get(c, none), of_target.get(c, none)) for c in of_class.keys() | of_target.keys()]
    ious = [len(a & b) / len(a | b) for a, b in pairs]
    edges = [(near[0].get(c, none), near[1].get(c, none)) for c in near[0].keys() | near[1].keys()]
    found = {
        "mIoU": np.mean(ious),
        "boundary_mIoU": np.mean([len(a & b) / len(a | b) for a, b in edges]) if edges else None,
        "frequency_weighted_IoU": sum(iou * len(b) for iou, (_, b) in zip(ious, pairs, strict=True)) / max(1, valid),
        "pixel_accuracy": right / max(1, valid),
        "mean_accuracy": np.mean([len(a & b) / len(b) for a, b in pairs if b]) if valid else None,
    }
    return {name: value for name, value in found.items() if value is not None} if valid else {}


def at_an_edge(labels, y, x):
    """By the definition: a pixel of another label, or none at all, within the distance; of these small maps, 1."""
    height, width = np.shape(labels)
    around = [(y + dy, x + dx) for dy in (-1, 0, 1) for dx in (-1, 0, 1)]
    return any(not (0 <= v < height and 0 <= u < width) or labels[v][u] != labels[y][x] for v, u in around)


@st.composite
def maps(draw):
    shapes = draw(st.lists(st.tuples(st.integers(1, 4), st.integers(1, 4)), min_size=1, max_size=4))
    classes, values = st.sampled_from([0, 1, 2, 254]), st.sampled_from([0, 1, 2, 7, VOID])
    return [[draw(arrays(np.uint8, shape, elements=e)) for shape in shapes] for e in (classes, values)]


@settings(max_examples=60, deadline=None)
@given(maps())
def test_the_numbers_are_those_of_sets_of_pixels(maps):
    assert values(*maps) == pytest.approx(pixel_by_pixel(*maps), abs=1e-12)


def test_a_case_by_hand():
    result = mean_iou(*data([[[0, 1], [1, 2]]], [[[0, 0], [1, 1]]]))
    per_class = {label: value for label, (value, _, _) in result.artefacts["IoU per class"].items()}
    assert per_class == pytest.approx({0: 1 / 2, 1: 1 / 3, 2: 0})  # 2 is never true
    assert result.values["mIoU"].value == pytest.approx(5 / 18)
    assert result.values["pixel_accuracy"].value == 1 / 2
    assert result.per_image["pixel_accuracy"].tolist() == [0.5]


def test_a_void_pixel_counts_nowhere():
    result = mean_iou(*data([[[0, 1], [1, 2]]], [[[0, 0], [1, VOID]]]))
    assert {label: value for label, (value, _, _) in result.artefacts["IoU per class"].items()} == {0: 1 / 2, 1: 1 / 2}
    assert result.values["pixel_accuracy"].value == pytest.approx(2 / 3)


def test_pixels_are_summed_before_the_division():
    # 9 of 10 pixels in one image and 0 of 1 in the other: 9 of 11, not the mean of .9 and 0.
    assert values([[[1] * 10], [[1]]], [[[1] * 9 + [0]], [[0]]])["mIoU"] == pytest.approx((9 / 11 + 0) / 2)


def test_a_resample_is_the_metric_of_the_images_that_it_drew():
    generator = np.random.default_rng(0)
    true = list(generator.integers(0, 4, (30, 6, 6)))
    predicted = [np.where(generator.random((6, 6)) < p, t, 3) for p, t in zip(generator.random(30), true, strict=True)]
    estimate = mean_iou(*data(predicted, true)).values["mIoU"]
    draws = np.random.default_rng(5).integers(30, size=(150, 30))
    again = [pixel_by_pixel([predicted[i] for i in row], [true[i] for i in row])["mIoU"] for row in draws]
    assert (estimate.low, estimate.high) == pytest.approx(np.quantile(again, (0.025, 0.975)), abs=0.02)
    assert estimate.low < estimate.value < estimate.high


def test_where_all_is_void_there_is_no_value():
    result = mean_iou(*data([[[0]]], [[[VOID]]]))
    assert result.values == {}
    assert result.artefacts["IoU per class"] == {}
    assert result.per_image["pixel_accuracy"].isnan().all()


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (None, "prediction of image 1: no semantic_map"),
        (
            torch.zeros(2, 3, dtype=torch.uint8),
            "image 1: semantic_map: 2x3 pixels, the ground truth has 2x2",
        ),
        (torch.zeros(2, 2), r"prediction of image 1: semantic_map is torch.float32 \[2, 2\], want torch.uint8"),
        (torch.full((2, 2), VOID, dtype=torch.uint8), "prediction of image 1: 255 in semantic_map, which is no class"),
    ],
)
def test_a_broken_prediction_is_named(wrong, message):
    predictions, targets = data([[[0, 0], [0, 0]]] * 2, [[[0, 0], [0, 0]]] * 2)
    with pytest.raises(ValueError, match=message):
        mean_iou([predictions[0], Prediction(semantic_map=wrong)], targets)


def test_predictions_and_targets_must_be_of_the_same_images():
    predictions, targets = data([[[0]]], [[[0]]])
    with pytest.raises(ValueError, match="2 predictions for 1 targets"):
        mean_iou(predictions * 2, targets)


def disc(side, radius, shift=0):
    y, x = np.mgrid[:side, :side] - side // 2
    return ((x - shift) ** 2 + y**2 <= radius**2).astype(np.uint8)


@pytest.mark.parametrize("shift", [0, 2, 9])
def test_boundary_iou_is_that_of_masks_less_what_erosion_leaves(shift):
    """As its authors compute it: erosion by 3 x 3, as often as there are pixels in 2 % of the diagonal."""
    true, found = disc(200, 60), disc(200, 57, shift)
    rings = []
    for mask in (true, found):
        eroded = scipy.ndimage.binary_erosion(mask, np.ones((3, 3)), iterations=round(0.02 * 200 * 2**0.5))
        rings.append(mask.astype(bool) & ~eroded)
        background = scipy.ndimage.binary_erosion(1 - mask, np.ones((3, 3)), iterations=round(0.02 * 200 * 2**0.5))
        rings.append((1 - mask).astype(bool) & ~background)
    expected = [(rings[k] & rings[k + 2]).sum() / (rings[k] | rings[k + 2]).sum() for k in (0, 1)]
    assert values([found], [true])["boundary_mIoU"] == pytest.approx(np.mean(expected))


def test_the_numbers_are_those_of_scikit_learns_confusion_matrix():
    generator = np.random.default_rng(1)
    true = generator.integers(0, 5, (4, 20, 30))
    found = np.where(generator.random(true.shape) < 0.6, true, generator.integers(0, 5, true.shape))
    matrix = confusion_matrix(true.ravel(), found.ravel()).astype(float)
    hits, row, column = matrix.diagonal(), matrix.sum(1), matrix.sum(0)
    iou = hits / (row + column - hits)
    expected = {
        "mIoU": iou.mean(),
        "frequency_weighted_IoU": (row * iou).sum() / row.sum(),
        "pixel_accuracy": hits.sum() / row.sum(),
        "mean_accuracy": (hits / row).mean(),
    }
    assert {name: values(found, true)[name] for name in expected} == pytest.approx(expected)
    per_class = mean_iou(*data(found, true)).artefacts["IoU per class"]
    assert [per_class[label][0] for label in range(5)] == pytest.approx(iou.tolist())
    assert all(low < value < high for value, low, high in per_class.values())
