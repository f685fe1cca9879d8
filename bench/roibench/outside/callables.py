"""Any callable as a model: images in, boxes, scores and labels out. `python:MODULE:NAME`, `python:FILE.py:NAME`."""

import importlib
import importlib.util
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from hashlib import sha256
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from roibench.dataset import DatasetInfo
from roibench.model import stage
from roibench.outside.answers import class_scores, detections, label_table, semantic_map
from roibench.outside.frozen import Frozen
from roibench.outside.sidecar import NAMED_CLASSES
from roibench.specs import ModelSpec, Outside
from roibench.structures import Input, Prediction

Image = NDArray[np.uint8]  # [H, W, 3], RGB
Kind = Literal["detection", "classification", "semantic_segmentation"]


class Code(NamedTuple):
    """What a module or a file holds under a name. file: None where it isn't known."""

    value: Any
    file: Path | None


def resolve_code(text: str, folder: Path) -> Code:
    """MODULE:NAME, or FILE.py:NAME relative to a folder. Raises ValueError: one line."""
    where, colon, name = text.rpartition(":")
    if not colon or not name.isidentifier():
        raise ValueError(f"{text!r}: want MODULE:NAME or FILE.py:NAME")
    try:
        module = _load(folder / where) if where.endswith(".py") else _import(where, folder)
    except Exception as error:  # whatever somebody's module raises
        raise ValueError(f"{text!r}: can't be imported: {type(error).__name__}: {error}") from error
    if not hasattr(module, name):
        known = ", ".join(key for key, value in vars(module).items() if callable(value) and key[0] != "_") or "none"
        raise ValueError(f"{text!r}: there is no {name} in {where}; callables there: {known}")
    file = getattr(module, "__file__", None)
    return Code(getattr(module, name), None if file is None else Path(file))


def _import(name: str, folder: Path) -> Any:
    """As Python does in that folder: what lies there is found, too."""
    if str(folder.resolve()) not in sys.path:
        sys.path.insert(0, str(folder.resolve()))
    return importlib.import_module(name)


def _load(file: Path) -> Any:
    """A file as a module of its own, whose neighbours it can import."""
    if not file.is_file():
        raise FileNotFoundError(f"no file {file}")
    content = file.read_bytes()
    pinned = sha256(str(file.resolve()).encode() + content).hexdigest()[:8]
    name = f"roibench_outside_{file.stem}_{pinned}"
    if name not in sys.modules:
        if str(file.parent.resolve()) not in sys.path:
            sys.path.insert(0, str(file.parent.resolve()))
        spec = importlib.util.spec_from_file_location(name, file)
        module = importlib.util.module_from_spec(spec)
        sys.modules[name] = module
        try:
            # Not by the loader, whose bytecode of a file that was changed within a second may be an older one's.
            exec(compile(content, str(file), "exec"), vars(module))
        except BaseException:
            del sys.modules[name]
            raise
    return sys.modules[name]


@dataclass(frozen=True)
class Wrapped:
    """What `wrap` gives: a callable with what the harness must know of it."""

    function: Callable[[list[Image]], Any]
    classes: tuple[str, ...] | None = None
    decode: Callable[[Any], Sequence[Any]] | None = None
    task: Kind = "detection"
    prepare: Callable[[list[Image]], Any] | None = None

    def __call__(self, images: list[Image]) -> list[Any]:
        fed = images if self.prepare is None else self.prepare(images)
        found = self.function(fed)
        return found if self.decode is None else list(self.decode(found))


def wrap(
    function: Callable[..., Any],
    *,
    classes: Sequence[str] | str | None = None,
    decode: Callable[[Any], Sequence[Any]] | None = None,
    prepare: Callable[[list[Image]], Any] | None = None,
    task: Kind = "detection",
) -> Wrapped:
    """A callable as a model that `roibench run --model python:FILE.py:NAME` measures, NAME being what this returns.

    function: what prepare gave, or a list of uint8 arrays [H, W, 3] (RGB) -> what decode takes, or an answer per image.
        Where it has `.to(device)` and `.eval()`, as an nn.Module, it is placed and evaluated as other models.
    classes: names, in the order of labels; "coco", "coco91", "voc" or "imagenet"; None: the dataset's.
    decode: what function returned -> an answer per image. Of detection (boxes, scores, labels): boxes [N, 4] as xyxy
        in pixels of the image as given, labels indices or names of classes; of classification probabilities [C]; of
        semantic segmentation indices of classes [H, W].
    """
    if not callable(function):
        raise TypeError(f"roibench.wrap: want a callable, got a {type(function).__name__}")
    if isinstance(classes, str):
        if classes not in NAMED_CLASSES:
            raise ValueError(
                f"roibench.wrap: classes: want names, or one of {', '.join(NAMED_CLASSES)}, got {classes!r}"
            )
        classes = NAMED_CLASSES[classes]
    return Wrapped(function, None if classes is None else tuple(classes), decode, task, prepare)


