"""What models have in common when they are trained on Scenes: one start and one budget, so that a table compares models
and not trainings.

The classifier's backbone is to Scenes what ImageNet's are to COCO: every model with that backbone begins with it.
Images are the dataset's own size, and never run out; eight epochs of them are the budget.
"""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from roibench.specs import ModelSpec, Recipe, WarmStart

AUGMENT = ("horizontal_flip", "colour_jitter")
ICONS_BACKBONE = WarmStart(model="resnet_classifier", dataset="icons")
SCENES_RECIPE = Recipe(
    epochs=8,
    batch_size=4,
    learning_rate=1.5e-3,
    optimizer="adamw",
    weight_decay=0.05,
    warmup_steps=500,
    augment=AUGMENT,
    average=0.999,
)

# Base networks beside the residual one, as configurations of models that leave the choice (nn.backbones). Each has a
# classifier NAME_classifier, from which its detectors begin, and half of the budget.
BASE_NETWORKS: Mapping[str, Mapping[str, Any]] = {
    "small_vgg": {"backbone": "small_vgg", "widths": (32, 48, 96, 128), "blocks": (2, 2, 3)},
    "small_mobilenet": {"backbone": "small_mobilenet", "widths": (16, 24, 48, 96), "blocks": (2, 3, 3)},
}


def on_base_networks(spec: ModelSpec) -> Iterator[ModelSpec]:
    """The same detector on each of BASE_NETWORKS."""
    for network, config in BASE_NETWORKS.items():
        name = f"{spec.name}_{network}"
        yield replace(
            spec,
            name=name,
            config={**spec.config, **config},
            warm_start=WarmStart(model=f"{network}_classifier", dataset="icons"),
            recipe=replace(SCENES_RECIPE, epochs=4),
            weights={"scenes": f"weights/{name}-scenes.safetensors"},
        )
