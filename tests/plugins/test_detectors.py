"""What the detectors that ship weights for Scenes have in common."""

import pytest
import torch

from roibench import ops
from roibench.assemble import build_model, ready_model
from roibench.dataset import DatasetInfo
from roibench.datasets.reference import open_dataset
from roibench.measure.cost import count_cost
from roibench.registry import installed
from roibench.tasks.detection import DetectorContract
from roibench.weights import shipped_weights

SHIPPED = [name for name, spec in installed().models.items() if "scenes" in spec.weights and "detection" in spec.tasks]


@pytest.mark.parametrize(
    "name",
    ["faster_rcnn", "faster_rcnn_roi_pool", "rfcn", "retinanet", "yolo", "ssd", "centernet", "cornernet", "detr"],
)
def test_an_image_learned_by_heart_is_found_again(name):
    """A detector that can't is broken between targets, losses and boxes; the image is not square on purpose."""
    torch.manual_seed(0)
    info = DatasetInfo("noise", "train", ("first", "second", "third"), image_size=(96, 160))
    model = build_model(installed().models[name], info).train()
    [image] = DetectorContract.noise((96, 160))
    target = DetectorContract.objects((8, 12, 50, 40, 2), (90, 30, 150, 90, 0))
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
    for _ in range(6):  # 100 steps are mostly enough: how many, rounding decides, and so does the version of torch
        for _ in range(50):
            optimizer.zero_grad()
            sum(model.losses([image], [target]).values()).backward()
            optimizer.step()
        [found] = model.eval().predict([image])
        model.train()
        overlap = ops.box_iou(target.boxes, found.boxes)
        overlap[target.labels[:, None] != found.labels] = 0
        best = ((overlap > 0.5) * found.scores).max(dim=1).values
        if (best > 0.3).all():
            return
    pytest.fail(f"scores of what covers the objects: {best}")


@pytest.mark.parametrize("name", SHIPPED)
def test_its_operations_can_be_counted(name):
    info = DatasetInfo("noise", "val", ("first", "second", "third"), image_size=(96, 160))
    model = build_model(installed().models[name], info).eval()
    learned = [parameter.requires_grad for parameter in model.parameters()]
    assert count_cost(model, [DetectorContract.noise((96, 160))]).flops > 1e6
    assert [parameter.requires_grad for parameter in model.parameters()] == learned


# What these find first is too often wrong: the one before the networks, CornerNet after eight epochs, R-FCN after four.
WEAK = ("hog_svm", "cornernet", "rfcn_small_vgg")


@pytest.mark.parametrize("name", [name for name in SHIPPED if name not in WEAK])
def test_shipped_weights_find_objects(name):
    registry = installed()
    spec, val = registry.models[name], open_dataset("scenes", registry)
    model = ready_model(spec, val.info, shipped_weights(spec, "scenes", registry), torch.device("cpu"))
    hits = 0
    for sample in (val[i] for i in range(20)):
        [prediction] = model.predict([sample.input])
        hits += int(prediction.labels[0]) in sample.target.labels.tolist() if len(prediction.labels) else 0
    assert hits >= 15