def open_source(rest: str) -> ModelSpec:
    """rest: MODULE:NAME or FILE.py:NAME, relative to where the command runs. Raises ValueError."""
    folder = Path.cwd()
    try:
        code = resolve_code(rest, folder)
    except ValueError as error:
        raise ValueError(f"model python:{error}") from error
    wrapped = _wrapped(code.value, rest)
    where, _, name = rest.rpartition(":")
    return ModelSpec(
        f"python:{Path(where).name}:{name}",
        family="outside",
        tasks=(wrapped.task,),
        build="roibench.outside.callables:build",
        paper=None,
        config={"code": rest, "folder": str(folder), "classes": wrapped.classes},
        outside=Outside(
            f"python:{rest}",
            classes=wrapped.classes,
            files=() if code.file is None else (code.file.resolve(),),
            settings={"task": wrapped.task},
        ),
    )


def _wrapped(value: Any, text: str) -> Wrapped:
    """A plain function may say its classes itself: function.classes."""
    if isinstance(value, Wrapped):
        return value
    if not callable(value):
        raise ValueError(f"model python:{text}: want a callable, got a {type(value).__name__}")
    return wrap(value, classes=getattr(value, "classes", None))


class CallableModel(Frozen):
    """table: of each own class the dataset's index, or -1. classes: the dataset's."""

    stages = ("prepare", "function", "decode", "answer")

    def __init__(self, wrapped: Wrapped, table: Sequence[int], classes: Sequence[str]) -> None:
        self.wrapped, self.table, self.classes = wrapped, table, classes
        self.own = wrapped.classes or tuple(classes)

    def place(self, device: torch.device) -> None:
        function = self.wrapped.function
        if hasattr(function, "eval") and hasattr(function, "to"):
            self.wrapped = replace(self.wrapped, function=function.eval().to(device))
        elif device.type != "cpu":
            raise ValueError(f"a callable without .to(device) can't be placed on {device}: want --device cpu")

    def predict(self, inputs: Sequence[Input]) -> list[Prediction]:
        wrapped = self.wrapped
        with stage("prepare"):
            images = [one.image.permute(1, 2, 0).numpy() for one in inputs]
            fed = images if wrapped.prepare is None else wrapped.prepare(images)
        with stage("function"), torch.inference_mode():
            found = wrapped.function(fed)
        with stage("decode"):
            answers = list(found if wrapped.decode is None else wrapped.decode(found))
        if len(answers) != len(inputs):
            raise ValueError(f"the callable gave {len(answers)} answers for {len(inputs)} images")
        with stage("answer"):
            return [self._answer(one) for one in answers]

    def _answer(self, answer: Any) -> Prediction:
        if self.wrapped.task == "classification":
            return class_scores(_tensor(answer), self.table, len(self.classes))
        if self.wrapped.task == "semantic_segmentation":
            return semantic_map(_tensor(answer), self.table)
        if isinstance(answer, Mapping):
            answer = tuple(answer[name] for name in ("boxes", "scores", "labels"))
        if not isinstance(answer, Sequence) or len(answer) != 3:
            raise ValueError(f"want (boxes, scores, labels) of each image, got a {type(answer).__name__}")
        boxes, scores, labels = answer
        boxes, scores = _tensor(boxes).float().reshape(-1, 4), _tensor(scores).float().reshape(-1)
        labels = torch.tensor([self._index(one) for one in labels], dtype=torch.int64)
        if not len(boxes) == len(scores) == len(labels):
            raise ValueError(f"got {len(boxes)} boxes, {len(scores)} scores, {len(labels)} labels; want equally many")
        return detections(boxes, scores, labels, self.table)

    def _index(self, label: Any) -> int:
        if not isinstance(label, str):
            return int(label)
        if label not in self.own:
            raise ValueError(f"the callable gave label {label!r}, which is none of its classes: {', '.join(self.own)}")
        return self.own.index(label)


def _tensor(value: Any) -> torch.Tensor:
    return value.detach().cpu() if isinstance(value, torch.Tensor) else torch.from_numpy(np.array(value))


def build(info: DatasetInfo, config: Mapping[str, Any]) -> CallableModel:
    code = resolve_code(config["code"], Path(config["folder"]))
    return CallableModel(_wrapped(code.value, config["code"]), label_table(config, info), info.classes)
