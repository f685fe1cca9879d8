"""Representation: images as points, of which those that show the same should lie together."""

import torch

from roibench.contract import ModelContract
from roibench.field_checks import FLOATS, check_finite, check_tensor
from roibench.model import Model
from roibench.specs import MetricSpec, Value
from roibench.task import Field, Frame, TargetField, Task
from roibench.tasks.classification import check_image_label


def check_features(value: object, frame: Frame) -> str | None:
    return check_tensor("features", value, FLOATS, ("D",)) or check_finite("features", value)


# Float [D], of an image: as many numbers for every image.
FEATURES = Field("features", check_features)


class RepresentationContract(ModelContract):
    """What the representation task relies on."""

    def test_every_image_is_as_many_numbers(self, built: Model) -> None:
        inputs = self.noise((128, 128), (37, 91), (1, 1), (3, 200))
        features = [one.get("features") for one in built.predict(inputs)]
        assert len({one.shape for one in features}) == 1 and features[0].dim() == 1
        assert all(torch.isfinite(one).all() for one in features)
        assert not torch.allclose(features[0], features[1])


class Representation(Task):
    name = "representation"
    target_fields = (TargetField("image_label", check_image_label),)
    prediction_fields = (FEATURES,)
    metrics = (
        MetricSpec(
            "nearest_neighbours",
            name,
            "roibench.metrics.representation:nearest_neighbours",
            (
                Value("neighbour_1", ranks=True),
                Value("neighbour_5", shown=True),
                Value("majority_5", shown=True),
                Value("trustworthiness", shown=True),
            ),
        ),
    )
    contract = RepresentationContract
