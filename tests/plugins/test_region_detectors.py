"""Detectors that look at regions of selective search or at windows: through the doors that everybody uses, on cases
worked out by hand, and against what their parts are in libraries.
"""

import dataclasses

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from sklearn.svm import LinearSVC
from torchvision.transforms.functional import resized_crop

from roibench.assemble import build_model
from roibench.dataset import DatasetInfo
from roibench.datasets.reference import open_dataset
from roibench.nn.images import batch_images
from roibench.nn.targets import BoxTargets
from roibench.plugins.proposals.selective_search import Config, SelectiveSearch
from roibench.plugins.two_stage.linear_svm import NEVER, hard_negative_svm
from roibench.plugins.two_stage.proposed import PROPOSALS, WithProposals
from roibench.plugins.two_stage.second_stage import BOX_CODER, SecondStageConfig, detect, sample_regions
from roibench.plugins.two_stage.warped import warp
from roibench.registry import installed
from roibench.structures import Prediction, Sample, Target
from roibench.tasks.detection import DetectorContract
from roibench.train import Trainer

INFO = DatasetInfo("scenes", "val", ("circle", "square", "triangle"), image_size=(128, 128))


class TestSlidingWindowDetector(DetectorContract):
    model = "sliding_window_detector"


class TestRCNN(DetectorContract):
    model = "rcnn"


class TestSPPNet(DetectorContract):
    model = "sppnet"


class TestFastRCNN(DetectorContract):
    model = "fast_rcnn"


SEARCHED = pytest.mark.parametrize("name", ["rcnn", "sppnet", "fast_rcnn"])


def untrained(name, **overrides):
    torch.manual_seed(0)
    return build_model(installed().models[name], INFO, overrides).eval()


class NoProposals(SelectiveSearch):
    def propose(self, image):
        return Prediction(boxes=torch.zeros(0, 4), scores=torch.zeros(0))


@SEARCHED
def test_without_proposals_nothing_is_found(name):
    model = untrained(name, score_threshold=0.0)
    model.search = NoProposals(Config())
    [found] = model.predict(DetectorContract.noise((128, 128)))
    assert found.boxes.shape == (0, 4) and found.labels.shape == (0,)


@SEARCHED
def test_fewer_proposals_are_the_first_ones(name):
    model, few = untrained(name), untrained(name, proposals=7)
    [one] = DetectorContract.noise((64, 64))
    batch = model.batch([one])
    assert torch.equal(few.propose([one], batch)[0], model.propose([one], batch)[0][:7])


# ---- regions for training


def test_a_fixed_set_of_images_is_mirrored_with_its_proposals_which_are_found_once(tmp_path, monkeypatch):
    monkeypatch.setenv("ROIBENCH_CACHE", str(tmp_path))
    scenes = open_dataset("scenes@train", installed())
    search = SelectiveSearch(Config())
    data = WithProposals(scenes, search, images=2)
    assert len(data) == 4
    plain, mirrored = data[1], data[3]
    assert torch.equal(plain.input.image, scenes[1].input.image)
    assert torch.equal(mirrored.input.image, plain.input.image.flip(2))
    flipped = plain.target.boxes.clone()
    flipped[:, [0, 2]] = 128 - flipped[:, [2, 0]]
    assert torch.equal(mirrored.target.boxes, flipped)
    boxes, others = (one.target.extra[PROPOSALS] for one in (plain, mirrored))
    assert torch.equal(boxes, search.propose(plain.input.image).boxes)
    assert torch.equal(others[:, 0], 128 - boxes[:, 2]) and torch.equal(others[:, 3], boxes[:, 3])
    again = WithProposals(scenes, NoProposals(Config()), images=2)
    assert torch.equal(again[1].target.extra[PROPOSALS], boxes)
    with pytest.raises(IndexError):
        data[4]


