"""Single-stage detectors: every location predicts at once what is there and where it ends."""

from roibench.hookspecs import hookimpl
from roibench.knobs import NMS_IOU, SHORT_SIDE
from roibench.recipes import ICONS_BACKBONE, SCENES_RECIPE, on_base_networks
from roibench.specs import ClaimSpec, Knob, ModelSpec, Paper

RETINANET = Paper(
    "Focal Loss for Dense Object Detection",
    2017,
    "https://arxiv.org/abs/1708.02002",
    published={
        "COCO AP": "32.5 (ResNet-50, 500 px, 73 ms on an M40); 37.8 (ResNet-101, 800 px, 198 ms)",
        "COCO AP by loss": "30.2 cross entropy, 31.1 balanced, 34.0 focal (ResNet-50, 600 px)",
    },
)
YOLO = Paper(
    "You Only Look Once: Unified, Real-Time Object Detection",
    2016,
    "https://arxiv.org/abs/1506.02640",
    published={"VOC07 mAP": "63.4 at 45 images/s; Fast YOLO 52.7 at 155 (Titan X)"},
)
SSD = Paper(
    "SSD: Single Shot MultiBox Detector",
    2016,
    "https://arxiv.org/abs/1512.02325",
    published={
        "VOC07 mAP": "74.3 with 300 px, 46 images/s (59 in batches of 8); 76.8 with 512 px, 19 (22); VGG16, Titan X"
    },
)
CENTERNET = Paper(
    "Objects as Points",
    2019,
    "https://arxiv.org/abs/1904.07850",
    published={
        "COCO AP": "28.1 at 142 images/s (ResNet-18), 37.4 at 52 (DLA-34), 40.3 at 14 (Hourglass-104), Titan Xp"
    },
)
CORNERNET = Paper(
    "CornerNet: Detecting Objects as Paired Keypoints",
    2018,
    "https://arxiv.org/abs/1808.01244",
    published={"COCO AP": "40.5 (Hourglass-104, one scale, test-dev; 244 ms on a Titan X)"},
)
TOP_CANDIDATES = Knob("top_candidates", 1000, 1, 5000, "boxes per level that suppression sees, at most")


@hookimpl
def register_models(register):
    boxes, points = (SHORT_SIDE, NMS_IOU), (SHORT_SIDE,)
    for name, module, paper, knobs, config in (
        ("yolo", "yolo", YOLO, boxes, {}),
        ("ssd", "ssd", SSD, boxes, {}),
        ("retinanet", "retinanet", RETINANET, (SHORT_SIDE, TOP_CANDIDATES, NMS_IOU), {}),
        # Differs in the loss alone: without alpha and gamma, focal loss is cross entropy.
        (
            "retinanet_cross_entropy",
            "retinanet",
            RETINANET,
            (SHORT_SIDE, TOP_CANDIDATES, NMS_IOU),
            {"focal_alpha": -1.0, "focal_gamma": 0.0},
        ),
        ("cornernet", "cornernet", CORNERNET, points, {}),
        ("centernet", "centernet", CENTERNET, points, {}),
    ):
        spec = ModelSpec(
            name,
            family="single_stage",
            tasks=("detection",),
            build=f"roibench.plugins.single_stage.{module}:build",
            paper=paper,
            required_targets=("boxes", "labels"),
            config=config,
            knobs=knobs,
            warm_start=ICONS_BACKBONE,
            recipe=SCENES_RECIPE,
            weights={"scenes": f"weights/{name}-scenes.safetensors"},
        )
        register(spec)
        if name == "ssd":
            for on_another in on_base_networks(spec):
                register(on_another)


@hookimpl
def register_claims(register):
    register(
        ClaimSpec(
            "focal_loss",
            "RetinaNet finds objects better with focal loss than with cross entropy.",
            judge="roibench.plugins.single_stage.claims:focal_loss",
        )
    )
