"""Object proposals: boxes that may hold an object, best first, without a class."""

import pytest
import torch

from roibench.assemble import build_model
from roibench.contract import ModelContract
from roibench.dataset import DatasetInfo
from roibench.measure.checks import check_predictions
from roibench.metrics.proposals import COUNTS, LEVELS
from roibench.model import Model
from roibench.registry import installed
from roibench.specs import MetricSpec, ModelSpec, Point, Value
from roibench.structures import Input, Prediction
from roibench.task import Frame
from roibench.tasks.objects import BOXES, SCORES, TRUE_BOXES, ObjectTask

MAX_PROPOSALS = 2000  # as many as R-CNN took


class ProposalsContract(ModelContract):
    """What the proposals task relies on, of an untrained model, and what it must bear."""

    def checked(self, model: Model, inputs: list[Input]) -> list[Prediction]:
        """What it proposes: boxes of some area inside their image, best first, at most as many as are scored."""
        predictions = model.predict(inputs)
        frames = [Frame.of(one, self.info) for one in inputs]
        check_predictions(predictions, frames, installed().fields, ("boxes", "scores"))
        for frame, found in zip(frames, predictions, strict=True):
            height, width = frame.size
            assert found.labels is None
            assert found.boxes.dtype == found.scores.dtype == torch.float32
            assert found.boxes.shape == (len(found.scores), 4) and len(found.boxes) <= MAX_PROPOSALS
            assert (found.scores.diff() <= 0).all()
            assert (found.boxes[:, 2:] > found.boxes[:, :2]).all()
            assert (found.boxes >= 0).all() and (found.boxes <= torch.tensor([width, height] * 2)).all()
        return predictions

    def test_proposals_are_sorted_distinct_and_at_most_as_many_as_are_scored(self, built: Model) -> None:
        for found in self.checked(built, self.noise((128, 128), (96, 160))):
            assert len(found.boxes) == len(found.boxes.unique(dim=0)) > 0

    @pytest.mark.parametrize("size", [(1, 1), (2, 2), (3, 200), (300, 1)])
    def test_images_smaller_than_any_window_get_proposals_that_fit(self, built: Model, size: tuple[int, int]) -> None:
        self.checked(built, self.noise(size))

    def test_grey_and_flat_images_get_proposals_that_fit(self, built: Model) -> None:
        [noise] = self.noise((128, 128))
        grey = noise.image[:1].expand(3, -1, -1).contiguous()
        flat = [torch.full((3, 64, 48), value, dtype=torch.uint8) for value in (0, 128, 255)]
        self.checked(built, [Input(f"image-{index}", image) for index, image in enumerate((grey, *flat))])

    def test_one_class_is_enough(self, spec: ModelSpec) -> None:
        model = build_model(spec, DatasetInfo("contract", "val", ("only",), image_size=(128, 128)))
        self.checked(model.eval() if isinstance(model, torch.nn.Module) else model, self.noise((128, 128)))


class Proposals(ObjectTask):
    name = "proposals"
    target_fields = (TRUE_BOXES,)
    prediction_fields = (BOXES, SCORES)
    score_threshold = None
    max_detections = MAX_PROPOSALS
    metrics = (
        MetricSpec(
            "proposal_recall",
            name,
            "roibench.metrics.proposals:proposal_recall",
            (
                Value("recall50", ranks=True),
                Value("recall70", shown=True),
                Value("AR10", shown=True),
                Value("AR100"),
                Value("AR1000"),
                *(
                    Value(f"{curve}_at_{count}", point=Point(curve, count, "proposals per image"))
                    for curve in LEVELS
                    for count in COUNTS
                ),
            ),
        ),
    )
    contract = ProposalsContract
