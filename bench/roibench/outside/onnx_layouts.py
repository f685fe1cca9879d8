"""What the outputs of exported detectors mean: each layout's arrays of one image to boxes, scores and labels."""

from collections.abc import Callable, Mapping
from typing import NamedTuple

import torch
from torch import Tensor

from roibench import ops
from roibench.outside.sidecar import Sidecar


class Found(NamedTuple):
    """Of one image.

    boxes: xyxy [N, 4] in pixels of the network's input.
    scores: [N].
    labels: int64 [N], the model's own.
    """

    boxes: Tensor
    scores: Tensor
    labels: Tensor


class LayoutError(ValueError):
    """The outputs aren't what the layout wants; the message says what they are."""


# The parts that a layout has, in the order in which an exporter gives them unless the sidecar names them.
PARTS: Mapping[str, tuple[str, ...]] = {
    "yolo": ("output",),
    "yolo-objectness": ("output",),
    "yolo-nms": ("output",),
    "detr": ("scores", "boxes"),
    "ssd": ("scores", "boxes"),
    "torchvision": ("boxes", "labels", "scores"),
    "grid": ("output",),
    "classifier": ("output",),
}
BOXES = {  # how a layout writes boxes, and of what, unless the sidecar says otherwise
    "yolo": ("cxcywh", "pixels"),
    "yolo-objectness": ("cxcywh", "pixels"),
    "yolo-nms": ("xyxy", "pixels"),
    "detr": ("cxcywh", "shares"),
    "ssd": ("xyxy", "shares"),
    "torchvision": ("xyxy", "pixels"),
    "grid": ("cxcywh", "shares"),
    "classifier": ("xyxy", "pixels"),
}
SUPPRESSED = ("yolo", "yolo-objectness", "ssd", "grid")  # layouts whose boxes overlap


def decode(outputs: Mapping[str, Tensor], sidecar: Sidecar, classes: int) -> Found:
    """One image's outputs, without their batch axis: what scores enough, suppressed, best first.

    sidecar: one that leaves nothing to guess. outputs: by the layout's parts. Raises LayoutError.
    """
    boxes, scores, labels = _LAYOUTS[sidecar.layout](outputs, sidecar, classes)
    kept = scores >= sidecar.score_threshold
    boxes, scores, labels = _corners(boxes[kept].float(), sidecar), scores[kept].float(), labels[kept].long()
    return suppressed(Found(boxes, scores, labels), sidecar)


def suppressed(found: Found, sidecar: Sidecar) -> Found:
    """By class, where the sidecar wants it; best first, and no more than it keeps."""
    boxes, scores, labels = found
    if sidecar.nms:
        order = ops.batched_nms(boxes, scores, labels, sidecar.iou_threshold)
    else:
        order = scores.argsort(descending=True, stable=True)
    order = order[: sidecar.max_detections]
    return Found(boxes[order], scores[order], labels[order])


def channels(layout: str, classes: int) -> int:
    """Of a yolo's or a grid's output."""
    return classes + (4 if layout == "yolo" else 5)


def _yolo(outputs: Mapping[str, Tensor], sidecar: Sidecar, classes: int) -> Found:
    rows, wanted = outputs["output"], channels(sidecar.layout, classes)
    if rows.dim() != 2 or wanted not in rows.shape:
        raise LayoutError(
            f"layout {sidecar.layout} of {classes} classes: want an output [1, {wanted}, N] or [1, N, {wanted}], "
            f"got [1, {', '.join(map(str, rows.shape))}]"
        )
    if rows.shape[1] != wanted:
        rows = rows.T
    if sidecar.layout == "yolo":
        scores, labels = _activated(rows[:, 4:], sidecar).max(1)
        return Found(rows[:, :4], scores, labels)
    objectness = rows[:, 4].sigmoid() if sidecar.scores == "sigmoid" else rows[:, 4]
    scores, labels = _activated(rows[:, 5:], sidecar).max(1)
    return Found(rows[:, :4], scores * objectness, labels)


def _yolo_nms(outputs: Mapping[str, Tensor], sidecar: Sidecar, classes: int) -> Found:
    rows = outputs["output"]
    if rows.dim() != 2 or rows.shape[1] not in (6, 7):
        raise LayoutError(f"layout yolo-nms: want an output [1, N, 6] or [N, 7], got {list(rows.shape)}")
    if rows.shape[1] == 7:  # image, box, class, score
        return Found(rows[:, 1:5], rows[:, 6], rows[:, 5].long())
    return Found(rows[:, :4], rows[:, 4], rows[:, 5].long())


