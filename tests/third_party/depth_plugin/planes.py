"""A model to which everything is one plane: good where it knows the tilt, a constant where it takes it for upright."""

from collections.abc import Mapping, Sequence

from torch import Tensor

from depth_plugin.ramps import ramp
from roibench.dataset import Dataset, DatasetInfo
from roibench.model import Trainer, stage
from roibench.structures import Input, Prediction


class Plane:
    """From `nearest` metres at the lower edge of every image to `farthest` at the upper one."""

    stages = ("plane",)

    def __init__(self, nearest: float, farthest: float) -> None:
        self.nearest = nearest
        self.farthest = farthest

    def predict(self, inputs: Sequence[Input]) -> list[Prediction]:
        with stage("plane"):
            depths = [ramp(*one.image.shape[1:], self.nearest, self.farthest) for one in inputs]
        return [Prediction(extra={"depth": depth}) for depth in depths]

    def fit(self, data: Dataset, trainer: Trainer) -> None:
        raise TypeError("a plane learns nothing")

    def state_dict(self) -> dict[str, Tensor]:
        return {}

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        pass


def build(info: DatasetInfo, config: Mapping[str, float]) -> Plane:
    return Plane(**config)