def test_another_search_finds_anew(tmp_path, monkeypatch):
    monkeypatch.setenv("ROIBENCH_CACHE", str(tmp_path))
    scenes = open_dataset("scenes@train", installed())
    fast = WithProposals(scenes, SelectiveSearch(Config()), images=1)
    few = WithProposals(scenes, SelectiveSearch(Config(proposals=9)), images=1)
    assert len(fast[0].target.extra[PROPOSALS]) > len(few[0].target.extra[PROPOSALS]) == 9
    assert fast.hash != few.hash


def test_regions_are_an_object_or_background_and_those_of_ignored_ones_neither():
    boxes = torch.tensor([[0.0, 0, 10, 10], [50, 50, 70, 70]])
    near, half, far, ignored = [0.0, 0, 10, 8], [0.0, 0, 10, 4], [30.0, 30, 40, 40], [50.0, 50, 70, 68]
    objects = BoxTargets(boxes, torch.tensor([2, 0]), torch.tensor([False, True]))
    regions = sample_regions([torch.tensor([near, half, far, ignored])], [objects], SecondStageConfig(roi_samples=8))
    rows = {tuple(box): label for box, label in zip(regions.boxes[0].tolist(), regions.classes.tolist(), strict=True)}
    assert rows == {tuple(near): 3, tuple(boxes[0].tolist()): 3, tuple(half): 0, tuple(far): 0}
    positive = regions.boxes[0][regions.classes > 0]
    assert torch.allclose(BOX_CODER.decode(regions.deltas, positive), boxes[:1].expand(2, 4), atol=1e-5)


def test_the_best_box_of_each_class_is_kept_and_moved_by_its_own_deltas():
    batch = batch_images(DetectorContract.noise((64, 64)), torch.device("cpu"), 128, 1333, 1)
    regions = torch.tensor([[20.0, 20, 60, 60], [22, 20, 62, 60], [80, 80, 100, 120]])
    deltas = torch.zeros(3, 2, 4)
    deltas[0, 1] = torch.tensor([5.0, 0, 0, 0])  # half a width to the right, by the coder's weights
    scores = torch.tensor([[0.1, 0.9], [0.0, 0.02], [0.8, 0.0]])
    [found] = detect(scores, deltas, [regions], batch, SecondStageConfig())
    assert found.labels.tolist() == [1, 0, 0]
    assert torch.allclose(found.boxes, torch.tensor([[20.0, 10, 40, 30], [40, 40, 50, 60], [10, 10, 30, 30]]))


# ---- warped regions


def test_a_warped_region_is_torchvisions_crop_and_what_lies_outside_is_the_mean_colour():
    pixels = torch.randn(1, 3, 40, 60)
    [[warped]] = [warp(pixels, [torch.tensor([[8.0, 4, 40, 36]])], 32, 0)]
    assert torch.allclose(warped, pixels[0, :, 4:36, 8:40], atol=1e-5)
    [enlarged] = warp(pixels, [torch.tensor([[8.0, 4, 24, 20]])], 32, 0)
    reference = resized_crop(pixels[0], 4, 8, 16, 16, [32, 32], antialias=False)
    assert torch.allclose(enlarged[:, 2:-2, 2:-2], reference[:, 2:-2, 2:-2], atol=1e-4)
    [corner] = warp(pixels + 5, [torch.tensor([[0.0, 0, 16, 16]])], 32, 8)
    assert (corner[:, :5] == 0).all() and (corner[:, :, :5] == 0).all() and (corner[:, 10:, 10:] != 0).all()


def test_warping_doesnt_keep_the_aspect_and_context_is_a_share_of_the_box():
    pixels = torch.zeros(1, 3, 64, 64)
    pixels[:, :, 16:48, 24:40] = 1
    [warped] = warp(pixels, [torch.tensor([[24.0, 16, 40, 48]])], 32, 8)  # the box is 16 x 16 of 32 x 32
    inside = F.pad(torch.ones(14, 14), (9, 9, 9, 9)).bool()
    assert (warped[:, inside] == 1).all()
    assert (warped[:, :7] == 0).all() and (warped[:, :, :7] == 0).all()