def _scores_and_boxes(outputs: Mapping[str, Tensor], sidecar: Sidecar, classes: int) -> Found:
    scores, boxes = outputs["scores"], outputs["boxes"]
    boxes = boxes.reshape(len(boxes), -1)
    wanted = classes + (sidecar.background != "none")
    if scores.dim() != 2 or scores.shape[1] != wanted or boxes.shape != (len(scores), 4):
        background = "" if sidecar.background == "none" else " and a background"
        raise LayoutError(
            f"layout {sidecar.layout} of {classes} classes{background}: want scores [1, N, {wanted}] and boxes "
            f"[1, N, 4], got {_shape(scores)} and {_shape(boxes)}"
        )
    scores = _activated(scores, sidecar)
    if sidecar.background == "first":
        scores = scores[:, 1:]
    elif sidecar.background == "last":
        scores = scores[:, :-1]
    if sidecar.layout == "detr" and sidecar.scores == "sigmoid":  # a query may stand for several classes
        best, flat = scores.flatten().topk(min(sidecar.max_detections, scores.numel()))
        return Found(boxes[flat // classes], best, flat % classes)
    best, labels = scores.max(1)
    return Found(boxes, best, labels)


def _ready(outputs: Mapping[str, Tensor], sidecar: Sidecar, classes: int) -> Found:
    boxes, labels, scores = (outputs[part] for part in PARTS["torchvision"])
    if boxes.dim() != 2 or boxes.shape[1] != 4 or labels.shape != scores.shape or len(labels) != len(boxes):
        got = f"{_shape(boxes)}, {_shape(labels)} and {_shape(scores)}"
        raise LayoutError(f"layout torchvision: want boxes [N, 4], labels [N] and scores [N], got {got}")
    return Found(boxes, scores, labels.long())


def _grid(outputs: Mapping[str, Tensor], sidecar: Sidecar, classes: int) -> Found:
    maps, how, wanted = outputs["output"], sidecar.grid, channels("grid", classes)
    if maps.dim() != 3 or len(maps) != wanted:
        raise LayoutError(
            f"layout grid of {classes} classes: want an output [1, {wanted}, rows, columns], got {_shape(maps)}"
        )
    rows, columns = maps.shape[1:]
    first = dict(zip(how.order, maps[: len(how.order)].flatten(1), strict=True))
    row, column = torch.meshgrid(torch.arange(rows), torch.arange(columns), indexing="ij")
    x = (column.flatten() + _MOVED[how.centre](first["x"])) / columns
    y = (row.flatten() + _MOVED[how.centre](first["y"])) / rows
    width, height = (_EXTENTS[how.extent](first[side]) for side in "wh")
    if how.unit == "location":
        width, height = width / columns, height / rows
    objectness = first["objectness"].sigmoid() if how.objectness == "sigmoid" else first["objectness"]
    best, labels = _activation(how.classes)(maps[len(how.order) :].flatten(1).T).max(1)
    scores = objectness.clamp(min=0) ** how.objectness_power * best.clamp(min=0) ** how.class_power
    return Found(torch.stack([x, y, width, height], 1), scores, labels)


_MOVED: Mapping[str, Callable[[Tensor], Tensor]] = {
    "tanh": torch.tanh,
    "sigmoid": torch.sigmoid,
    "sigmoid2": lambda t: 2 * t.sigmoid() - 0.5,
    "none": lambda t: t,
}
_EXTENTS: Mapping[str, Callable[[Tensor], Tensor]] = {
    "sigmoid": torch.sigmoid,
    "exp": torch.exp,
    "none": lambda t: t,
}
_LAYOUTS: Mapping[str, Callable[[Mapping[str, Tensor], Sidecar, int], Found]] = {
    "yolo": _yolo,
    "yolo-objectness": _yolo,
    "yolo-nms": _yolo_nms,
    "detr": _scores_and_boxes,
    "ssd": _scores_and_boxes,
    "torchvision": _ready,
    "grid": _grid,
}


def _activated(scores: Tensor, sidecar: Sidecar) -> Tensor:
    return _activation(sidecar.scores)(scores)


def _activation(name: str) -> Callable[[Tensor], Tensor]:
    return {"sigmoid": torch.sigmoid, "softmax": lambda t: t.softmax(-1), "none": lambda t: t}[name]


def _corners(boxes: Tensor, sidecar: Sidecar) -> Tensor:
    """As the sidecar writes them -> xyxy in pixels of the input."""
    if sidecar.unit == "shares":
        height, width = sidecar.size
        sides = (height, width, height, width) if sidecar.boxes == "yxyx" else (width, height, width, height)
        boxes = boxes * boxes.new_tensor(sides)
    match sidecar.boxes:
        case "cxcywh":
            return torch.cat([boxes[:, :2] - boxes[:, 2:] / 2, boxes[:, :2] + boxes[:, 2:] / 2], 1)
        case "xywh":
            return torch.cat([boxes[:, :2], boxes[:, :2] + boxes[:, 2:]], 1)
        case "yxyx":
            return boxes[:, [1, 0, 3, 2]]
    return boxes


def _shape(tensor: Tensor) -> str:
    return f"[1, {', '.join(map(str, tensor.shape))}]"
