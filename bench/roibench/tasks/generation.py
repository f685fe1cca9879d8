"""Generation: pictures that look as if they were a dataset's.

Every input asks for one picture. Its id is the seed of all that is random, so that a picture comes back, alone and in
any batch; its image isn't looked at. What a picture is worth, judges say that plugins register as metrics.
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import torch
from PIL import Image
from torch import Tensor

from roibench.contract import ModelContract
from roibench.draw.canvas import Canvas
from roibench.field_checks import check_tensor
from roibench.model import Model
from roibench.structures import Prediction
from roibench.task import Field, Frame, Layer, Place, Scored, Task


def check_generated(value: object, frame: Frame) -> str | None:
    """Of any size: a generator has its own."""
    problem = check_tensor("generated", value, (torch.uint8,), (3, "H", "W"))
    return problem or (None if value.numel() else f"generated has the shape {list(value.shape)}; want some pixels")


def doubt_generated(scored: Scored) -> Iterator[str]:
    found = [one.get("generated") for one in scored.kept]
    if len(found) > 1 and all(torch.equal(found[0], other) for other in found[1:]):
        yield f"all {len(found):,} generated images are the same"


def draw_generated(canvas: Canvas, prediction: Prediction, classes: Sequence[str], score_threshold: float) -> None:
    """The picture in the place of the image that was asked with, its pixels left as squares."""
    picture = _picture(prediction.get("generated"))
    factor = max(1, round(max(canvas.image.size) / max(picture.size)))
    canvas.image = picture.resize((factor * picture.width, factor * picture.height), Image.Resampling.NEAREST)


def describe_generated(prediction: Prediction, classes: Sequence[str], score_threshold: float) -> dict[str, Any]:
    height, width = prediction.get("generated").shape[1:]
    return {"generated": {"width": width, "height": height}}


def _picture(generated: Tensor) -> Image.Image:
    return Image.fromarray(generated.permute(1, 2, 0).contiguous().numpy())


# uint8 [3, H, W], RGB.
GENERATED = Field(
    "generated",
    check_generated,
    doubts=doubt_generated,
    layers=(Layer(draw_generated, Place.AREA),),
    describe=describe_generated,
    in_words=lambda found: "generated {width} x {height} pixels".format(**found["generated"]),
    file=("generated", lambda prediction: _picture(prediction.get("generated"))),
)


class GenerationContract(ModelContract):
    """What the generation task relies on."""

    def test_an_id_is_a_seed(self, built: Model) -> None:
        one, other = self.noise((128, 128), (37, 91))
        first, again, second = built.predict([one, replace(other, id=one.id), other])
        assert torch.equal(first.get("generated"), again.get("generated")), "the image was looked at"
        assert not torch.equal(first.get("generated"), second.get("generated")), "the id wasn't"

    def test_a_picture_alone_and_in_a_batch_is_the_same(self, built: Model) -> None:
        inputs = self.noise(*[(32, 32)] * 5)
        for one, together in zip(inputs, built.predict(inputs), strict=True):
            [alone] = built.predict([one])
            difference = alone.get("generated").int() - together.get("generated").int()
            assert difference.abs().max() <= 1  # a batch may round otherwise


class Generation(Task):
    name = "generation"
    prediction_fields = (GENERATED,)
    contract = GenerationContract
