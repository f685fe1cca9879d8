"""Classifiers by convolutions: what a whole image shows."""

from dataclasses import replace

from roibench.hookspecs import hookimpl
from roibench.recipes import AUGMENT, BASE_NETWORKS, ICONS_BACKBONE
from roibench.specs import ModelSpec, Paper, Recipe

RESNET = Paper(
    "Deep Residual Learning for Image Recognition",
    2015,
    "https://arxiv.org/abs/1512.03385",
    published={"ImageNet top-1": "72.1 (ResNet-18, 1.8 GFLOP), 77.1 (ResNet-50, 3.8 GFLOP), 10 crops"},
)
VGG = Paper(
    "Very Deep Convolutional Networks for Large-Scale Image Recognition",
    2014,
    "https://arxiv.org/abs/1409.1556",
    published={"ImageNet top-1": "torchvision's weights of VGG16 71.6 (31 GFLOP)"},
)
MOBILENET = Paper(
    "MobileNetV2: Inverted Residuals and Linear Bottlenecks",
    2018,
    "https://arxiv.org/abs/1801.04381",
    published={"ImageNet top-1": "72.0 (0.6 GFLOP); torchvision's weights 71.9"},
)
EFFICIENTNET = Paper(
    "EfficientNet: Rethinking Model Scaling for Convolutional Neural Networks",
    2019,
    "https://arxiv.org/abs/1905.11946",
    published={"ImageNet top-1": "77.1 (B0, 0.39 GFLOP); Lite0 without swish and squeeze-and-excitation 75.1"},
)
SCOUTER = Paper(
    "SCOUTER: Slot Attention-based Classifier for Explainable Image Recognition",
    2021,
    "https://arxiv.org/abs/2009.06138",
)
CLASSIFIER_RECIPE = Recipe(
    epochs=24,
    batch_size=16,
    learning_rate=2e-3,
    optimizer="adamw",
    weight_decay=0.05,
    warmup_steps=300,
    augment=AUGMENT,
    average=0.999,
)


@hookimpl
def register_models(register):
    for name, paper, config in (
        ("resnet_classifier", RESNET, {}),
        ("small_vgg_classifier", VGG, BASE_NETWORKS["small_vgg"]),
        ("small_mobilenet_classifier", MOBILENET, BASE_NETWORKS["small_mobilenet"]),
    ):
        register(
            ModelSpec(
                name,
                family="classification",
                tasks=("classification",),
                build="roibench.plugins.classification.pooled_classifier:build",
                paper=paper,
                required_targets=("image_label",),
                config=config,
                recipe=CLASSIFIER_RECIPE,
                weights={"icons": f"weights/{name}-icons.safetensors"},
            )
        )
    for name, positive, epochs in (("scouter", True, 12), ("scouter_negative", False, 4)):
        register(
            ModelSpec(
                name,
                family="classification",
                tasks=("classification",),
                build="roibench.plugins.classification.scouter:build",
                paper=SCOUTER,
                required_targets=("image_label",),
                config={"positive": positive},
                warm_start=ICONS_BACKBONE,
                recipe=replace(CLASSIFIER_RECIPE, epochs=epochs, learning_rate=1e-3),
                weights={"icons": f"weights/{name}-icons.safetensors"},
            )
        )
    for name, paper in (("mobilenet", MOBILENET), ("efficientnet_lite", EFFICIENTNET)):
        register(
            ModelSpec(
                f"imagenet_{name}",
                family="classification",
                tasks=("classification",),
                build=f"roibench.plugins.classification.imagenet:build_{name}",
                paper=paper,
                pretrained_on="ImageNet",
            )
        )
