"""Faster R-CNN through the doors that everybody uses, and against torchvision's."""

import torch
from torchvision.models.detection.roi_heads import RoIHeads
from torchvision.models.detection.rpn import RegionProposalNetwork, RPNHead

from roibench.assemble import build_model
from roibench.dataset import DatasetInfo
from roibench.nn.images import batch_images
from roibench.plugins.two_stage.second_stage import detect
from roibench.registry import installed
from roibench.tasks.detection import DetectorContract

INFO = DatasetInfo("scenes", "val", ("circle", "square", "triangle"), image_size=(128, 128))


class TestFasterRCNN(DetectorContract):
    model = "faster_rcnn"


class TestFasterRCNNRoIPool(DetectorContract):
    model = "faster_rcnn_roi_pool"


class TestFasterRCNNMobileNet(DetectorContract):
    model = "faster_rcnn_mobilenet"


def untrained(**overrides):
    torch.manual_seed(0)
    return build_model(installed().models["faster_rcnn"], INFO, overrides).eval()


def test_its_losses_are_the_papers_four():
    model = untrained().train()
    losses = model.losses(DetectorContract.noise((64, 64)), [DetectorContract.objects((10, 10, 40, 40, 0))])
    assert set(losses) == {"rpn_objectness", "rpn_box", "head_class", "head_box"}


def test_without_objects_no_box_is_learned():
    losses = untrained().train().losses(DetectorContract.noise((64, 64)), [DetectorContract.objects()])
    assert losses["rpn_box"] == 0 and losses["head_box"] == 0


def test_the_rpns_head_is_torchvisions():
    ours = untrained().rpn
    reference = RPNHead(64, ours.objectness.out_channels)
    for mine, theirs in (
        (ours.conv, reference.conv[0][0]),
        (ours.objectness, reference.cls_logits),
        (ours.deltas, reference.bbox_pred),
    ):
        torch.nn.init.normal_(mine.weight, std=0.1)
        torch.nn.init.normal_(mine.bias)
        theirs.load_state_dict(mine.state_dict())
    pyramid = [torch.randn(2, 64, 6, 5), torch.randn(2, 64, 3, 3)]
    logits, deltas = ours(pyramid)
    their_logits, their_deltas = reference(pyramid)
    for level in range(2):
        anchors = ours.objectness.out_channels
        assert torch.allclose(logits[level], their_logits[level].permute(0, 2, 3, 1).flatten(1), atol=1e-5)
        expected = their_deltas[level].unflatten(1, (anchors, 4)).permute(0, 3, 4, 1, 2).reshape(2, -1, 4)
        assert torch.allclose(deltas[level], expected, atol=1e-5)


def test_proposals_are_torchvisions():
    model = untrained(rpn_before_nms=60, proposals=80)  # fewer than suppression leaves
    config = model.config
    batch = batch_images(DetectorContract.noise((128, 96), (64, 128)), torch.device("cpu"), None, 1333, 16)
    maps = [torch.zeros(2, 64, 128 // stride, 128 // stride) for stride in config.strides]
    anchors = model.anchors(maps)
    logits = [torch.randn(2, len(level)) for level in anchors]
    deltas = [torch.randn(2, len(level), 4) * 0.3 for level in anchors]
    proposals = model.propose(anchors, logits, deltas, batch, config.proposals)

    counts = {"training": config.proposals, "testing": config.proposals}
    before = {"training": config.rpn_before_nms, "testing": config.rpn_before_nms}
    reference = RegionProposalNetwork(None, None, 0.7, 0.3, 256, 0.5, before, counts, config.rpn_nms_iou).eval()
    reference.min_size = 1.0
    decoded = reference.box_coder.decode(torch.cat(deltas, 1).flatten(0, 1), [torch.cat(anchors)] * 2).reshape(2, -1, 4)
    theirs, _ = reference.filter_proposals(
        decoded, torch.cat(logits, 1), batch.sizes, [len(level) for level in anchors]
    )
    for mine, their in zip(proposals, theirs, strict=True):
        assert len(mine) == len(their) == config.proposals
        assert torch.allclose(mine, their, atol=1e-3)


def test_detections_are_torchvisions():
    model = untrained(score_threshold=0.3)
    config = model.config
    batch = batch_images(DetectorContract.noise((128, 96), (64, 128)), torch.device("cpu"), None, 1333, 16)
    corner = torch.rand(2, 40, 2) * 50
    proposals = list(torch.cat([corner, corner + 5 + torch.rand(2, 40, 2) * 40], dim=2))
    logits, deltas = torch.randn(80, 4) * 2, torch.randn(80, 3, 4)
    predictions = detect(logits.softmax(-1)[:, 1:], deltas, proposals, batch, config)

    reference = RoIHeads(None, None, None, 0.5, 0.5, 128, 0.25, (10.0, 10.0, 5.0, 5.0), 0.3, config.nms_iou, 100)
    background = torch.zeros(80, 1, 4)  # the reference gives it a box too
    their_deltas = torch.cat([background, deltas], dim=1).flatten(1)
    boxes, scores, labels = reference.postprocess_detections(logits, their_deltas, proposals, batch.sizes)
    for index, prediction in enumerate(predictions):
        assert len(prediction.boxes) > 5
        assert torch.allclose(prediction.boxes, boxes[index], atol=1e-3)
        assert torch.allclose(prediction.scores, scores[index])
        assert torch.equal(prediction.labels + 1, labels[index])


def test_fewer_proposals_are_the_best_ones():
    inputs = DetectorContract.noise((128, 128))
    few, many = (untrained(proposals=count, nms_iou=1.0, score_threshold=0.0, max_detections=1000) for count in (3, 9))
    [found], [more] = few.predict(inputs), many.predict(inputs)
    assert (len(found.boxes), len(more.boxes)) == (3 * 3, 9 * 3)  # a proposal may be one object of each class
    assert all((more.boxes == box).all(1).any() for box in found.boxes)
