"""FCN and U-Net: what they share, and what each has of its paper."""

import dataclasses

import pytest
import torch
import torch.nn.functional as F

from roibench import ops
from roibench.assemble import build_model, ready_model
from roibench.dataset import DatasetInfo
from roibench.datasets.reference import open_dataset
from roibench.metrics.semantic_segmentation import mean_iou
from roibench.nn.images import batch_images
from roibench.nn.targets import batch_maps
from roibench.plugins.segmentation.segmenter import enlarged_argmax
from roibench.registry import installed
from roibench.structures import VOID, Input, Target
from roibench.tasks.semantic_segmentation import SegmentationContract
from roibench.weights import shipped_weights

INFO = DatasetInfo("noise", "train", ("first", "second", "third"), image_size=(128, 128))
NAMES = ["fcn", "unet"]
CPU = torch.device("cpu")


class TestFCN(SegmentationContract):
    model = "fcn"


class TestFCNMobileNet(SegmentationContract):
    model = "fcn_mobilenet"


class TestUNet(SegmentationContract):
    model = "unet"


class TestUNetMobileNet(SegmentationContract):
    model = "unet_mobilenet"


def untrained(name, **overrides):
    torch.manual_seed(0)
    return build_model(installed().models[name], INFO, overrides).eval()


def noise(*sizes):
    return SegmentationContract.noise(*sizes)


@pytest.mark.parametrize("name", NAMES)
def test_an_image_learned_by_heart_is_labelled_again(name):
    """A network that can't is broken between map, loss and scores; the image is not square on purpose."""
    model = untrained(name).train()
    [image] = noise((60, 90))
    semantic_map = torch.zeros(60, 90, dtype=torch.uint8)
    semantic_map[10:40, 20:50], semantic_map[30:55, 60:85], semantic_map[:8] = 1, 3, VOID
    target = Target(semantic_map=semantic_map)
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3)
    for _ in range(60):
        optimizer.zero_grad()
        sum(model.losses([image], [target]).values()).backward()
        optimizer.step()
    predictions = model.eval().predict([image])
    assert mean_iou(predictions, [target]).values["mIoU"].value > 0.8


@pytest.mark.parametrize("name", NAMES)
def test_void_is_not_learned(name):
    model = untrained(name)
    inputs = noise((64, 64), (64, 64))
    seen, void = torch.ones(64, 64, dtype=torch.uint8), torch.full((64, 64), VOID, dtype=torch.uint8)
    half = torch.cat([seen[:32], void[:32]])

    def losses(*maps):
        return torch.stack(list(model.losses(inputs[: len(maps)], [Target(semantic_map=one) for one in maps]).values()))

    assert losses(void).tolist() == [0, 0]
    assert torch.allclose(losses(seen, void), losses(seen))
    above = model.scores(model.batch(inputs[:1]).pixels).softmax(1)[0, 1, :32]
    dice = 1 - 2 * above.sum() / (above.sum() + above.numel())
    assert torch.allclose(losses(half), torch.stack([-above.log().mean(), dice]), rtol=1e-4)


@pytest.mark.parametrize("name", NAMES)
def test_padding_is_neither_learned_nor_shown(name):
    model = untrained(name)
    inputs = noise((50, 70), (64, 33))
    targets = [Target(semantic_map=torch.ones(one.image.shape[1:], dtype=torch.uint8)) for one in inputs]
    batch = model.batch(inputs)
    assert batch.pixels.shape[-2:] == (64, 80)
    assert (batch_maps(batch, targets) == 1).sum() == 50 * 70 + 64 * 33
    scores = model.scores(batch.pixels)
    for one, own, prediction in zip(inputs, scores, model.predict(inputs), strict=True):
        height, width = one.image.shape[1:]
        assert torch.equal(prediction.semantic_map, own[:, :height, :width].argmax(0).to(torch.uint8))


@pytest.mark.parametrize("name", NAMES)
def test_a_large_photograph_is_reduced_and_its_map_enlarged(name):
    model = untrained(name, short_side=32, long_side=64)
    [wide, square] = inputs = noise((100, 400), (90, 90))
    assert model.batch(inputs).sizes == [(16, 64), (32, 32)]
    for one, prediction in zip((wide, square), model.predict(inputs), strict=True):
        assert prediction.semantic_map.shape == one.image.shape[1:]
    targets = [Target(semantic_map=torch.randint(0, 4, one.image.shape[1:], dtype=torch.uint8)) for one in inputs]
    model.train().losses(inputs, targets)["cross_entropy"].backward()


