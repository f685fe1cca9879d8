"""What models have in common when they are trained on Scenes: one start and one budget, so that a table compares models
and not trainings.

The classifier's backbone is to Scenes what ImageNet's are to COCO: every model with that backbone begins with it.
Images are the dataset's own size, and never run out; eight epochs of them are the budget.
"""

from roibench.specs import Recipe, WarmStart

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
