"""What a sidecar leaves out, guessed from the graph and from what it gives for a grey image; and what was guessed, in
words.
"""

import ast
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from roibench.outside.onnx_file import Port, Session, metadata_classes
from roibench.outside.onnx_layouts import BOXES, PARTS, SUPPRESSED, channels
from roibench.outside.sidecar import COCO_80, COCO_91, IMAGENET, VOC, Sidecar

FALLBACK_SIDE = 640  # of a graph that takes images of any size
MANY = 1000  # boxes: more come straight from a network, fewer were suppressed, or are a transformer's queries
WELL_KNOWN = {80: COCO_80, 91: COCO_91, 20: VOC, 1000: IMAGENET}


class GuessError(ValueError):
    """The graph doesn't tell; the message says what the sidecar must."""


class Guessed(NamedTuple):
    """sidecar: one that leaves nothing to guess. remarks: what was guessed, a sentence each."""

    sidecar: Sidecar
    remarks: tuple[str, ...]


def guess(sidecar: Sidecar, session: Session, file: str) -> Guessed:
    """file: what the sidecar would be called, for error messages. Raises GuessError."""
    fed = _fed(sidecar, session)
    sample = session_run(session, np.zeros((1, 3, *fed.size), np.float32), file)
    told: dict[str, Any] = {}
    if sidecar.decode is None:
        told = _layout(sidecar, sample, metadata_classes(session), file)
    full = fed.model_copy(update=told)
    if full.decode is not None:
        full = full.model_copy(update={"classes": full.classes or metadata_classes(session), "nms": bool(full.nms)})
        if full.classes is None:
            raise GuessError(f"{file}: decode: want `classes`, too: names in the order of its labels")
    if full.resize is None:
        full = full.model_copy(update={"resize": "crop" if full.layout == "classifier" else "letterbox"})
    return Guessed(full, _remarks(sidecar, full, sample))


def image_port(session: Session) -> Port:
    """The input that takes images."""
    four = [port for port in session.inputs if len(port.shape) == 4]
    if len(four) != 1:
        found = ", ".join(f"{port.name} {list(port.shape)}" for port in session.inputs)
        raise GuessError(f"want one input of images [B, 3, H, W], got {found}")
    return four[0]


def is_last(port: Port) -> bool:
    """Whether the channels come last: [B, H, W, 3]."""
    return port.shape[3] in (1, 3) and port.shape[1] not in (1, 3)


def session_run(session: Session, batch: NDArray[np.float32], file: str) -> dict[str, NDArray[Any]]:
    """Outputs by name, of pixels float32 [B, 3, H, W] in whichever form the graph takes them. Raises GuessError."""
    port = image_port(session)
    pixels = batch.transpose(0, 2, 3, 1) if is_last(port) else batch
    feeds = {port.name: np.ascontiguousarray(pixels, dtype=port.dtype)}
    for other in session.inputs:
        if other.name == port.name:
            continue
        if "mask" in other.name:
            feeds[other.name] = np.ones((len(batch), *batch.shape[2:]), other.dtype)
        elif "size" in other.name or "shape" in other.name:
            # In the order of RT-DETR's export: width, height; boxes are then in pixels of the input.
            feeds[other.name] = np.array([batch.shape[:1:-1]] * len(batch), other.dtype)
        else:
            raise GuessError(f"{file}: input {other.name!r} {list(other.shape)}: want images, a mask or a size alone")
    try:
        return session.run(feeds)
    except Exception as error:  # each runtime has errors of its own
        size = " x ".join(map(str, batch.shape[2:]))
        raise GuessError(f"{file}: it can't run on images of {size}: {' '.join(str(error).split())[:300]}") from error


