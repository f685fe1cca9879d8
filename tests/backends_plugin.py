"""A plugin with a dataset of two splits, small models that a backend may run, and a backend of its own."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from roibench.backend import BackendError, Network, Run
from roibench.dataset import DatasetInfo
from roibench.hookspecs import hookimpl
from roibench.model import TrainableModel, stage
from roibench.nn.classification import class_predictions
from roibench.specs import BackendSpec, DatasetSpec, ModelSpec
from roibench.structures import Input, Prediction, Sample, Target

INFO = DatasetInfo("lamps", "test", ("dark", "bright"), fields=frozenset({"image_label"}))


@hookimpl
def register_datasets(register):
    register(DatasetSpec("lamps", "backends_plugin:Lamps", ("image_label",), "dark and bright", eval_split="test"))


@hookimpl
def register_models(register):
    for name in ("lamp", "forking_lamp", "unnamed_lamp"):
        build = f"backends_plugin:build_{name}"
        register(ModelSpec(name, "test", ("classification",), build=build, paper=None))


@hookimpl
def register_backends(register):
    register(BackendSpec("by_hand", "backends_plugin:ByHand", "torch again, of what has a graph"))


class Lamps:
    """Images of two sizes; the brighter ones are labelled 1. Each split has a hash of its own."""

    unbounded = False

    def __init__(self, path: None, split: str) -> None:
        if split not in ("train", "test"):
            raise ValueError(f"lamps has no split {split!r}")
        self.info = DatasetInfo("lamps", split, INFO.classes, fields=INFO.fields)
        self.hash = ("a" if split == "train" else "b") * 64

    def __len__(self) -> int:
        return 12

    def __getitem__(self, index: int) -> Sample:
        height, noise = 24 + 8 * (index % 2), torch.Generator().manual_seed(index)
        image = torch.randint(0, 100, (3, height, 32), generator=noise) + 100 * (index % 3 == 0)
        return Sample(
            Input(f"{self.info.split}-{index}", image.to(torch.uint8)), Target(image_label=int(index % 3 == 0))
        )


class Lamp(TrainableModel):
    """A network that is a method, and one that is a submodule; between them, Python."""

    stages = ("preprocess", "maps", "mean", "head")
    networks: tuple[str, ...] = ("maps_of", "head.last")

    def __init__(self) -> None:
        super().__init__()
        with torch.random.fork_rng(devices=()):
            torch.manual_seed(0)
            self.conv = nn.Sequential(nn.Conv2d(3, 8, 3, padding=1, stride=2), nn.BatchNorm2d(8), nn.ReLU())
            self.head = nn.ModuleDict({"last": nn.Linear(8, 2)})

    @torch.inference_mode()
    def predict(self, inputs: Sequence[Input]) -> list[Prediction]:
        logits = []
        for one in inputs:
            with stage("preprocess"):
                pixels = one.image[None].float() / 255
            found = self.maps_of(pixels=pixels)
            with stage("mean"):
                mean = found["maps"][0].mean((2, 3))
            with stage("head"):
                logits.append(self.head["last"](mean))
        return class_predictions(torch.cat(logits))

    def maps_of(self, pixels: Tensor) -> dict[str, list[Tensor]]:
        with stage("maps"):
            return {"maps": [self.conv(pixels)]}


class ForkingLamp(Lamp):
    """What it computes depends on what it sees: there is no graph of that."""

    def maps_of(self, pixels: Tensor) -> dict[str, list[Tensor]]:
        return super().maps_of(pixels if float(pixels.mean()) > 0.25 else pixels + 0.0)


def build_lamp(info: DatasetInfo, config: dict) -> Lamp:
    return Lamp()


def build_forking_lamp(info: DatasetInfo, config: dict) -> Lamp:
    return ForkingLamp()


class Bulb(TrainableModel):
    """Names no networks, but has a submodule that is called, and one that isn't."""

    stages = ("head",)

    def __init__(self) -> None:
        super().__init__()
        self.scale, self.idle = nn.Softsign(), nn.Identity()

    @torch.inference_mode()
    def predict(self, inputs: Sequence[Input]) -> list[Prediction]:
        with stage("head"):
            return class_predictions(self.scale(torch.stack([one.image.float().mean((1, 2))[:2] for one in inputs])))


def build_unnamed_lamp(info: DatasetInfo, config: dict) -> Bulb:
    return Bulb()


class ByHand:
    version = "by hand 1.0"
    needs_networks = True
    calibrates = True
    is_exact = True
    off = 0.0  # what it adds
    calibrated: tuple[int, ...] = ()  # calls per network
    settled = False

    def refusal(self, device: torch.device, precision: str) -> str | None:
        return None if precision == "float32" else f"counts in float32, not in {precision}"

    def take(self, network: Network, device: torch.device) -> Run:
        self.calibrated += (len(list(network.calibration)),)
        try:
            torch.export.export(network.module, tuple(network.examples[0]))
        except Exception as error:
            raise BackendError(f"{network.name} has no graph") from error
        return lambda tensors: [one + self.off for one in network.module(*tensors)]

    def settle(self) -> None:
        self.settled = True
