"""Two-stage detectors: find regions first, then classify each; and their ancestor, which classifies every window."""

from dataclasses import replace

from roibench.hookspecs import hookimpl
from roibench.knobs import NMS_IOU, SHORT_SIDE
from roibench.recipes import ICONS_BACKBONE, SCENES_RECIPE
from roibench.specs import ClaimSpec, Knob, ModelSpec, Paper, Recipe

FASTER_RCNN = Paper(
    "Faster R-CNN: Towards Real-Time Object Detection with Region Proposal Networks",
    2015,
    "https://arxiv.org/abs/1506.01497",
    published={
        "VOC07 mAP": "69.9 (73.2 with 07+12), VGG16, 198 ms on a K40: 141 convolution + 10 proposals + 47 region"
    },
)
HOG_SVM = Paper(
    "Histograms of Oriented Gradients for Human Detection",
    2005,
    "https://doi.org/10.1109/CVPR.2005.177",
    published={"INRIA person, miss rate at 1e-4 false positives per window": "about 10 %"},
)
PROPOSALS = Knob("proposals", 150, 1, 1000, "boxes of the first stage that the second one classifies, at most")


@hookimpl
def register_models(register):
    register(
        ModelSpec(
            "faster_rcnn",
            family="two_stage",
            tasks=("detection",),
            build="roibench.plugins.two_stage.faster_rcnn:build",
            paper=FASTER_RCNN,
            required_targets=("boxes", "labels"),
            knobs=(PROPOSALS, SHORT_SIDE, NMS_IOU),
            warm_start=ICONS_BACKBONE,
            recipe=SCENES_RECIPE,
            weights={"scenes": "weights/faster_rcnn-scenes.safetensors"},
        )
    )
    register(
        ModelSpec(
            "faster_rcnn_mobilenet",
            family="two_stage",
            tasks=("detection",),
            build="roibench.plugins.two_stage.faster_rcnn:build",
            paper=FASTER_RCNN,
            required_targets=("boxes", "labels"),
            config={
                "backbone": "mobilenet_v2",
                "strides": (8, 16, 32),
                "channels": 128,
                "hidden": 512,
                "short_side": 400,
                "long_side": 800,
                "anchor_sizes": ((24, 38), (60, 95), (151, 240)),
                "canonical_size": 7.0,
                "proposals": 300,
            },
            knobs=(replace(PROPOSALS, default=300), replace(SHORT_SIDE, default=400), NMS_IOU),
            pretrained_on="ImageNet",
            recipe=Recipe(
                epochs=24,
                batch_size=4,
                learning_rate=6e-4,
                optimizer="adamw",
                weight_decay=0.02,
                augment=("horizontal_flip", "vertical_flip", "transpose", "colour_jitter"),
                average=0.995,
            ),
        )
    )
    register(
        ModelSpec(
            "hog_svm",
            family="two_stage",
            tasks=("detection",),
            build="roibench.plugins.two_stage.hog_svm:build",
            paper=HOG_SVM,
            required_targets=("boxes", "labels"),
            knobs=(replace(NMS_IOU, default=0.3),),
            recipe=Recipe(epochs=2),
        )
    )


@hookimpl
def register_claims(register):
    register(
        ClaimSpec(
            "two_stages",
            "Faster R-CNN, with two stages, finds objects better than RetinaNet, with one; RetinaNet is faster.",
            judge="roibench.plugins.two_stage.claims:two_stages",
        )
    )
    register(
        ClaimSpec(
            "fewer_proposals",
            "With fewer proposals, down to a sixth, Faster R-CNN keeps more than 90 % of its AP and takes less time "
            "(Huang et al. 2017, arXiv 1611.10012: with 50 instead of 300, 96 % in a third of the time).",
            judge="roibench.plugins.two_stage.claims:fewer_proposals",
        )
    )
