"""HOG and linear SVMs: every window's score by hand, and what it learns from patterns on noise."""

from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from skimage.feature import hog
from torch import Tensor

from roibench.assemble import build_model
from roibench.contract import ModelContract
from roibench.dataset import DatasetInfo
from roibench.ops import box_iou
from roibench.plugins.two_stage.hog_svm import CELL, HogSVM, Level, describe
from roibench.registry import installed
from roibench.specs import Recipe
from roibench.structures import Input, Sample, Target
from roibench.weights import WeightsHeader, load_weights, save_weights

SPEC = installed().models["hog_svm"]
INFO = DatasetInfo("patterns", "train", ("cross", "bars", "never"), image_size=(64, 80))
SIDE = 32  # of a pattern, which is what an object covers in its window


def patterns() -> Tensor:
    """[2, SIDE, SIDE]: a cross, and bars of the same thickness."""
    cross, bars = torch.zeros(2, SIDE, SIDE, dtype=torch.uint8)
    cross[12:20] = cross[:, 12:20] = 255
    bars[2:10] = bars[22:30] = 255
    return torch.stack([cross, bars])


class Patterns:
    """Noise with patterns on it: of each image, (class, x, y) of what is pasted.

    decoys: what is pasted beside them, and is no object. ignored: whether objects count neither way.
    """

    info = INFO
    hash = "patterns"
    unbounded = False

    def __init__(
        self,
        *pasted: Sequence[tuple[int, int, int]],
        decoys: Sequence[tuple[int, int, int]] = (),
        ignored: bool = False,
    ):
        self.pasted, self.decoys, self.ignored = pasted, decoys, ignored

    def __len__(self) -> int:
        return len(self.pasted)

    def __getitem__(self, index: int) -> Sample:
        image = torch.randint(0, 40, (1, *INFO.image_size), generator=torch.Generator().manual_seed(index))
        image = image.to(torch.uint8).repeat(3, 1, 1)
        for label, x, y in (*self.pasted[index], *self.decoys):
            image[:, y : y + SIDE, x : x + SIDE] = patterns()[label]
        rows = [(x, y, x + SIDE, y + SIDE) for _, x, y in self.pasted[index]]
        target = Target(
            boxes=torch.tensor(rows, dtype=torch.float32).reshape(-1, 4),
            labels=torch.tensor([label for label, _, _ in self.pasted[index]], dtype=torch.int64),
            ignored=torch.full((len(rows),), self.ignored),
        )
        return Sample(Input(f"patterns-{index}", image), target)


LEARNED = Patterns([(0, 4, 8)], [(1, 40, 20)], [(0, 44, 28)], [(1, 8, 0)], [])


def fitted(data: Patterns, epochs: int = 2, **overrides: object) -> HogSVM:
    model = build_model(SPEC, INFO, {"upsampling": 1.0, "C": 1.0, **overrides})  # few images: C is large
    model.fit(data, SimpleNamespace(recipe=Recipe(epochs=epochs)))
    return model


@pytest.fixture(scope="module")
def model() -> HogSVM:
    return fitted(LEARNED)


class TestHogSVM(ModelContract):
    model = "hog_svm"
    info = INFO

    @pytest.fixture
    def built(self, spec, model) -> HogSVM:
        """Untrained, it never finds anything."""
        built = build_model(spec, self.info)
        built.load_state_dict(model.state_dict())
        built.bias.fill_(0.5)
        return built

    def test_it_finds_something_in_noise(self, built):
        assert len(built.predict(self.noise((128, 128)))[0].boxes) > 0
        assert self.marked(built)[:2] == ["preprocess", "hog"] and self.marked(built)[-2:] == [
            "classify",
            "postprocess",
        ]


# ---- windows


def test_a_score_is_the_dot_product_with_the_hog_of_the_windows_own_pixels():
    pixels = torch.rand(3, 72, 88, generator=torch.Generator().manual_seed(0)) * 255
    model = build_model(SPEC, INFO)
    model.sizes.copy_(torch.tensor([[32, 32], [40, 24], [24, 40]]))
    cells = model.sizes // CELL + 2
    for label, (rows, columns) in enumerate((cells - 1).tolist()):
        model.weight[label, :, :rows, :columns].normal_()
    model.bias.normal_()
    level = Level(describe(pixels), torch.ones(2))
    windows = model.windows([level], [model.margins(level)], -torch.inf)
    assert len(windows.labels) == 4 * 6 + 3 * 7 + 5 * 5
    compared = set()
    for box, margin, label, (_, row, column) in zip(*windows, strict=True):
        rows, columns = cells[label].tolist()
        x, y = (CELL * column).item(), (CELL * row).item()
        height, width = model.sizes[label].tolist()
        assert box.tolist() == [x, y, x + width, y + height], "the level's border is a cell, as the window's is"
        x2, y2 = x + CELL * columns, y + CELL * rows
        if x > 0 and y > 0 and x2 < 88 and y2 < 72:
            # With a cell around it, which is then left out: at an image's border, gradients differ from those inside.
            cut = pixels[:, y - CELL : y2 + CELL, x - CELL : x2 + CELL].permute(1, 2, 0).numpy()
            blocks = hog(cut, 9, (8, 8), (2, 2), "L2-Hys", feature_vector=False, channel_axis=-1)[1:-1, 1:-1]
            template = model.weight[label, :, : rows - 1, : columns - 1].permute(1, 2, 0).numpy().reshape(blocks.shape)
            assert margin.item() == pytest.approx((template * blocks).sum() + model.bias[label].item(), abs=1e-3)
            compared.add(label.item())
    assert compared == {0, 1, 2}


