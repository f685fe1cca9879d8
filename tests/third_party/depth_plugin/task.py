"""Monocular depth: how far away is what each pixel shows?"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from PIL import Image

from roibench.contract import ModelContract
from roibench.draw.canvas import Canvas
from roibench.field_checks import FLOATS, check_tensor, check_values
from roibench.model import Model
from roibench.structures import Prediction, Target
from roibench.task import Field, Frame, Layer, Place, Scored, TargetField, Task

_FACTOR = 5  # a typical depth that is so many times the true one, or less than its reciprocal, has another unit
# The same depth has the same colour in every picture, so that a prediction can be held against the truth.
_STOPS = np.log((1.0, 5.0, 25.0))  # metres
_COLOURS = ((215, 30, 30), (250, 200, 60), (60, 60, 160))  # at the stops
_OPACITY = 0.8


def check_depth(value: object, frame: Frame) -> str | None:
    kind = check_tensor("depth", value, FLOATS, frame.sides)
    return kind or check_values("depth", value, (value > 0) & value.isfinite(), "metres above 0")


def check_true_depth(value: object, frame: Frame) -> str | None:
    kind = check_tensor("depth", value, (torch.float32,), frame.sides)
    return kind or check_values(
        "depth", value, value.isnan() | (value > 0) & value.isfinite(), "metres above 0, or NaN where unknown"
    )


def has_known_pixel(target: Target) -> bool:
    return not bool(target.get("depth").isnan().all())


def doubt_depth(scored: Scored) -> Iterator[str]:
    maps = [one.get("depth") for one in scored.kept]
    if all(one.min() == one.max() for one in maps):
        yield f"all {len(maps):,} depth maps are the same everywhere in their image"
    ratios = [one / target.get("depth") for one, target in zip(maps, scored.targets, strict=True)]
    ratio = float(torch.cat([one.flatten() for one in ratios]).nanmedian())
    if not 1 / _FACTOR <= ratio <= _FACTOR:
        yield f"the median depth is {ratio:.3g} times the true one; want metres"


def draw_depth(canvas: Canvas, prediction: Prediction, classes: Sequence[str], score_threshold: float) -> None:
    """Colour the pixels by depth, near ones warm and far ones cold; those that aren't known stay as they are."""
    depth = prediction.get("depth").double().numpy()
    unknown = np.isnan(depth)
    level = np.log(np.where(unknown, 1.0, depth))
    colours = np.stack([np.interp(level, _STOPS, channel) for channel in zip(*_COLOURS, strict=True)], axis=2)
    opacity = np.where(unknown, 0, 255 * _OPACITY)
    layer, mask = (
        Image.fromarray(pixels.round().astype(np.uint8)).resize(canvas.image.size, Image.Resampling.NEAREST)
        for pixels in (colours, opacity)
    )
    canvas.image.paste(layer, mask=mask)


def describe_depth(prediction: Prediction, classes: Sequence[str], score_threshold: float) -> dict[str, Any]:
    """depth: of the nearest and the farthest pixel, in metres."""
    depth = prediction.get("depth")
    return {"depth": {"nearest": round(float(depth.min()), 2), "farthest": round(float(depth.max()), 2)}}


def in_words(found: Mapping[str, Any]) -> str:
    return "{nearest:g} to {farthest:g} m".format(**found["depth"])


class DepthContract(ModelContract):
    """What the depth task relies on."""

    def test_maps_have_the_sizes_of_the_images_as_given(self, built: Model) -> None:
        inputs = self.noise((128, 128), (37, 91), (1, 1), (3, 200), (400, 1))
        for one, prediction in zip(inputs, built.predict(inputs), strict=True):
            assert prediction.get("depth").shape == one.image.shape[1:]

    def test_an_image_alone_and_in_a_batch_gives_the_same_depth(self, built: Model) -> None:
        inputs = self.noise((128, 128), (96, 160))
        alone, together = built.predict(inputs[:1])[0], built.predict(inputs)[0]
        assert torch.allclose(alone.get("depth"), together.get("depth"), rtol=1e-4)


class Depth(Task):
    """Target.extra["depth"]: float32 [H, W], metres along the optical axis, NaN where unknown.
    Prediction.extra["depth"]: the same, known everywhere.
    """

    name = "depth"
    target_fields = (TargetField("depth", check_true_depth, counts=has_known_pixel),)
    prediction_fields = (
        Field(
            "depth",
            check_depth,
            doubts=doubt_depth,
            layers=(Layer(draw_depth, Place.AREA),),
            describe=describe_depth,
            in_words=in_words,
        ),
    )
    contract = DepthContract
