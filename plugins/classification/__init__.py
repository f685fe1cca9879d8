"""Classifiers by convolutions: what a whole image shows."""

from roibench.hookspecs import hookimpl
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
            optional_targets=("semantic_map",),
            # Where every pixel's class is known, classifying pixels teaches much sooner what objects look like.
            warm_start="fcn",
            recipe=Recipe(
                epochs=18,
                batch_size=8,
                learning_rate=1e-3,
                optimizer="adamw",
                weight_decay=0.05,
                warmup_steps=300,
                average=0.999,
            ),
            weights={"scenes": "weights/resnet_classifier-scenes.safetensors"},
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
        )
    )
