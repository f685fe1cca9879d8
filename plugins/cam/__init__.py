"""Explanations: where in an image lies what speaks for a class; and baselines that don't look at the model."""

from roibench.hookspecs import hookimpl
from roibench.specs import ModelSpec, Paper

CAM = Paper(
    "Learning Deep Features for Discriminative Localization",
    2016,
    "https://arxiv.org/abs/1512.04150",
    published={
        "MaxBoxAccV2 (Choe et al. 2020)": "ImageNet 60.0 (VGG), 63.4 (Inception), 63.7 (ResNet-50); centre 52.5",
    },
)
GRAD_CAM = Paper(
    "Grad-CAM: Visual Explanations from Deep Networks via Gradient-based Localization",
    2017,
    "https://arxiv.org/abs/1610.02391",
    published={
        "pointing game, VOC07 (TorchRay)": "86.6 (VGG16), 90.4 (ResNet-50); centre 69.6",
        "time (torchcam, ResNet-18)": "3.7 ms on an RTX 2070 Max-Q, 40.7 ms on an i7",
    },
)
CENTER = Paper(
    "Evaluating Weakly Supervised Object Localization Methods Right",
    2020,
    "https://arxiv.org/abs/2001.07437",
    published={"MaxBoxAccV2": "ImageNet 52.5, CUB 59.7"},
)
SANITY = Paper("Sanity Checks for Saliency Maps", 2018, "https://arxiv.org/abs/1810.03292")

BASELINES = {"center": CENTER, "random": SANITY, "edges": SANITY}


@hookimpl
def register_models(register):
    def explainer(name: str, module: str, build: str, explains: str, paper: Paper) -> None:
        register(
            ModelSpec(
                name,
                family="cam",
                tasks=("attribution",),
                build=f"roibench.plugins.cam.{module}:{build}",
                paper=paper,
                explains=explains,
            )
        )

    explainer("cam", "cam", "build", "resnet_classifier", CAM)
    # A classifier, a detector, a segmenter, and what knows photographs; the baselines ask each the same questions.
    for explained, suffix in (
        ("resnet_classifier", ""),
        ("retinanet", "_retinanet"),
        ("fcn", "_fcn"),
        ("imagenet_mobilenet", "_imagenet"),
    ):
        explainer(f"grad_cam{suffix}", "grad_cam", "build", explained, GRAD_CAM)
        for name, paper in BASELINES.items():
            explainer(f"{name}{suffix}", "baselines", f"build_{name}", explained, paper)
