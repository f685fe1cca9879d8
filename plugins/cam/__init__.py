"""Explanations: where in an image lies what speaks for a class; and baselines that don't look at the model."""

from roibench.hookspecs import hookimpl
from roibench.specs import ClaimSpec, ModelSpec, Paper

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

EXPLAINERS = {
    "cam": ("cam:build", CAM),
    "grad_cam": ("grad_cam:build", GRAD_CAM),
    "center": ("baselines:build_center", CENTER),
    "random": ("baselines:build_random", SANITY),
    "edges": ("baselines:build_edges", SANITY),
}


@hookimpl
def register_models(register):
    for name, (build, paper) in EXPLAINERS.items():
        register(
            ModelSpec(
                name,
                family="cam",
                tasks=("attribution",),
                build=f"roibench.plugins.cam.{build}",
                paper=paper,
                wraps=True,
            )
        )


@hookimpl
def register_claims(register):
    register(
        ClaimSpec(
            "grad_cam",
            "Grad-CAM points at the main object more often than the centre of the image does, around every model.",
            judge="roibench.plugins.cam.claims:grad_cam",
        )
    )
