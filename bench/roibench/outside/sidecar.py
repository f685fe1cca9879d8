"""What lies beside a model's file and tells how it is fed and decoded: FILE.yaml. What it leaves out is guessed."""

from pathlib import Path
from typing import Annotated, Literal

import yaml
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError
from torchvision.models import MobileNet_V2_Weights
from torchvision.models.detection import FasterRCNN_ResNet50_FPN_Weights

from roibench.outside.class_map import NOTHING
from roibench.outside.preprocess import Feeding, Resize
from roibench.tasks.objects import MAX_DETECTIONS, SCORE_THRESHOLD

Layout = Literal["yolo", "yolo-objectness", "yolo-nms", "detr", "ssd", "torchvision", "grid", "classifier"]
Activation = Literal["none", "sigmoid", "softmax"]
Background = Literal["none", "first", "last"]

VOC = (
    "aeroplane",
    "bicycle",
    "bird",
    "boat",
    "bottle",
    "bus",
    "car",
    "cat",
    "chair",
    "cow",
    "diningtable",
    "dog",
    "horse",
    "motorbike",
    "person",
    "pottedplant",
    "sheep",
    "sofa",
    "train",
    "tvmonitor",
)
COCO_91 = tuple(FasterRCNN_ResNet50_FPN_Weights.COCO_V1.meta["categories"])
COCO_80 = tuple(name for name in COCO_91 if name not in NOTHING)
IMAGENET = tuple(MobileNet_V2_Weights.IMAGENET1K_V1.meta["categories"])
NAMED_CLASSES = {"coco": COCO_80, "coco91": COCO_91, "voc": VOC, "imagenet": IMAGENET}


def _both_sides(value: object) -> object:
    return (value, value) if isinstance(value, int) else value


def _in_order(value: object) -> object:
    """Names may be numbered, as those of a data.yaml."""
    return [value[key] for key in sorted(value)] if isinstance(value, dict) else value


Side = Annotated[int, Field(ge=1)]
Three = tuple[float, float, float]


class Grid(BaseModel):
    """How a location (row, column) of a map [5 + C, rows, columns] becomes a box and its score; as FastestDet's.

    order: what the first channels are; the classes follow.
    centre: (column + f(tx)) / columns, in shares of the input: tanh, sigmoid, none, or sigmoid2: 2 * sigmoid - 0.5.
    extent: f(tw), in shares of the input, or of a location where unit is `location`.
    objectness, classes: what is applied to the raw channels.
    score: objectness ** objectness_power * class ** class_power.
    """

    model_config = ConfigDict(extra="forbid")

    order: tuple[Literal["objectness", "x", "y", "w", "h"], ...] = ("objectness", "x", "y", "w", "h")
    centre: Literal["tanh", "sigmoid", "sigmoid2", "none"] = "tanh"
    extent: Literal["sigmoid", "exp", "none"] = "sigmoid"
    unit: Literal["input", "location"] = "input"
    objectness: Literal["none", "sigmoid"] = "none"
    classes: Activation = "none"
    objectness_power: float = 0.6
    class_power: float = 0.4


class Sidecar(BaseModel):
    """A sidecar's lines; None: guessed from the graph.

    name: in tables, in place of the file's. file: the model's, relative to the sidecar, where that is opened itself.
    size: of the input, a side or (height, width). resize, channels, scale, mean, std, pad, pad_value: as in Feeding.
    layout: of the outputs. outputs: names of a layout's parts -> the graph's outputs.
    boxes: how they are written. unit: of what: pixels of the input, or shares of it.
    scores: what is applied to raw ones. background: a class of the scores that stands for nothing.
    classes: names in the order of labels; a well-known list; or a text file, a name per line.
    score_threshold, max_detections: below and beyond which nothing is kept. nms, iou_threshold: suppression by class.
    decode: FILE.py:function or module:function, in place of a layout: docs/outside.md.
    """

    model_config = ConfigDict(extra="forbid")

    name: str | None = None
    file: Path | None = None
    size: Annotated[tuple[Side, Side] | None, BeforeValidator(_both_sides)] = None
    resize: Resize | None = None
    channels: Literal["rgb", "bgr"] | None = None
    scale: Annotated[float, Field(gt=0)] | None = None
    mean: Three = (0.0, 0.0, 0.0)
    std: Annotated[Three, Field(description="no zero")] = (1.0, 1.0, 1.0)
    pad: Literal["centre", "corner"] = "centre"
    pad_value: Annotated[int, Field(ge=0, le=255)] = 114
    layout: Layout | None = None
    outputs: dict[str, str] = {}
    boxes: Literal["xyxy", "cxcywh", "xywh", "yxyx"] | None = None
    unit: Literal["pixels", "shares"] | None = None
    scores: Activation | None = None
    background: Background | None = None
    classes: Annotated[
        tuple[str, ...] | Literal["coco", "coco91", "voc", "imagenet"] | Path | None, BeforeValidator(_in_order)
    ] = None
    score_threshold: Annotated[float, Field(ge=0, le=1)] = SCORE_THRESHOLD
    max_detections: Annotated[int, Field(ge=1)] = MAX_DETECTIONS
    nms: bool | None = None
    iou_threshold: Annotated[float, Field(gt=0, le=1)] = 0.6
    grid: Grid = Grid()
    decode: str | None = None

    @property
    def feeding(self) -> Feeding:
        """Of a sidecar that leaves nothing to guess."""
        return Feeding(self.size, self.resize, self.channels, self.scale, self.mean, self.std, self.pad, self.pad_value)


def read_sidecar(file: Path) -> Sidecar:
    """Raises ValueError, naming file and line, for what is no sidecar."""
    try:
        content = yaml.safe_load(file.read_text(encoding="utf-8"))
        found = Sidecar.model_validate({} if content is None else content)
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise ValueError(f"sidecar {file}: can't be read: {' '.join(str(error).split())}") from error
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"][:2]) or "as a whole"
        known = f"; known: {', '.join(Sidecar.model_fields)}" if first["type"] == "extra_forbidden" else ""
        raise ValueError(f"sidecar {file}: {where}: {first['msg']}, got {first['input']!r}{known}") from error
    if 0 in found.std:
        raise ValueError(f"sidecar {file}: std: want no zero, got {list(found.std)}")
    if isinstance(found.classes, Path):
        found = found.model_copy(update={"classes": _named(found.classes, file)})
    elif isinstance(found.classes, str):
        found = found.model_copy(update={"classes": NAMED_CLASSES[found.classes]})
    return found


def _named(list_of: Path, sidecar: Path) -> tuple[str, ...]:
    """A name per line. Relative paths are the sidecar's neighbours."""
    place = sidecar.parent / list_of
    try:
        lines = place.read_text(encoding="utf-8").splitlines()
    except OSError as error:
        names = ", ".join(NAMED_CLASSES)
        raise ValueError(f"sidecar {sidecar}: classes: want a list, one of {names}, or a text file: {error}") from error
    return tuple(name for line in lines if (name := line.strip()))