def _fed(sidecar: Sidecar, session: Session) -> Sidecar:
    port = image_port(session)
    channels, sides = (port.shape[3], port.shape[1:3]) if is_last(port) else (port.shape[1], port.shape[2:])
    if channels not in (3, None):
        raise GuessError(f"input {port.name!r} {list(port.shape)}: want 3 channels, got {channels}")
    size = sidecar.size
    if size is None:
        size = tuple(side or other for side, other in zip(sides, _exported_size(session), strict=True))
    elif any(side not in (None, wanted) for side, wanted in zip(sides, size, strict=True)):
        raise GuessError(f"size: the graph's input is {list(port.shape)}, want {list(sides)}, got {list(size)}")
    scale = sidecar.scale or (1.0 if port.dtype == "uint8" else 255.0)
    return sidecar.model_copy(update={"size": size, "scale": scale, "channels": sidecar.channels or "rgb"})


def _exported_size(session: Session) -> tuple[int, int]:
    """As ultralytics' exports say it."""
    try:
        height, width = ast.literal_eval(session.metadata["imgsz"])
        return int(height), int(width)
    except (KeyError, ValueError, SyntaxError, TypeError):
        return FALLBACK_SIDE, FALLBACK_SIDE


def _layout(
    sidecar: Sidecar, sample: Mapping[str, NDArray[Any]], exported: Sequence[str] | None, file: str
) -> dict[str, Any]:
    names = sidecar.classes or exported
    layout = sidecar.layout or _layout_of(sample, names and len(names))
    if layout is None:
        found = ", ".join(f"{name} {list(array.shape)}" for name, array in sample.items())
        want = f"`layout: {' | '.join(PARTS)}` or `decode: FILE.py:function` in {file}"
        raise GuessError(f"can't tell what the outputs are ({found}): want {want}")
    outputs = _parts(layout, sidecar.outputs, sample, file)
    boxes, unit = BOXES[layout]
    told = {"layout": layout, "outputs": outputs, "boxes": sidecar.boxes or boxes, "unit": sidecar.unit or unit}
    told["nms"] = layout in SUPPRESSED if sidecar.nms is None else sidecar.nms
    count = _count(layout, {part: sample[name] for part, name in outputs.items()})
    background = sidecar.background
    if layout in ("detr", "ssd"):
        if background is None:
            # One more than there are names, or a detr's 92: COCO's 91 and nothing.
            extra = count == len(names) + 1 if names else (layout == "detr" and count == 92) or count in (21, 81)
            background = ("last" if layout == "detr" else "first") if extra else "none"
        count -= background != "none"
        softmax = "softmax" if background != "none" else "sigmoid"
        told["scores"] = sidecar.scores or (softmax if layout == "detr" else "none")
    elif layout == "classifier":
        array = sample[outputs["output"]]
        shares = bool((array >= 0).all() and np.allclose(array.sum(-1), 1, atol=1e-3))
        told["scores"] = sidecar.scores or ("none" if shares else "softmax")
    told |= {"background": background or "none", "scores": told.get("scores") or sidecar.scores or "none"}
    if names is None:
        # torchvision's labels keep numbers for what COCO left out; RT-DETR's, which have a batch axis, don't.
        flat = layout == "torchvision" and sample[outputs["boxes"]].ndim == 2
        names = COCO_91 if flat else COCO_80 if layout in ("torchvision", "yolo-nms") else WELL_KNOWN.get(count)
    if names is None:
        raise GuessError(f"the names of its {count} classes aren't known: want `classes` in {file}")
    if layout not in ("torchvision", "yolo-nms") and len(names) != count:
        raise GuessError(_wrong_count(layout, sample[outputs[PARTS[layout][0]]].shape, count, len(names), file))
    return told | {"classes": tuple(names)}


def _wrong_count(layout: str, shape: tuple[int, ...], count: int, names: int, file: str) -> str:
    wants = f", which takes {channels(layout, names)} channels" if layout in ("yolo", "yolo-objectness", "grid") else ""
    return (
        f"layout {layout}: the output {list(shape)} is of {count} classes; {file} or the exporter names {names}{wants}"
    )


