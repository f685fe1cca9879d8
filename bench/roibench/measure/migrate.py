"""Records of older schemas in today's shape: plain JSON in, plain JSON out.

Schema 2 added `disturbance`, 3 `artefacts`, 4 `explains` and `passes`; 5 `plugins`, `plugins_hash`, and to each score
its `score_threshold`, `max_detections` and `warnings`, and calls `interference` what was `disturbance`. 6 keys values
by metric and tells what was declared of each, calls a model around another one NAME@MODEL, adds `per_image`, and leaves
out what a record's status doesn't have. 7 adds turns, processor time, resamples, and what a model was trained with, 8
prefixes, 9 resamples of what tables show, 10 models from outside, 11 backends, before which torch ran everything, and
energy: all of them may be missing.
"""

from collections.abc import Mapping
from typing import Any

SCHEMA_VERSION = 11

# Until schema 5 a value had its name alone: which metric gave it, by task, in the order of today's tables.
_COCO = (
    "AP",
    "AP50",
    "AP75",
    "APsmall",
    "APmedium",
    "APlarge",
    "AR1",
    "AR10",
    "AR100",
    "ARsmall",
    "ARmedium",
    "ARlarge",
)
_METRICS: Mapping[str, Mapping[str, tuple[str, ...]]] = {
    "detection": {"coco_ap": _COCO, "voc_ap": ("VOC07_AP50", "VOC_AP50")},
    "semantic_segmentation": {"mean_iou": ("mIoU", "pixel_accuracy")},
    "classification": {"top_k_accuracy": ("top1", "top5")},
    "localization": {"localization_accuracy": ("accuracy50", "known_class50", "box_iou")},
    "instance_segmentation": {"coco_mask_ap": _COCO},
    "keypoints": {
        "oks_ap": ("AP", "AP50", "AP75", "AR", "AR50", "AR75", "APmedium", "ARmedium", "APlarge", "ARlarge", "PCK")
    },
    "proposals": {"proposal_recall": ("recall50", "recall70", "AR10", "AR100", "AR1000")},
    "attribution": {
        "pointing_game": ("pointing", "energy"),
        "insertion_deletion": ("insertion", "deletion", "faithfulness"),
        "max_box_acc": ("MaxBoxAccV2",),
        "parameter_randomization": ("randomization",),
    },
}
_ENDINGS = {"imagenet_mobilenet": "imagenet"}  # of the names of what explained a model
_OTHER = "other"  # stands for the metric of a value that no built-in one gave
_LOWER_IS_BETTER = {"deletion", "randomization"}
_SHOWN = {  # others': the first two
    "attribution": ("energy", "insertion", "deletion", "MaxBoxAccV2", "randomization"),
    "keypoints": ("AP50", "AP75", "PCK"),
}
_PLOTTED = {"faithfulness"}
_OF_FAILED = {"schema_version", "cell", "cell_id", "status", "error", "started", "finished", "provenance"}


def migrated(record: Mapping[str, Any]) -> dict[str, Any]:
    """A record of any schema in today's; one that doesn't say its schema is today's. Raises ValueError for one of a
    schema that this version doesn't know.
    """
    version = record.get("schema_version", SCHEMA_VERSION)
    if version not in range(1, SCHEMA_VERSION + 1):
        known = f"this version of RoIBench knows 1 to {SCHEMA_VERSION}"
        raise ValueError(f"a record of schema {version!r}; {known}: a later one may read it")
    data = dict(record)
    if version < 5:
        data = _cut_by_task(data)
    if version < 6:
        data = _keyed_by_metric(data)
    return data | {"schema_version": SCHEMA_VERSION}


def _cut_by_task(data: dict[str, Any]) -> dict[str, Any]:
    """One task's cut stood for all, and 0 stood for a cost that wasn't known."""
    cut = {name: data.pop(name) for name in ("score_threshold", "max_detections") if name in data}
    if scores := data.get("scores"):
        first = next(iter(scores))
        data["scores"] = {**scores, first: {**scores[first], **cut}}
    if "disturbance" in data:
        data["interference"] = data.pop("disturbance")
    if cost := data.get("cost"):
        data["cost"] = {**cost, **{name: cost[name] or None for name in ("parameters", "flops")}}
    return data


def _keyed_by_metric(data: dict[str, Any]) -> dict[str, Any]:
    """Values had their names alone, and every record all fields, null where its status has none."""
    if data["status"] == "failed":
        return {name: value for name, value in data.items() if name in _OF_FAILED}
    data.pop("error", None)
    if (inner := data.pop("explains", None)) is not None:
        data["cell"] = {**data["cell"], "model": _wrapper(data["cell"]["model"], inner)}
    data["scores"] = {task: _score(task, score) for task, score in data["scores"].items()}
    return {"interference": None, "artefacts": [], "per_image": None, "per_image_sha256": None} | data


def _wrapper(name: str, inner: str) -> str:
    """A model around another one had a name of its own: `grad_cam_fcn`."""
    ending = f"_{_ENDINGS.get(inner, inner)}"
    return f"{name.removesuffix(ending)}@{inner}"


def _score(task: str, score: Mapping[str, Any]) -> dict[str, Any]:
    metrics = _METRICS.get(task, {})
    keys = {name: f"{metric}/{name}" for metric, names in metrics.items() for name in names}
    given = [
        *(name for name in keys if name in score["values"]),
        *(name for name in score["values"] if name not in keys),
    ]
    primary = score["primary"]
    shown = _SHOWN.get(task) or [name for name in given if name != primary][:2]
    values = {
        keys.get(name, f"{_OTHER}/{name}"): {
            **score["values"][name],
            "unit": "%",
            "higher_is_better": name not in _LOWER_IS_BETTER,
            "shown": name in shown,
            "plotted": name in _PLOTTED,
        }
        for name in given
    }
    return {**score, "primary": keys.get(primary, f"{_OTHER}/{primary}"), "values": values}