def test_each_region_is_on_its_own_in_rcnn():
    model, [one] = untrained("rcnn"), DetectorContract.noise((96, 96))
    batch = model.batch([one])
    boxes = torch.tensor([[0.0, 0, 20, 30], [10, 40, 90, 80]])
    with torch.inference_mode():
        together = model.pool(batch, [boxes])
        alone = torch.cat([model.pool(batch, [box[None]]) for box in boxes])
        direct = model.backbone(warp(batch.pixels, [boxes], 64, 5))[-1].flatten(1)
    assert torch.allclose(together, alone, atol=1e-4)
    assert torch.allclose(together, direct, atol=1e-4)


# ---- SPPnet


def test_sppnets_convolutions_are_not_tuned(tmp_path):
    model = untrained("sppnet", short_side=64)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    [one] = DetectorContract.noise((64, 64))
    model.train().losses([one], [DetectorContract.objects((10, 10, 40, 40, 0))])["class"].backward()
    assert all(p.grad is None for p in model.backbone.parameters())
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items() if "backbone" in name)


# ---- SVM and ridge regression


def test_mining_hard_negatives_ends_at_the_svm_of_all_of_them():
    random = np.random.default_rng(0)
    positives, negatives = random.normal(0.8, 1, (200, 5)), random.normal(-0.8, 1, (6000, 5))
    weight, bias = hard_negative_svm(positives, negatives, c=0.01)
    examples, signs = np.concatenate([positives, negatives]), np.repeat([1, -1], [200, 6000])
    whole = LinearSVC(loss="hinge", C=0.01, intercept_scaling=10, random_state=0, max_iter=50_000).fit(examples, signs)
    assert np.allclose(weight, whole.coef_[0], atol=0.02) and bias == pytest.approx(whole.intercept_[0], abs=0.05)


def test_a_class_that_was_never_seen_is_never_found():
    weight, bias = hard_negative_svm(np.empty((0, 3)), np.ones((4, 3)), c=1.0)
    assert (weight == 0).all() and bias == NEVER
    assert torch.tensor(bias).sigmoid() < 1e-6


@pytest.mark.parametrize("name", ["rcnn", "sppnet"])
def test_three_trainings_make_a_detector(name, tmp_path, monkeypatch):
    """Of what it was trained on alone: that the softmax, the SVMs and the boxes learn at all."""
    monkeypatch.setenv("ROIBENCH_CACHE", str(tmp_path / "cache"))
    scenes = open_dataset("scenes@train", installed())
    torch.manual_seed(0)
    model = build_model(installed().models[name], scenes.info, {"training_images": 4, "short_side": 128})
    recipe = dataclasses.replace(installed().models[name].recipe, epochs=6, average=None, warmup_steps=1)
    model.fit(scenes, Trainer(recipe, tmp_path / "run", torch.device("cpu"), workers=0))
    labels = {int(label) for index in range(4) for label in scenes[index].target.labels}
    never = [label for label in range(len(scenes.info.classes)) if label not in labels]
    assert (model.svm_bias[never] == NEVER).all() and (model.svm_weight[sorted(labels)].abs().sum(1) > 0).all()
    assert (model.ridge_weight != 0).any()
    hits = total = 0
    for index in range(4):
        sample = scenes[index]
        [found] = model.predict([sample.input])
        assert set(found.labels.tolist()) <= labels
        total += len(sample.target.labels)
        hits += sum(label in found.labels[: 2 * len(sample.target.labels)] for label in sample.target.labels)
    assert hits / total > 0.6


def test_examples_without_objects_are_all_negatives():
    model = untrained("sppnet", short_side=64)
    [one] = DetectorContract.noise((64, 64))
    target = Target(boxes=torch.zeros(0, 4), labels=torch.zeros(0, dtype=torch.int64))
    examples = model.examples(Sample(one, target))
    assert (examples.overlaps == 0).all() and (examples.labels == -1).all() and not len(examples.near)
    model.fit_svms(examples)
    model.fit_ridge(examples)
    assert (model.svm_bias == NEVER).all()
