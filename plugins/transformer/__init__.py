"""Transformers: attention instead of windows, anchors or suppression."""

from dataclasses import replace

from roibench.hookspecs import hookimpl
from roibench.knobs import SHORT_SIDE
from roibench.recipes import AUGMENT, ICONS_BACKBONE, SCENES_RECIPE
from roibench.specs import ClaimSpec, Knob, ModelSpec, Paper, Recipe

# Attention that begins without windows finds nothing for its first 80,000 images.
PATCHES_RECIPE = Recipe(
    epochs=84,
    batch_size=16,
    learning_rate=1e-3,
    optimizer="adamw",
    weight_decay=0.05,
    warmup_steps=1000,
    clip_norm=1.0,
    augment=AUGMENT,
    average=0.999,
)


@hookimpl
def register_models(register):
    register(
        ModelSpec(
            "detr",
            family="transformer",
            tasks=("detection",),
            build="roibench.plugins.transformer.detr:build",
            paper=Paper(
                "End-to-End Object Detection with Transformers",
                2020,
                "https://arxiv.org/abs/2005.12872",
                published={"COCO AP": "42.0 (ResNet-50, 41 M parameters, 86 GFLOP, 28 images/s on a V100)"},
            ),
            required_targets=("boxes", "labels"),
            knobs=(
                Knob("queries", 25, 1, 300, "boxes that the decoder starts from, at most"),
                Knob("layers_used", 3, 1, 3, "decoder layers that predict goes through, the first ones"),
                SHORT_SIDE,
            ),
            warm_start=ICONS_BACKBONE,
            # Its budget is more than other models', as the paper's is.
            recipe=replace(SCENES_RECIPE, epochs=20, batch_size=8, learning_rate=2e-3, clip_norm=1.0),
            weights={"scenes": "weights/detr-scenes.safetensors"},
        )
    )
    register(
        ModelSpec(
            "vit",
            family="transformer",
            tasks=("classification",),
            build="roibench.plugins.transformer.vit:build",
            paper=Paper(
                "An Image is Worth 16x16 Words: Transformers for Image Recognition at Scale",
                2021,
                "https://arxiv.org/abs/2010.11929",
                published={
                    "ImageNet top-1": "77.9 (ViT-B/16, 384 px, trained on ImageNet alone); 84.0 (on ImageNet-21k first)"
                },
            ),
            required_targets=("image_label",),
            recipe=PATCHES_RECIPE,
            weights={"icons": "weights/vit-icons.safetensors"},
        )
    )
    register(
        ModelSpec(
            "deit",
            family="transformer",
            tasks=("classification",),
            build="roibench.plugins.transformer.deit:build",
            paper=Paper(
                "Training data-efficient image transformers & distillation through attention",
                2021,
                "https://arxiv.org/abs/2012.12877",
                published={
                    "ImageNet top-1": "72.2 (DeiT-Ti, 5 M parameters), 81.8 (DeiT-B, 86 M); 74.5 and 83.4 (distilled "
                    "from a RegNetY-16GF of 82.9)"
                },
            ),
            required_targets=("image_label",),
            teacher="resnet_classifier",
            recipe=PATCHES_RECIPE,  # ViT's budget
            weights={"icons": "weights/deit-icons.safetensors"},
        )
    )


@hookimpl
def register_claims(register):
    register(
        ClaimSpec(
            "distillation",
            "DeiT, which a convolutional teacher taught and which predicts without it, recognises more images than ViT "
            "of the same size that was trained for as many epochs.",
            judge="roibench.plugins.transformer.claims:distillation",
        )
    )