def _layout_of(sample: Mapping[str, NDArray[Any]], classes: int | None) -> str | None:
    arrays = list(sample.values())
    match [array.ndim for array in arrays]:
        case [4] if arrays[0].shape[1] > 5:
            return "grid"
        case [2] if arrays[0].shape[1] == 7:
            return "yolo-nms"
        case [2]:
            return "classifier"
        case [3]:
            return _rows_of(arrays[0].shape[1:], classes)
        case [3, 3] if any(array.shape[2] == 4 for array in arrays):
            return "detr" if arrays[0].shape[1] <= MANY else "ssd"
        case [2, 1, 1] | [1, 2, 1] | [1, 1, 2]:
            return "torchvision"
        case [3, 2, 2] | [2, 3, 2] | [2, 2, 3] if any("label" in name for name in sample):
            return "torchvision"  # RT-DETR's own export: with a batch axis
    return None


def _rows_of(shape: tuple[int, int], classes: int | None) -> str | None:
    """Of one output [1, A, B]: a box per column, or per row."""
    least, most = min(shape), max(shape)
    if shape[1] == 6 and most <= MANY and classes != 1:
        return "yolo-nms"
    if least <= 4:
        return None
    if classes in (least - 4, least - 5):
        return "yolo" if classes == least - 4 else "yolo-objectness"
    # Unnamed: YOLOv8 and later put a box into a column and have no objectness, those before a row, and have.
    return "yolo" if shape[0] < shape[1] else "yolo-objectness"


def _parts(layout: str, named: Mapping[str, str], sample: Mapping[str, NDArray[Any]], file: str) -> dict[str, str]:
    """Of each part of a layout, the output's name."""
    parts = PARTS[layout]
    if wrong := [part for part in named if part not in parts]:
        raise GuessError(f"{file}: outputs: {wrong[0]!r} is no part of layout {layout}; want {', '.join(parts)}")
    if wrong := [name for name in named.values() if name not in sample]:
        raise GuessError(f"{file}: outputs: the graph has no {wrong[0]!r}; it has {', '.join(sample)}")
    left = [name for name in sample if name not in named.values()]
    if len(left) < len(parts) - len(named):
        raise GuessError(f"layout {layout}: want outputs for {', '.join(parts)}; the graph has {', '.join(sample)}")
    found = dict(named)
    for part in parts:
        if part not in found:
            fitting = [name for name in left if _fits(part, name, sample[name])] or left
            found[part] = fitting[0]
            left.remove(fitting[0])
    return {part: found[part] for part in parts}


def _fits(part: str, name: str, array: NDArray[Any]) -> bool:
    if part == "boxes":
        return array.shape[-1] == 4 and array.ndim >= 2
    if part == "labels":
        return np.issubdtype(array.dtype, np.integer) or "label" in name
    if part == "scores":
        return not np.issubdtype(array.dtype, np.integer) and (array.shape[-1] != 4 or "box" not in name)
    return True


def _count(layout: str, parts: Mapping[str, NDArray[Any]]) -> int:
    """Classes in the outputs, background counted; 0 where they don't tell."""
    if layout in ("yolo", "yolo-objectness"):
        return min(parts["output"].shape[1:]) - (4 if layout == "yolo" else 5)
    if layout == "grid":
        return parts["output"].shape[1] - 5
    if layout in ("detr", "ssd"):
        return parts["scores"].shape[-1]
    return parts["output"].shape[1] if layout == "classifier" else 0


def _remarks(given: Sidecar, full: Sidecar, sample: Mapping[str, NDArray[Any]]) -> tuple[str, ...]:
    shapes = ", ".join(str(list(array.shape)) for array in sample.values())
    height, width = full.size
    guesses = {
        "size": f"{height} x {width}",
        "resize": full.resize,
        "channels": full.channels,
        "layout": f"{full.layout} (outputs {shapes})",
        "classes": f"{len(full.classes)}, {full.classes[0]} to {full.classes[-1]}",
        "scores": full.scores if full.layout in ("detr", "ssd", "classifier") else None,
        "background": full.background if full.layout in ("detr", "ssd") else None,
    }
    of_layouts = () if full.decode is None else ("layout", "scores", "background")
    said = [
        f"{name} {value}"
        for name, value in guesses.items()
        if value is not None and getattr(given, name) is None and name not in of_layouts
    ]
    if full.layout == "grid" and "grid" not in given.model_fields_set:
        said.append("grid formulas as FastestDet's")
    return (f"guessed, where the sidecar says nothing: {'; '.join(said)}",) if said else ()
