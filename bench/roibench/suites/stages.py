"""Our Faster R-CNN beside torchvision's code for the same, stage by stage, but for the convolutions that both share.

Both are given the same tensors, which the shipped weights make of a scene.
"""

from functools import partial

import torch
from torch import Tensor
from torchvision.models.detection.anchor_utils import AnchorGenerator
from torchvision.models.detection.roi_heads import RoIHeads
from torchvision.models.detection.rpn import RegionProposalNetwork, concat_box_prediction_layers
from torchvision.models.detection.transform import GeneralizedRCNNTransform, ImageList
from torchvision.ops import MultiScaleRoIAlign

from roibench.assemble import build_model
from roibench.datasets.scenes import Scenes
from roibench.measure.paired import Case
from roibench.nn.images import MEAN, STD
from roibench.plugins.two_stage.second_stage import detect
from roibench.registry import installed
from roibench.structures import Prediction
from roibench.suites.operators import OperatorBenchmark
from roibench.weights import load_weights, shipped_weights

SIZE, SHORT_SIDE = 640, 400  # pixels of the image as given, and as resized


class Stages:
    """What goes from stage to stage, and torchvision's modules with the same settings."""

    def __init__(self) -> None:
        registry = installed()
        spec, data = registry.models["faster_rcnn"], Scenes("val", SIZE)
        model = build_model(spec, data.info, {"short_side": SHORT_SIDE}).eval().to(memory_format=torch.channels_last)
        load_weights(shipped_weights(spec, "scenes", registry), model, spec, data.info.classes)
        self.model, self.input = model, data[0].input
        self.batch = model.batch([self.input])
        self.pyramid = model.pyramid(model.backbone(self.batch.pixels))
        self.logits, self.deltas = model.rpn(self.pyramid)
        config = model.config
        anchors = model.anchors(self.pyramid)
        self.rois = model.propose(anchors, self.logits, self.deltas, self.batch, config.proposals)
        found = model.second_stage(self.pyramid, self.rois)
        self.class_logits, self.class_deltas = found.logits, found.deltas

        self.transform = GeneralizedRCNNTransform(SHORT_SIDE, config.long_side, list(MEAN), list(STD)).eval()
        count = {"training": 0, "testing": config.proposals}
        before = {"training": 0, "testing": config.rpn_before_nms}
        self.anchors = AnchorGenerator(config.anchor_sizes, (config.aspect_ratios,) * len(config.strides))
        self.rpn = RegionProposalNetwork(self.anchors, None, 0, 0, 0, 0, before, count, config.rpn_nms_iou).eval()
        names = [str(level) for level in range(len(self.pyramid))]
        self.maps = dict(zip(names, self.pyramid, strict=True))
        scale = 4 * config.canonical_size  # in pixels, at stride 4, which is level 2
        self.roi_align = MultiScaleRoIAlign(names, config.roi_size, 2, canonical_scale=scale, canonical_level=2)
        weights, most = (10.0, 10.0, 5.0, 5.0), config.max_detections
        self.heads = RoIHeads(None, None, None, 0, 0, 0, 0, weights, config.score_threshold, config.nms_iou, most)

    def preprocess(self) -> Case:
        return Case(lambda: self.model.batch([self.input]), lambda: self.transform([self.input.image / 255]))

    def proposals(self) -> Case:
        model = self.model
        hidden = [torch.relu(model.rpn.conv(one)) for one in self.pyramid]
        logits, anchor_deltas = ([layer(one) for one in hidden] for layer in (model.rpn.objectness, model.rpn.deltas))
        images = ImageList(self.batch.pixels, self.batch.sizes)

        def ours() -> list[Tensor]:
            anchors = model.anchors(self.pyramid)
            return model.propose(anchors, self.logits, self.deltas, self.batch, model.config.proposals)

        def baseline() -> list[Tensor]:
            scores, deltas = concat_box_prediction_layers(logits, anchor_deltas)
            boxes = self.rpn.box_coder.decode(deltas, self.anchors(images, self.pyramid)).view(1, -1, 4)
            return self.rpn.filter_proposals(boxes, scores, self.batch.sizes, [one[0].numel() for one in logits])[0]

        return Case(ours, baseline)

    def pooling(self) -> Case:
        return Case(
            lambda: self.model.pool(self.pyramid, self.rois),
            lambda: self.roi_align(self.maps, self.rois, self.batch.sizes),
        )

    def postprocess(self) -> Case:
        background = torch.zeros(len(self.class_logits), 1, 4)  # the baseline gives it a box too
        deltas = torch.cat([background, self.class_deltas], dim=1).flatten(1)

        def baseline() -> list[dict[str, Tensor]]:
            found = self.heads.postprocess_detections(self.class_logits, deltas, self.rois, self.batch.sizes)
            results = [dict(zip(("boxes", "scores", "labels"), one, strict=True)) for one in zip(*found, strict=True)]
            return self.transform.postprocess(results, self.batch.sizes, self.batch.originals)

        def ours() -> list[Prediction]:
            scores = self.class_logits.softmax(-1)[:, 1:]
            return detect(scores, self.class_deltas, self.rois, self.batch, self.model.config)

        return Case(ours, baseline)


def _case(name: str) -> Case:
    with torch.inference_mode():
        case = getattr(Stages(), name)()
    return Case(*(torch.inference_mode()(call) for call in (case.ours, case.baseline)))


BENCHMARKS: tuple[OperatorBenchmark, ...] = tuple(
    OperatorBenchmark(f"faster_rcnn, {title}", f"{SIZE} px, resized to {SHORT_SIDE}", partial(_case, name))
    for title, name in (
        ("preprocess", "preprocess"),
        ("proposals", "proposals"),
        ("RoI align", "pooling"),
        ("postprocess", "postprocess"),
    )
)
