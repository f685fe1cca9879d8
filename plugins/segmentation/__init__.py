"""Semantic segmentation: every pixel gets a class."""

from dataclasses import replace

from roibench.hookspecs import hookimpl
from roibench.knobs import SHORT_SIDE
from roibench.recipes import AUGMENT, ICONS_BACKBONE, SCENES_RECIPE
from roibench.specs import ModelSpec, Paper, Recipe

FCN = Paper(
    "Fully Convolutional Networks for Semantic Segmentation",
    2015,
    "https://arxiv.org/abs/1411.4038",
    published={"VOC12 test mIoU": "62.2 (FCN-8s, VGG16, 175 ms on a K40c); VOC11 test 62.7"},
)
UNET = Paper(
    "U-Net: Convolutional Networks for Biomedical Image Segmentation",
    2015,
    "https://arxiv.org/abs/1505.04597",
    published={"IoU": "92.0 PhC-U373, 77.6 DIC-HeLa (ISBI cell tracking 2015); 512x512 in less than a second"},
)
# For a few photographs: the backbone begins with what ImageNet taught it.
PHOTOGRAPHS = Recipe(
    epochs=48,
    batch_size=4,
    learning_rate=1e-3,
    optimizer="adamw",
    weight_decay=0.02,
    warmup_steps=100,
    augment=AUGMENT,
    average=0.99,
)
MOBILENET = {"backbone": "mobilenet_v2", "strides": (8, 16, 32)}


@hookimpl
def register_models(register):
    for name, paper in (("fcn", FCN), ("unet", UNET)):
        model = ModelSpec(
            name,
            family="segmentation",
            tasks=("semantic_segmentation",),
            build=f"roibench.plugins.segmentation.{name}:build",
            paper=paper,
            required_targets=("semantic_map",),
            knobs=(SHORT_SIDE,),
            warm_start=ICONS_BACKBONE,
            recipe=SCENES_RECIPE,
            weights={"scenes": f"weights/{name}-scenes.safetensors"},
        )
        register(model)
        begins = {"warm_start": None, "pretrained_on": "ImageNet"}
        photographs = {"config": MOBILENET, "recipe": PHOTOGRAPHS, "weights": {}, **begins}
        register(replace(model, name=f"{name}_mobilenet", **photographs))
