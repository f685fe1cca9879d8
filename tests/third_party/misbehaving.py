"""A plugin as a third party would install it: a tiny dataset, one model that works, and some that don't."""

import os
import signal
import time
from dataclasses import replace

import torch
from torch import Tensor

from roibench.dataset import DatasetInfo
from roibench.hookspecs import hookimpl
from roibench.model import Wrapper, stage
from roibench.specs import DatasetSpec, Knob, ModelSpec, Paper, WarmStart
from roibench.structures import Input, Prediction, Sample, Target

WHITE = Knob("white", 255, 0, 256, "how bright a pixel is that is found; none is of 256")
PAPER = Paper("None", 2026, "https://example.org")


def _centre_and_size(one: Prediction) -> Tensor:
    return torch.cat([(one.boxes[:, :2] + one.boxes[:, 2:]) / 2, one.boxes[:, 2:] - one.boxes[:, :2]], 1)


# What a model that is otherwise right does to its predictions, by its name: some can't be, the others are doubtful.
OUTPUTS = {
    "nan_scores": lambda one: replace(one, scores=one.scores * torch.nan),
    "infinite_boxes": lambda one: replace(one, boxes=one.boxes * torch.inf),
    "labels_beyond": lambda one: replace(one, labels=one.labels + 5),
    "float_labels": lambda one: replace(one, labels=one.labels.float()),
    "no_labels": lambda one: replace(one, labels=None),
    "uneven": lambda one: replace(one, scores=one.scores.repeat(3)),
    "half_scores": lambda one: replace(one, scores=one.scores.half()),
    "elsewhere": lambda one: replace(one, boxes=one.boxes.to("meta")),
    "an_array": lambda one: replace(one, boxes=one.boxes.numpy()),
    "a_dict": lambda one: {"boxes": one.boxes, "scores": one.scores, "labels": one.labels},
    "centre_and_size": lambda one: replace(one, boxes=_centre_and_size(one)),
    "normalised": lambda one: replace(one, boxes=one.boxes / torch.tensor([48.0, 40.0, 48.0, 40.0])),
    "outside": lambda one: replace(one, boxes=one.boxes + torch.tensor([0.0, 25.0, 0.0, 25.0])),
    "inverted": lambda one: replace(one, boxes=one.boxes[:, [2, 1, 0, 3]]),
    "unsorted": lambda one: replace(
        one, boxes=one.boxes.repeat(2, 1), scores=torch.tensor([0.3, 0.9]), labels=one.labels.repeat(2)
    ),
    "finds_nothing": lambda one: replace(one, scores=one.scores * 0.01),
}


@hookimpl
def register_datasets(register):
    register(DatasetSpec("squares", open="misbehaving:Squares", fields=("boxes", "labels"), description="12 squares"))
    register(
        DatasetSpec(
            "photos",
            open="misbehaving:Photos",
            fields=("image_label",),
            description="12 squares of 40 \N{MULTIPLICATION SIGN} 48 pixels, without boxes",
        )
    )


@hookimpl
def register_models(register):
    for name in ("works", "raises", "hangs", "dies", "too_few", "undeclared_stage", *OUTPUTS):
        spec = ModelSpec(name, "test", ("detection",), build="misbehaving:build", paper=PAPER)
        register(replace(spec, config={"behaviour": name}, knobs=(WHITE,) if name == "works" else ()))
    register(ModelSpec("points", "test", ("attribution",), build="misbehaving:Points", paper=PAPER, wraps=True))
    register(ModelSpec("juggles", "test", ("juggling",), build="misbehaving:build", paper=PAPER))
    lonely = ModelSpec("begins_with_nothing", "test", ("detection",), build="misbehaving:build", paper=PAPER)
    register(replace(lonely, warm_start=WarmStart("nobody", "squares")))
    register(ModelSpec("Bad Name", "test", ("detection",), build="misbehaving:build", paper=PAPER))
    register(ModelSpec("no_build", "test", ("detection",), build="misbehaving", paper=PAPER))


class Squares:
    """Twelve grey images of 40 x 48 pixels, each with one white square of 16 pixels at (index, 8)."""

    unbounded = False

    def __init__(self, path: None, split: str) -> None:
        self.info = DatasetInfo(
            "squares", split, ("square",), image_size=(40, 48), fields=frozenset(("boxes", "labels"))
        )
        self.hash = "0" * 64

    def __len__(self) -> int:
        return 12

    def __getitem__(self, index: int) -> Sample:
        image = torch.full((3, 40, 48), 90, dtype=torch.uint8)
        image[:, 8:24, index : index + 16] = 255
        target = Target(boxes=torch.tensor([[index, 8.0, index + 16, 24.0]]), labels=torch.tensor([0]))
        return Sample(Input(f"square-{index}", image), target)


class Photos(Squares):
    """The same, without boxes."""

    def __init__(self, path: None, split: str) -> None:
        self.info = DatasetInfo("photos", split, ("square",), fields=frozenset(("image_label",)))
        self.hash = "1" * 64

    def __getitem__(self, index: int) -> Sample:
        return Sample(super().__getitem__(index).input, Target(image_label=0))


def build(info: DatasetInfo, config: dict) -> "FindsWhite":
    return FindsWhite(config["behaviour"], config.get("white", WHITE.default))


class FindsWhite:
    """Says that whatever is white is the square."""

    stages = ("find",)

    def __init__(self, behaviour: str, white: int) -> None:
        self.behaviour = behaviour
        self.white = white

    def predict(self, inputs: list[Input]) -> list[Prediction]:
        if self.behaviour == "raises":
            raise ArithmeticError("no squares today")
        if self.behaviour == "hangs":
            time.sleep(3600)
        if self.behaviour == "dies":
            os.kill(os.getpid(), signal.SIGSEGV)
        with stage("lose" if self.behaviour == "undeclared_stage" else "find"):
            found = [self._find(one.image) for one in inputs]
        if self.behaviour in OUTPUTS:
            return [OUTPUTS[self.behaviour](one) for one in found]
        return found[1:] if self.behaviour == "too_few" else found

    def _find(self, image: torch.Tensor) -> Prediction:
        y, x = torch.where(image[0] >= self.white)
        if not len(x):
            return Prediction(torch.zeros(0, 4), torch.zeros(0), torch.zeros(0, dtype=torch.int64))
        box = torch.stack([x.min(), y.min(), x.max() + 1, y.max() + 1]).float()
        return Prediction(boxes=box[None], scores=torch.tensor([0.9]), labels=torch.tensor([0]))

    def artefacts(self, inputs: list[Input]) -> dict:
        return {"first/image": inputs[0].image, "sums": torch.stack([one.image.sum() for one in inputs])}

    def state_dict(self) -> dict:
        return {}

    def load_state_dict(self, state: dict) -> None:
        pass


class Points(Wrapper):
    """Says that what was found counts, if it is asked about squares."""

    stages = ("point",)

    def __init__(self, info: DatasetInfo, config: dict, inner: FindsWhite) -> None:
        super().__init__(inner)

    def predict(self, inputs: list[Input]) -> list[Prediction]:
        with stage("point"):
            return [
                Prediction(extra={"attribution": (one.image[0] == 255).float() * (one.query in (0, None))})
                for one in inputs
            ]
