"""Datasets that come with RoIBench, one file each."""

from roibench.hookspecs import hookimpl
from roibench.specs import CommandSpec, DatasetSpec

_EMBEDDED = (
    *("boxes", "labels", "areas", "masks", "keypoints", "captions", "word_kinds"),
    *("main", "image_label", "semantic_map"),
)


@hookimpl
def register_datasets(register):
    register(
        DatasetSpec(
            "scenes",
            open="roibench.datasets.scenes:open_scenes",
            fields=_EMBEDDED,
            description="embedded 128x128 scenes: 12 classes of shapes and figures on photographs; train, val, test",
            eval_split="test",
        )
    )
    register(
        DatasetSpec(
            "icons",
            open="roibench.datasets.scenes:open_icons",
            fields=_EMBEDDED,
            description="embedded 128x128 icons: one such object, distractors in half of them; train, val, test",
            eval_split="test",
        )
    )
    register(
        DatasetSpec(
            "voc",
            open="roibench.datasets.voc:open_voc",
            fields=("boxes", "labels", "ignored", "areas"),
            description="Pascal VOC XML: voc:PATH, Annotations, JPEGImages and perhaps ImageSets/Main",
            takes_path=True,
        )
    )
    register(
        DatasetSpec(
            "coco",
            open="roibench.datasets.coco:open_coco",
            fields=("boxes", "labels", "crowd", "areas", "masks", "keypoints", "captions"),
            description="COCO JSON: coco:PATH with annotations/instances_SPLIT.json, coco:FILE.json[:IMAGES]",
            takes_path=True,
        )
    )
    register(
        DatasetSpec(
            "masks",
            open="roibench.datasets.masks:open_masks",
            fields=("semantic_map",),
            description="images + label images: masks:PATH, a folder with SPLIT, SPLITannot and perhaps classes.txt",
            takes_path=True,
        )
    )
    register(
        DatasetSpec(
            "folders",
            open="roibench.datasets.folders:open_folders",
            fields=("image_label",),
            description="a folder per class: folders:PATH, a folder with SPLIT/CLASS/*.jpg or CLASS/*.jpg",
            takes_path=True,
        )
    )
    register(
        DatasetSpec(
            "lsp",
            open="roibench.datasets.lsp:open_lsp",
            fields=("boxes", "labels", "keypoints"),
            description="Leeds Sports Pose Extended: lsp:PATH, a folder with joints.mat and images; all, train or val",
            takes_path=True,
        )
    )
    register(
        DatasetSpec(
            "yolo",
            open="roibench.datasets.yolo:open_yolo",
            fields=("boxes", "labels", "crowd", "ignored", "areas", "masks", "keypoints"),
            description="YOLO's text labels: yolo:PATH, data.yaml or its folder; boxes, outlines or poses",
            takes_path=True,
        )
    )
    register(
        DatasetSpec(
            "csv",
            open="roibench.datasets.boxes_csv:open_csv",
            fields=("boxes", "labels", "crowd", "ignored", "areas"),
            description="boxes in a table: csv:FILE.csv[:IMAGES], csv:PATH with SPLIT.csv",
            takes_path=True,
        )
    )


@hookimpl
def register_commands(register):
    register(
        CommandSpec(
            "convert",
            run="roibench.datasets.commands:convert",
            help="Write a dataset in a format that other tools read, check the copy, and say what is different in it.",
        )
    )
    register(
        CommandSpec(
            "data",
            run="roibench.datasets.commands:describe",
            help="Say what a dataset holds: images, sizes, objects by class and size, what is doubtful or broken.",
        )
    )
