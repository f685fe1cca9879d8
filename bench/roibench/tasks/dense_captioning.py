"""Dense captioning: a box of each region that is worth a sentence, and the sentence."""

from collections.abc import Iterator, Mapping
from dataclasses import replace

import torch

from roibench.assemble import build_model
from roibench.contract import NetworkContract
from roibench.dataset import DatasetInfo
from roibench.draw.captions import add_captions
from roibench.metrics.dense_captioning import KINDS
from roibench.model import TrainableModel
from roibench.specs import MetricSpec, ModelSpec, Value
from roibench.structures import Target
from roibench.task import Field, Frame, Layer, Place, Scored, TargetField
from roibench.tasks.doubts import share
from roibench.tasks.objects import BOXES, MAX_DETECTIONS, SCORES, TRUE_BOXES, ObjectTask, objects_of
from roibench.words import words_of


def check_captions(value: object, frame: Frame) -> str | None:
    if not isinstance(value, tuple):
        return f"captions is a {type(value).__name__}; want a tuple of str, one per object"
    wrong = next((index for index, one in enumerate(value) if not isinstance(one, str)), None)
    return None if wrong is None else f"captions[{wrong}] is a {type(value[wrong]).__name__}; want a str"


def doubt_captions(scored: Scored) -> Iterator[str]:
    said = [caption for one in scored.kept for caption in one.captions]
    empty = torch.tensor([not words_of(caption) for caption in said], dtype=torch.bool)
    if empty.any():
        yield f"{share(empty)} captions have no word"
    true = {caption for target in scored.targets for caption in target.captions}
    if len(set(said)) == 1 < len(said) and not empty.any() and len(true) > 1:
        yield f"all {len(said):,} captions are the same: {said[0]!r}"


CAPTIONS = Field(
    "captions", check_captions, per_object=True, doubts=doubt_captions, layers=(Layer(add_captions, Place.STRIP),)
)
TRUE_CAPTIONS = TargetField("captions", check_captions, objects_of("captions"))


class DenseCaptionerContract(NetworkContract):
    """What the dense captioning task relies on, of a network that learns boxes and their captions."""

    info = DatasetInfo(
        "contract",
        "val",
        ("first", "second"),
        vocabulary=("a", "small", "large", "disc", "left", "of", "ring"),
        image_size=(128, 128),
    )
    overrides: Mapping[str, object] = {"score_threshold": 0.0}

    @staticmethod
    def regions(*rows: tuple[float, float, float, float, str], ignored: bool = False) -> Target:
        """Boxes and their captions."""
        boxes = torch.tensor([row[:4] for row in rows], dtype=torch.float32).reshape(-1, 4)
        return Target(boxes=boxes, captions=tuple(row[4] for row in rows), ignored=torch.full((len(rows),), ignored))

    def targets(self) -> list[Target]:
        return [
            self.regions((10, 10, 60, 60, "a large ring"), (70, 40, 100, 110, "a disc left of a ring")),
            # Of all sizes: each level of a pyramid has something to learn. And a word that nobody knows.
            self.regions((20, 30, 80, 90, "an octopus"), (84, 90, 106, 112, "ring"), (4, 6, 14, 15, "a small disc")),
        ]

    def empty_targets(self) -> list[Target]:
        return [self.regions(), self.regions((10, 10, 60, 60, "a large ring"), ignored=True)]

    def test_captions_are_words_of_the_vocabulary(self, eager: TrainableModel) -> None:
        [prediction] = eager.predict(self.noise((128, 128)))
        assert 0 < len(prediction.boxes) == len(prediction.captions) <= MAX_DETECTIONS
        assert (prediction.scores.diff() <= 0).all()
        said = {word for caption in prediction.captions for word in words_of(caption)}
        assert said <= set(self.info.vocabulary)

    def test_another_dataset_changes_nothing_of_what_is_said(self, spec: ModelSpec, eager: TrainableModel) -> None:
        """Words belong to the weights: the dataset that a model meets may have others, or none that is known."""
        inputs = self.noise((128, 128))
        for vocabulary in ((), ("zebra", "a", "yak")):
            other = build_model(spec, replace(self.info, vocabulary=vocabulary), self.overrides)
            other.load_state_dict(eager.state_dict())
            [found], [expected] = other.eval().predict(inputs), eager.predict(inputs)
            assert found.captions == expected.captions

    def test_an_image_in_which_nothing_is_found_has_no_captions(self, spec: ModelSpec) -> None:
        model = build_model(spec, self.info, {"score_threshold": 1.0}).eval()
        assert [one.captions for one in model.predict(self.noise((128, 128), (64, 96)))] == [(), ()]


class DenseCaptioning(ObjectTask):
    name = "dense_captioning"
    target_fields = (TRUE_BOXES, TRUE_CAPTIONS)
    prediction_fields = (BOXES, SCORES, CAPTIONS)
    metrics = (
        MetricSpec(
            "dense_captioning_ap",
            name,
            "roibench.metrics.dense_captioning:dense_captioning_ap",
            (Value("mAP", ranks=True), Value("box_AP", shown=True), *(Value(kind, shown=True) for kind in KINDS)),
        ),
    )
    contract = DenseCaptionerContract
