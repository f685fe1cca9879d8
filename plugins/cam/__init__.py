"""Explanations: where in an image lies what speaks for a class; and baselines that don't look at the model."""

from roibench.hookspecs import hookimpl
from roibench.plugins.classification import SCOUTER
from roibench.specs import ClaimSpec, CommandSpec, Knob, ModelSpec, Paper

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

SALIENCY = Paper("Deep Inside Convolutional Networks", 2013, "https://arxiv.org/abs/1312.6034")
DECONVNET = Paper(
    "Visualizing and Understanding Convolutional Networks",
    2013,
    "https://arxiv.org/abs/1311.2901",
    published={"pointing game, VOC07 (TorchRay)": "67.5 (VGG16), 68.6 (ResNet-50); centre 69.6"},
)
GUIDED = Paper(
    "Striving for Simplicity: The All Convolutional Net",
    2014,
    "https://arxiv.org/abs/1412.6806",
    published={"pointing game, VOC07 (TorchRay)": "75.9 (VGG16), 77.2 (ResNet-50); centre 69.6"},
)
PLUS_PLUS = Paper("Grad-CAM++", 2018, "https://arxiv.org/abs/1710.11063")
SCORE_CAM = Paper(
    "Score-CAM: Score-Weighted Visual Explanations for Convolutional Neural Networks",
    2020,
    "https://arxiv.org/abs/1910.01279",
    published={"time (torchcam, ResNet-18)": "305 ms on an RTX 2070 Max-Q, 6,797 ms on an i7"},
)
SAMPLES = Knob("samples", 0, 0, 200, "SmoothGrad: copies of the image with noise; 0: the image itself")
SIGMA = Knob("sigma", 0.15, 0.0, 1.0, "SmoothGrad: of the noise, over the range of the image's values")
PATCH = Knob("patch", 24, 2, 512, "side of the patch, in pixels of what the network sees")
STEP = Knob("step", 12, 4, 512, "pixels that the patch is moved by")

EXPLAINERS = {
    "cam": ("cam:build", CAM, ()),
    "grad_cam": ("grad_cam:build", GRAD_CAM, ()),
    "grad_cam_plus_plus": ("grad_cam_plus_plus:build", PLUS_PLUS, ()),
    "score_cam": ("score_cam:build", SCORE_CAM, ()),
    "saliency": ("saliency:build_saliency", SALIENCY, (SAMPLES, SIGMA)),
    "deconvnet": ("saliency:build_deconvnet", DECONVNET, ()),
    "guided_backprop": ("saliency:build_guided_backprop", GUIDED, ()),
    "guided_grad_cam": ("saliency:build_guided_grad_cam", GRAD_CAM, ()),
    "own_maps": ("own_maps:build", SCOUTER, ()),
    "occlusion": ("occlusion:build", DECONVNET, (PATCH, STEP)),
    "center": ("baselines:build_center", CENTER, ()),
    "random": ("baselines:build_random", SANITY, ()),
    "edges": ("baselines:build_edges", SANITY, ()),
}


@hookimpl
def register_models(register):
    for name, (build, paper, knobs) in EXPLAINERS.items():
        register(
            ModelSpec(
                name,
                family="cam",
                tasks=("attribution",),
                build=f"roibench.plugins.cam.{build}",
                paper=paper,
                knobs=knobs,
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
    register(
        ClaimSpec(
            "localizes_from_labels",
            "CAM of a classifier, which has learned from image labels alone, localizes better than the centre of the "
            "image and its edges do.",
            judge="roibench.plugins.cam.claims:localizes_from_labels",
        )
    )
    register(
        ClaimSpec(
            "boxes_localize_better",
            "A localizer that has learned from boxes localizes better than CAM, which has learned from image labels "
            "alone.",
            judge="roibench.plugins.cam.claims:boxes_localize_better",
        )
    )


@hookimpl
def register_commands(register):
    register(
        CommandSpec(
            "class-images",
            run="roibench.plugins.cam.class_visualization:class_images",
            help="Make images that raise a classifier's score of a class, and ask another model what they show.",
        )
    )
    register(
        CommandSpec(
            "look-inside",
            run="roibench.plugins.cam.look_inside:look_inside",
            help="Draw the filters of a model's first layer, and what some of its units are about.",
        )
    )