def test_maps_are_reduced_to_the_nearest_pixel():
    [one] = noise((4, 6))
    target = Target(semantic_map=torch.arange(24, dtype=torch.uint8).reshape(4, 6))
    batch = batch_images([one], CPU, 2, 1000, 4)
    assert batch_maps(batch, [target])[0].tolist() == [
        [7, 9, 11, VOID],
        [19, 21, 23, VOID],
        [VOID] * 4,
        [VOID] * 4,
    ]


def test_the_enlarged_argmax_is_that_of_all_classes_together():
    scores = torch.randn(5, 7, 9)
    together = F.interpolate(scores[None], (31, 20), mode="bilinear", align_corners=False)[0].argmax(0)
    assert torch.equal(enlarged_argmax(scores, (31, 20)).long(), together)
    assert enlarged_argmax(torch.zeros(3, 2, 2), (4, 4)).max() == 0  # of equal scores the first, as argmax has it


@pytest.mark.parametrize("name", NAMES)
def test_all_enlarging_is_our_operator(name, monkeypatch):
    outputs, own = [], ops.conv_transpose2d
    monkeypatch.setattr(ops, "conv_transpose2d", lambda *args: outputs.append(own(*args)) or outputs[-1])
    untrained(name).predict(noise((128, 128)))
    sides = {"fcn": [16, 32, 128], "unet": [16, 32, 128]}[name]
    assert [output.shape[-1] for output in outputs] == sides


def test_fcn_begins_with_its_coarsest_scores_alone():
    model = untrained("fcn")
    pixels = model.batch(noise((128, 128))).pixels
    *finer, coarsest = model.backbone(pixels)
    scores = model.decode(pixels, [*finer, coarsest])
    assert torch.equal(model.decode(pixels, [*map(torch.randn_like, finer), coarsest]), scores)
    assert not torch.equal(model.decode(pixels, [*finer, torch.randn_like(coarsest)]), scores)


def test_fcn_sums_the_scores_of_all_strides():
    model = untrained("fcn")
    pixels = model.batch(noise((128, 128))).pixels
    features = model.backbone(pixels)
    before = model.decode(pixels, features)
    for score in model.decoder.scores[:-1]:
        torch.nn.init.ones_(score.bias)
    # Each level's constant goes up through what begins as interpolation, and adds up.
    assert torch.allclose((model.decode(pixels, features) - before)[..., 32:-32, 32:-32], torch.tensor(2.0), atol=1e-4)


def test_unet_joins_the_maps_of_both_paths():
    model = untrained("unet")
    pixels = model.batch(noise((128, 128))).pixels
    maps = [pixels, *model.backbone(pixels)]
    scores = model.decode(maps[0], maps[1:])
    for index in range(len(maps)):
        changed = [one.clone() for one in maps]
        changed[index] += torch.randn_like(changed[index])
        assert not torch.allclose(model.decode(changed[0], changed[1:]), scores), f"map {index} doesn't count"


def test_unet_is_as_deep_as_it_is_told():
    model = untrained("unet", widths=(8, 8, 16), blocks=(1, 1), strides=(4, 8))
    assert len(model.decoder.up) == 2
    assert model.predict(noise((33, 21)))[0].semantic_map.shape == (33, 21)


@pytest.mark.parametrize("name", NAMES)
def test_more_classes_than_a_byte_holds_are_refused(name):
    info = dataclasses.replace(INFO, classes=tuple(map(str, range(255))))
    with pytest.raises(ValueError, match="dataset 'noise' has 255 classes; a semantic map holds 254"):
        build_model(installed().models[name], info)


@pytest.mark.parametrize("name", NAMES)
def test_a_missing_image_is_named(name):
    with pytest.raises(ValueError, match="input 'blank': image must be uint8"):
        untrained(name).predict([Input("blank", None)])


@pytest.mark.parametrize("name", [name for name in NAMES if "scenes" in installed().models[name].weights])
def test_shipped_weights_label_pixels(name):
    registry = installed()
    spec, val = registry.models[name], open_dataset("scenes", registry)
    model = ready_model(spec, val.info, shipped_weights(spec, "scenes", registry), CPU)
    samples = [val[i] for i in range(20)]
    predictions = [model.predict([sample.input])[0] for sample in samples]
    assert mean_iou(predictions, [sample.target for sample in samples]).values["mIoU"].value > 0.3
