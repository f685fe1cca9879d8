"""Where the one thing is that an image is about: a box, or the joints of a person, by regression."""

from roibench.hookspecs import hookimpl
from roibench.recipes import AUGMENT, ICONS_BACKBONE
from roibench.specs import ModelSpec, Paper, Recipe

# A start that knows the classes already: half of the classifier's budget.
RECIPE = Recipe(
    epochs=12,
    batch_size=16,
    learning_rate=1e-3,
    optimizer="adamw",
    weight_decay=0.05,
    warmup_steps=300,
    augment=AUGMENT,
    average=0.999,
)


@hookimpl
def register_models(register):
    for name, per_class in (("localizer", False), ("localizer_per_class", True)):
        register(
            ModelSpec(
                name,
                family="localization",
                tasks=("localization", "classification"),
                build="roibench.plugins.localization.localizer:build",
                paper=Paper(
                    "OverFeat: Integrated Recognition, Localization and Detection using Convolutional Networks",
                    2014,
                    "https://arxiv.org/abs/1312.6229",
                    published={"ILSVRC 2013 localization, top-5 error": "29.9"},
                ),
                required_targets=("boxes", "labels", "main"),
                config={"per_class": per_class},
                warm_start=ICONS_BACKBONE,
                recipe=RECIPE,
                weights={"icons": f"weights/{name}-icons.safetensors"},
            )
        )
