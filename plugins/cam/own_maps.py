"""What a model says itself of where a class is: the maps that its scores are made of."""

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from torch import Tensor, nn

from roibench.dataset import DatasetInfo
from roibench.model import stage
from roibench.nn.images import ImageBatch
from roibench.plugins.cam.explainer import Explainer
from roibench.plugins.cam.features import query_classes
from roibench.plugins.cam.pixels import evaluating
from roibench.structures import Input, Prediction


class ExplainsItself(Protocol):
    """class_maps: [B, C, h, w], locations on a regular grid over the batch. The others are Explainable's."""

    def batch(self, inputs: Sequence[Input]) -> ImageBatch: ...
    def class_scores(self, batch: ImageBatch) -> Tensor: ...
    def class_maps(self, batch: ImageBatch) -> Tensor: ...


class OwnMaps(Explainer):
    asks = ExplainsItself
    stages = ("preprocess", "network", "map")

    def predict(self, inputs: Sequence[Input]) -> list[Prediction]:
        inner = self.inner
        with evaluating(inner):
            with stage("preprocess"):
                batch = inner.batch(inputs)
            with stage("network"):
                maps, asked = inner.class_maps(batch), any(one.query is None for one in inputs)
                scores = inner.class_scores(batch) if asked else maps.flatten(2).sum(2)
            with stage("map"):
                classes = query_classes(inputs, scores)
                chosen = maps[range(len(maps)), classes].float()
                return [Prediction(extra={"attribution": one.cpu()}) for one in batch.to_images(chosen)]


def build(info: DatasetInfo, config: Mapping[str, Any], inner: nn.Module) -> OwnMaps:
    return OwnMaps(inner, **config)
