"""RetinaNet through the doors that everybody uses, and against torchvision's."""

import torch
from torch import nn
from torchvision.models.detection.anchor_utils import AnchorGenerator as ReferenceAnchors
from torchvision.models.detection.backbone_utils import _resnet_fpn_extractor
from torchvision.models.detection.retinanet import RetinaNet as ReferenceRetinaNet
from torchvision.models.detection.retinanet import RetinaNetHead
from torchvision.models.resnet import resnet18
from torchvision.ops import box_iou

from roibench.assemble import build_model
from roibench.dataset import DatasetInfo
from roibench.nn.images import batch_images
from roibench.registry import installed
from roibench.tasks.detection import DetectorContract

INFO = DatasetInfo("scenes", "val", ("circle", "square", "triangle"), image_size=(128, 128))


class TestRetinaNet(DetectorContract):
    model = "retinanet"


class TestRetinaNetCrossEntropy(DetectorContract):
    model = "retinanet_cross_entropy"


def untrained(name="retinanet", **overrides):
    torch.manual_seed(0)
    return build_model(installed().models[name], INFO, overrides).eval()


def reference_model(threshold):
    backbone = _resnet_fpn_extractor(resnet18(), 0)
    return ReferenceRetinaNet(
        backbone,
        3,
        anchor_generator=ReferenceAnchors(((8,),) * 4, ((1.0,),) * 4),
        score_thresh=threshold,
        nms_thresh=0.5,
        detections_per_img=100,
        topk_candidates=50,
    ).eval()


def test_the_heads_are_torchvisions():
    model = untrained(depth=4)
    classes, anchors = 3, model.anchors.per_location
    reference = RetinaNetHead(64, anchors, classes, norm_layer=nn.BatchNorm2d).eval()
    for ours, theirs, output in (
        (model.class_subnet, reference.classification_head, reference.classification_head.cls_logits),
        (model.box_subnet, reference.regression_head, reference.regression_head.bbox_reg),
    ):
        for index in range(4):
            conv, norm = theirs.conv[index][0], theirs.conv[index][1]
            nn.init.normal_(norm.weight, 1, 0.1)
            nn.init.normal_(norm.running_mean)
            nn.init.uniform_(norm.running_var, 0.5, 2)
            conv.load_state_dict(ours.hidden[index].state_dict())
            for level in ours.norms:
                level[index].load_state_dict(norm.state_dict())
        nn.init.normal_(ours.output.weight, std=0.1)
        output.load_state_dict(ours.output.state_dict())
    pyramid = [torch.randn(2, 64, size, size + 2) for size in (8, 4, 2)]
    outputs = reference(pyramid)
    assert torch.allclose(torch.cat(model.class_subnet(pyramid), 1), outputs["cls_logits"], atol=1e-4)
    assert torch.allclose(torch.cat(model.box_subnet(pyramid), 1), outputs["bbox_regression"], atol=1e-4)


def test_anchors_are_torchvisions_but_for_its_rounding_and_its_half_stride():
    model = untrained(
        anchor_base=4.0, anchor_octaves=(0.0, 1 / 3, 2 / 3), aspect_ratios=(0.5, 1.0, 2.0), strides=(8, 16, 32)
    )
    sizes = tuple(tuple(4 * stride * 2 ** (i / 3) for i in range(3)) for stride in (8, 16, 32))
    reference = ReferenceAnchors(sizes, ((0.5, 1.0, 2.0),) * 3)
    grid = [(8, 10), (4, 5), (2, 3)]
    strides = [[torch.tensor(stride)] * 2 for stride in (8, 16, 32)]
    for stride, ours, theirs in zip(
        (8, 16, 32),
        model.anchors([torch.zeros(1, 1, *size) for size in grid]),
        reference.grid_anchors(grid, strides),
        strict=True,
    ):
        # As in tests/nn/test_boxes.py: other order, rounded sides, anchors on the locations' corners.
        theirs = theirs.reshape(-1, 3, 3, 4).transpose(1, 2).reshape(-1, 4) + stride / 2
        assert (ours - theirs).abs().max() <= 0.5


def test_detections_are_torchvisions():
    model = untrained(score_threshold=0.3, top_candidates=50)
    batch = batch_images(DetectorContract.noise((128, 96), (64, 128)), torch.device("cpu"), None, 1333, 16)
    anchors = model.anchors([torch.zeros(2, 64, 128 // stride, 128 // stride) for stride in model.config.strides])
    logits = [torch.randn(2, len(level), 3) - 1 for level in anchors]
    deltas = [torch.randn(2, len(level), 4) * 0.5 for level in anchors]
    ours = model._detect(anchors, logits, deltas, batch)
    outputs = {"cls_logits": logits, "bbox_regression": deltas}
    theirs = reference_model(0.3).postprocess_detections(outputs, [anchors, anchors], batch.sizes)
    for mine, their in zip(ours, theirs, strict=True):
        assert len(mine.boxes) > 20
        assert torch.allclose(mine.boxes, their["boxes"], atol=1e-3)
        assert torch.allclose(mine.scores, their["scores"])
        assert torch.equal(mine.labels, their["labels"])


def test_the_class_loss_is_torchvisions():
    model = untrained(positive_iou=0.5, negative_iou=0.4).train()
    [image], target = (
        DetectorContract.noise((128, 128)),
        DetectorContract.objects((10, 10, 60, 60, 0), (70, 40, 99, 99, 2)),
    )
    ours = model.losses([image], [target])["class"]

    model.zero_grad()
    batch = model.batch([image])
    pyramid = model.pyramid(model.backbone(batch.pixels))
    anchors = torch.cat(model.anchors(pyramid))
    reference = reference_model(0.05)
    matched = reference.proposal_matcher(box_iou(target.boxes, anchors))
    outputs = {"cls_logits": torch.cat(model.class_subnet(pyramid), 1)}
    their_target = {"boxes": target.boxes, "labels": target.labels}
    theirs = reference.head.classification_head.compute_loss([their_target], outputs, [matched])
    assert torch.allclose(ours, theirs, rtol=1e-4)


def test_cross_entropy_differs_in_the_loss_alone():
    focal, plain = untrained(), untrained("retinanet_cross_entropy")
    assert focal.state_dict().keys() == plain.state_dict().keys()
    assert all(torch.equal(value, plain.state_dict()[name]) for name, value in focal.state_dict().items())
    inputs, target = DetectorContract.noise((128, 128)), DetectorContract.objects((10, 10, 60, 60, 0))
    weighted, unweighted = (model.train().losses(inputs, [target]) for model in (focal, plain))
    assert torch.equal(weighted["box"], unweighted["box"])
    assert weighted["class"] < unweighted["class"]


def test_an_untrained_network_calls_everything_rare():
    model = untrained(score_threshold=0.0)
    [prediction] = model.predict(DetectorContract.noise((128, 128)))
    assert prediction.scores.max() < 0.1
