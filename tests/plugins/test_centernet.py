"""CenterNet through the doors that everybody uses, and its targets by hand."""

import pytest
import torch

from roibench.assemble import build_model
from roibench.dataset import DatasetInfo
from roibench.nn.heatmaps import gaussian_radius, heat_targets, locations, offset_targets
from roibench.nn.targets import batch_boxes, learned_objects
from roibench.plugins.single_stage.centernet import Output
from roibench.registry import installed
from roibench.tasks.detection import DetectorContract

INFO = DatasetInfo("scenes", "val", ("circle", "square", "triangle"), image_size=(128, 128))
TARGETS = [
    DetectorContract.objects((10, 20, 43, 57, 1), (64, 70, 128, 128, 2), (3, 90, 14, 99, 0), (40, 20, 73, 57, 1)),
    DetectorContract.objects((20, 30, 81, 90, 1)),
]


class TestCenterNet(DetectorContract):
    model = "centernet"


@pytest.fixture
def planted():
    """A model, a batch, and what the model should put out for TARGETS."""
    torch.manual_seed(0)
    model = build_model(installed().models["centernet"], INFO).eval()
    batch = model.batch(DetectorContract.noise((128, 128), (128, 128)))
    image, boxes, labels = learned_objects(batch_boxes(batch, TARGETS))
    boxes = boxes / 4
    centres, sizes = (boxes[:, :2] + boxes[:, 2:]) / 2, boxes[:, 2:] - boxes[:, :2]
    rows, columns = locations(centres, (32, 32))
    heat = heat_targets(image, labels, rows, columns, gaussian_radius(sizes), torch.Size((2, 3, 32, 32)))
    offset, size = torch.zeros(2, 2, 32, 32), torch.zeros(2, 2, 32, 32)
    offset[image, :, rows, columns] = offset_targets(centres, rows, columns)
    size[image, :, rows, columns] = sizes
    return model, batch, Output(torch.logit(heat, eps=1e-6), offset, size)


def test_its_targets_decode_to_the_ground_truth(planted):
    model, batch, output = planted
    for found, target in zip(model._detect(output, batch), TARGETS, strict=True):
        order, expected = found.boxes.sum(1).argsort(), target.boxes.sum(1).argsort()
        assert torch.allclose(found.boxes[order], target.boxes[expected], atol=1e-3)
        assert torch.equal(found.labels[order], target.labels[expected])


def test_what_decodes_to_the_ground_truth_costs_nothing(planted):
    model, batch, output = planted
    objects = batch_boxes(batch, TARGETS)
    right = model._errors(output, objects)
    assert right["offset"] < 1e-5 and right["size"] < 1e-5
    wrong = model._errors(output._replace(size=output.size + 1, offset=output.offset + 0.5), objects)
    assert wrong["size"].item() == pytest.approx(2 * model.config.size_weight, rel=1e-4)
    assert wrong["offset"].item() == pytest.approx(2 * 0.5, rel=1e-4)
