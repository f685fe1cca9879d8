"""Classifiers by convolutions: what a whole image shows."""

from roibench.hookspecs import hookimpl
from roibench.recipes import AUGMENT
from roibench.specs import ModelSpec, Paper, Recipe


@hookimpl
def register_models(register):
    register(
        ModelSpec(
            "resnet_classifier",
            family="classification",
            tasks=("classification",),
            build="roibench.plugins.classification.resnet_classifier:build",
            paper=Paper(
                "Deep Residual Learning for Image Recognition",
                2015,
                "https://arxiv.org/abs/1512.03385",
                published={"ImageNet top-1": "72.1 (ResNet-18, 1.8 GFLOP), 77.1 (ResNet-50, 3.8 GFLOP), 10 crops"},
            ),
            required_targets=("image_label",),
            recipe=Recipe(
                epochs=24,
                batch_size=16,
                learning_rate=2e-3,
                optimizer="adamw",
                weight_decay=0.05,
                warmup_steps=300,
                augment=AUGMENT,
                average=0.999,
            ),
            weights={"icons": "weights/resnet_classifier-icons.safetensors"},
        )
    )
    register(
        ModelSpec(
            "imagenet_mobilenet",
            family="classification",
            tasks=("classification",),
            build="roibench.plugins.classification.imagenet_mobilenet:build",
            paper=Paper(
                "MobileNetV2: Inverted Residuals and Linear Bottlenecks",
                2018,
                "https://arxiv.org/abs/1801.04381",
                published={"ImageNet top-1": "72.0 (0.6 GFLOP); torchvision's weights 71.9"},
            ),
            pretrained_on="ImageNet",
        )
    )
