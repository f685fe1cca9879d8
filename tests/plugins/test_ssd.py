"""SSD through the doors that everybody uses, and against torchvision's."""

import torch
from torch import nn
from torchvision.models.detection import ssd as reference_ssd
from torchvision.models.detection.anchor_utils import DefaultBoxGenerator
from torchvision.models.detection.image_list import ImageList
from torchvision.ops import box_iou

from roibench.assemble import build_model
from roibench.dataset import DatasetInfo
from roibench.nn.targets import batch_boxes
from roibench.registry import installed
from roibench.tasks.detection import DetectorContract

INFO = DatasetInfo("scenes", "val", ("circle", "square", "triangle"), image_size=(128, 128))
TARGETS = [
    DetectorContract.objects((10, 20, 43, 57, 1), (64, 70, 128, 128, 2), (3, 90, 14, 99, 0)),
    DetectorContract.objects((20, 30, 80, 90, 1)),
]


class TestSSD(DetectorContract):
    model = "ssd"

    def targets(self):
        """The coarsest map learns from large objects alone."""
        return [super().targets()[0], self.objects((0, 0, 80, 80, 1), (84, 90, 106, 112, 0), (4, 6, 14, 15, 0))]


def untrained():
    torch.manual_seed(0)
    model = build_model(installed().models["ssd"], INFO).eval()
    maps = [torch.zeros(2, 1, 128 // stride, 128 // stride) for stride in model.default_boxes.strides]
    batch = model.batch(DetectorContract.noise((128, 128), (128, 128)))
    return model, batch, torch.cat(model.default_boxes(maps)), maps


def reference_model(model):
    scales = [scale / 128 for scale in model.config.scales]
    strides = list(model.default_boxes.strides)
    generator = DefaultBoxGenerator([[2]] * len(strides), scales=scales, steps=strides, clip=False)
    backbone = nn.Identity()
    backbone.out_channels = [1] * len(strides)
    return reference_ssd.SSD(backbone, generator, (128, 128), 4, head=nn.Identity())


def test_default_boxes_are_torchvisions():
    model, batch, boxes, maps = untrained()
    theirs = reference_model(model).anchor_generator(ImageList(batch.pixels, batch.sizes), maps)[0]
    assert boxes.shape == (4 * (32**2 + 16**2 + 8**2 + 4**2 + 2**2), 4)
    assert torch.allclose(boxes, theirs, atol=1e-4)


def test_matching_and_loss_are_torchvisions():
    model, batch, boxes, _ = untrained()
    reference = reference_model(model)
    objects = batch_boxes(batch, TARGETS)
    matched = [reference.proposal_matcher(box_iou(one.boxes, boxes)) for one in objects]
    for one, theirs in zip(objects, matched, strict=True):
        assert torch.equal(model._match(boxes, one).clamp(min=-1), theirs.clamp(min=-1))
    logits, deltas = torch.randn(2, len(boxes), 4), torch.randn(2, len(boxes), 4)
    ours = model._multibox(boxes, logits, deltas, objects)
    their_targets = [{"boxes": one.boxes, "labels": one.labels + 1} for one in objects]
    outputs = {"cls_logits": logits, "bbox_regression": deltas}
    theirs = reference.compute_loss(their_targets, outputs, [boxes, boxes], matched)
    assert torch.allclose(ours["class"], theirs["classification"])
    assert torch.allclose(ours["box"], theirs["bbox_regression"])


def test_what_is_ignored_is_not_learned_as_background():
    model, batch, boxes, _ = untrained()
    ignored = DetectorContract.objects((20, 30, 80, 90, 1), ignored=True)
    [one] = batch_boxes(batch, [ignored])
    matched = model._match(boxes, one)
    assert (matched < 0).all()
    assert (matched[box_iou(one.boxes, boxes)[0] > 0.5] == -2).all()


def test_its_targets_decode_to_the_ground_truth():
    model, batch, boxes, _ = untrained()
    logits, deltas = torch.zeros(2, len(boxes), 4), torch.zeros(2, len(boxes), 4)
    logits[..., 0] = 20
    for index, one in enumerate(batch_boxes(batch, TARGETS)):
        matched = model._match(boxes, one)
        chosen = torch.where(matched >= 0)[0]
        logits[index, chosen, 1 + one.labels[matched[chosen]]] = 40
        deltas[index, chosen] = model.coder.encode(one.boxes[matched[chosen]], boxes[chosen])
    for found, target in zip(model._detect(boxes, logits, deltas, batch), TARGETS, strict=True):
        assert len(found.boxes) == len(target.boxes)
        order = found.boxes[:, 1].argsort()
        assert torch.allclose(found.boxes[order], target.boxes[target.boxes[:, 1].argsort()], atol=1e-3)
