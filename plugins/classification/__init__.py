"""Classifiers by convolutions: what a whole image shows."""

from roibench.hookspecs import hookimpl
from roibench.recipes import AUGMENT, BASE_NETWORKS
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
                weights={"icons": f"weights/{name}-icons.safetensors"},
            )
        )
    register(
        ModelSpec(
            "imagenet_mobilenet",
            family="classification",
            tasks=("classification",),
            build="roibench.plugins.classification.imagenet_mobilenet:build",
            paper=MOBILENET,
            pretrained_on="ImageNet",
        )
    )