def test_a_pyramid_begins_enlarged_and_ends_with_the_window():
    model = build_model(SPEC, INFO)
    levels = model.pyramid(torch.zeros(3, 64, 128, dtype=torch.uint8))
    assert levels[0].scale.tolist() == [2, 2] and levels[0].blocks.shape == (36, 17, 33)
    assert levels[1].scale.tolist() == pytest.approx([2 / 1.2] * 2, rel=0.01)
    assert levels[-1].blocks.shape[1] == 5, "a block less than the 4 cells of an object and its border"


def test_images_smaller_than_a_window_hold_nothing(model):
    for found in model.predict(ModelContract.noise((1, 1), (3, 200), (200, 3))):
        assert found.boxes.shape == (0, 4) and found.scores.shape == found.labels.shape == (0,)


# ---- training


@pytest.mark.parametrize("scale", [1, 2])
def test_it_finds_a_pattern_wherever_it_stands_and_however_large(model, scale):
    image = Patterns([(0, 21, 13)])[0].input.image
    enlarged = image.repeat_interleave(scale, 1).repeat_interleave(scale, 2)
    [found] = model.predict([Input("grey", enlarged)])
    assert found.labels[0] == 0 and found.scores[0] > 0.5
    assert box_iou(found.boxes[:1], scale * torch.tensor([[21.0, 13, 53, 45]])) > 0.5


def test_hard_negatives_lower_false_positives():
    decoys = [(1, 44, 30)]
    data = Patterns([(0, 2, 2)], [(0, 8, 20)], decoys=decoys)
    image = Patterns([], decoys=decoys)[0].input

    def wrongly_found(epochs: int) -> float:
        found = fitted(data, epochs, negatives=2).predict([image])[0]
        return found.scores[found.labels == 0].sum().item()

    assert wrongly_found(epochs=3) < 0.7 * wrongly_found(epochs=1)


def test_a_class_that_was_never_seen_never_fires(model):
    never = INFO.classes.index("never")
    assert model.bias[never] == -torch.inf
    eager = build_model(SPEC, INFO, {"score_threshold": 0.0, "nms_iou": 1.0, "max_detections": 10**6})
    eager.load_state_dict(model.state_dict())
    [found] = eager.predict(ModelContract.noise((64, 64)))
    assert set(found.labels.tolist()) == {0, 1}


@pytest.mark.parametrize("data", [Patterns([], []), Patterns([(0, 4, 8)], ignored=True)])
def test_without_objects_that_count_nothing_is_learned(data):
    model = fitted(data)
    assert (model.bias == -torch.inf).all() and not model.weight.any()
    assert len(model.predict([data[0].input])[0].boxes) == 0


def test_training_again_is_the_same_and_forgets_what_was_before(model):
    again = fitted(Patterns([(1, 8, 0)]))
    again.fit(LEARNED, SimpleNamespace(recipe=Recipe(epochs=2)))
    assert all(torch.equal(value, model.state_dict()[name]) for name, value in again.state_dict().items())


def test_weights_come_back_from_a_file(model, tmp_path: Path):
    header = WeightsHeader(
        model="hog_svm", dataset="patterns", data_hash="x", classes=INFO.classes, config={}, recipe={}, seed=0,
        precision="float32", threads=1, roibench="0", torch="2",
    )  # fmt: skip
    save_weights(tmp_path / "hog.safetensors", model.state_dict(), header)
    other = build_model(SPEC, INFO, {"upsampling": 1.0})
    load_weights(tmp_path / "hog.safetensors", other, SPEC, INFO.classes)
    inputs = [LEARNED[0].input]
    [before], [after] = model.predict(inputs), other.predict(inputs)
    assert torch.equal(before.boxes[0], after.boxes[0]) and torch.allclose(before.scores[0], after.scores[0], atol=1e-3)
