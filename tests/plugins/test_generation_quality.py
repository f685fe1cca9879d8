"""What pictures are worth: by hand, with a judge that is told what to see, and with the shipped one."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch

from roibench.assemble import build_model
from roibench.datasets.reference import open_dataset
from roibench.measure.score import score
from roibench.model import Probe
from roibench.plugins.generation import quality
from roibench.plugins.generation.quality import distance, recognition
from roibench.registry import installed
from roibench.structures import Prediction, Target
from roibench.task import Frame


def pictures(*levels):
    return [Prediction(extra={"generated": torch.full((3, 8, 8), level, dtype=torch.uint8)}) for level in levels]


@pytest.fixture
def told(monkeypatch):
    """A judge that sees class LEVEL % 10 with the probability LEVEL / 10 in per cent, and nothing else."""

    def predict(inputs):
        found = []
        for one in inputs:
            level = int(one.image.max())
            rest = (1 - level / 100) / 11
            scores = torch.full((12,), rest, dtype=torch.float64)
            scores[level % 10] = level / 100
            found.append(Prediction(class_scores=scores))
        return found

    monkeypatch.setattr(quality, "ready_judge", lambda: SimpleNamespace(inner=SimpleNamespace(predict=predict)))


def recognised(*levels):
    return recognition(pictures(*levels), [Target()] * len(levels))


def test_confident_from_one_half_on(told):
    found = recognised(50, 49, 100, 30)
    assert found.values["recognised"].value == 0.5 and found.per_image["recognised"].tolist() == [1, 0, 1, 0]
    assert found.warnings == () and sum(found.artefacts["taken for"].values()) == 4
    [warning] = recognised(50, 49, 30).warnings
    assert warning == "fewer than half of 3 generated images are recognised: 33.3%"


def test_the_inception_score_by_hand(told):
    levels = [91, 92, 92, 60]
    found = recognised(*levels)
    rows = np.full((4, 12), 0.0)
    for row, level in zip(rows, levels, strict=True):
        row[:] = (1 - level / 100) / 11
        row[level % 10] = level / 100
    marginal = rows.mean(0)
    kl = (rows * np.log(rows / marginal)).sum(1)
    assert found.values["IS"].value == pytest.approx(np.exp(kl.mean()))
    assert 1 <= found.values["IS"].low < found.values["IS"].high


def test_what_comes_again_and_again_is_recognised_and_worth_nothing(told):
    found = recognised(*[99] * 6)
    assert found.values["recognised"].value == 1
    assert found.values["IS"].value == pytest.approx(1) and found.values["IS"].low == pytest.approx(1)


def test_of_a_single_picture_there_is_a_share_alone(told):
    assert recognised(99).values.keys() == {"recognised"}
    assert recognised(99, 98).per_image["IS"].isnan().all()


def test_the_judge_knows_icons_from_what_shows_nothing():
    data = open_dataset("icons", installed())
    icons = [data[index].input for index in range(24)]
    as_generated = [Prediction(extra={"generated": one.image}) for one in icons]
    grey, targets = pictures(*range(24)), [Target()] * 24
    own, nothing = recognition(as_generated, targets), recognition(grey, targets)
    assert own.values["recognised"].value > 0.8 and own.values["IS"].value > 4
    assert nothing.values["recognised"].value < 0.2 and nothing.values["IS"].value < 2
    probe = Probe(None, icons)
    same, far = (distance(found, targets, probe).values["KID"] for found in (as_generated, grey))
    assert same.value == pytest.approx(0, abs=1e-9) and far.low > 0.5


def test_a_generator_is_scored_like_any_model():
    registry, data = installed(), open_dataset("icons", installed())
    torch.manual_seed(0)
    model = build_model(registry.models["gan"], data.info).eval()
    inputs = [data[index].input for index in range(12)]
    frames = [Frame.of(one, data.info) for one in inputs]
    task = registry.tasks["generation"]
    predictions, targets = model.predict(inputs), [Target()] * 12
    found = score(task, predictions, targets, frames, registry, Probe(model, inputs), prefixes=(6,))
    assert found.primary == "recognition/IS" and found.prefixes.keys() == {6}
    assert {"recognition/recognised", "kernel_distance/KID"} < found.values.keys()
    assert all(np.isfinite([one.value, one.low, one.high]).all() for one in found.values.values())
    assert any("fewer than half of 12 generated images are recognised" in one for one in found.warnings)
    kept = score(task, predictions, targets, frames, registry)  # without the model: from what a run keeps
    assert kept.values.keys() == {"recognition/IS", "recognition/recognised"}
