"""Where the one thing is that an image is about: a box, or the joints of a person, by regression."""

from roibench.hookspecs import hookimpl
from roibench.recipes import AUGMENT, ICONS_BACKBONE
from roibench.specs import ClaimSpec, Knob, ModelSpec, Paper, Recipe

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

DEEP_POSE = Paper(
    "DeepPose: Human Pose Estimation via Deep Neural Networks",
    2014,
    "https://arxiv.org/abs/1312.4659",
    published={"LSP PCP": "0.61 (three stages), 0.54 (the first alone)"},
)
SIMPLE_BASELINES = Paper(
    "Simple Baselines for Human Pose Estimation and Tracking",
    2018,
    "https://arxiv.org/abs/1804.06208",
    published={"COCO keypoint AP, test-dev": "73.7 (ResNet-152, 384x288)"},
)
JOINT = Knob("joint", -1, -1, 13, "what an explanation is about: a joint by its index; -1: all of them")


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
    for name, build, config in (
        ("pose", "pose:build", {"joint_loss": "l2", "joint_weight": 100.0}),
        # Of this weight, both losses have the same slope at a twentieth of the image.
        ("pose_l1", "pose:build", {"joint_loss": "l1", "joint_weight": 10.0}),
        ("pose_heatmaps", "pose_heatmaps:build", {}),
    ):
        register(
            ModelSpec(
                name,
                family="localization",
                tasks=("keypoints",),
                build=f"roibench.plugins.localization.{build}",
                paper=SIMPLE_BASELINES if name == "pose_heatmaps" else DEEP_POSE,
                required_targets=("boxes", "keypoints"),
                knobs=(JOINT,),
                config=config,
                warm_start=ICONS_BACKBONE,
                recipe=RECIPE,  # with epochs as long, half of whose images show a person
                weights={"icons": f"weights/{name}-icons.safetensors"},
            )
        )


@hookimpl
def register_claims(register):
    for name, statement in (
        (
            "box_per_class",
            "A localizer that regresses a box per class localizes more main objects than one with a box for all "
            "(Simonyan and Zisserman 2015, arXiv 1409.1556).",
        ),
        (
            "heat_maps",
            "The joints of a person are found better by heat maps than by regression of their coordinates.",
        ),
        ("absolute_distances", "Regression finds joints better by L1 than by L2, which is DeepPose's."),
    ):
        register(ClaimSpec(name, statement, judge=f"roibench.plugins.localization.claims:{name}"))
