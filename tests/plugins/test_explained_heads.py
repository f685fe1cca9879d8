"""Grad-CAM of heads that don't classify: a region, a word of a caption, a joint."""

from dataclasses import replace

import pytest
import torch

from roibench.assemble import build_model, find_weights, ready_model
from roibench.datasets.reference import open_dataset
from roibench.datasets.scenes.shapes import JOINTS
from roibench.plugins.localization.persons import person_of
from roibench.registry import installed
from roibench.tasks.attribution import AttributionContract

INFO = AttributionContract.info


class TestGradCAMOfARegion(AttributionContract):
    model = "grad_cam@faster_rcnn"


class TestGradCAMOfScoreMaps(AttributionContract):
    model = "grad_cam@rfcn"


class TestGradCAMOfAWord(AttributionContract):
    model = "grad_cam@dense_captioning"
    info = replace(INFO, vocabulary=("the first", "a second", "third"))


class TestGradCAMOfJoints(AttributionContract):
    model = "grad_cam@pose_heatmaps"
    info = replace(INFO, joints=JOINTS)
    looks_at_the_class = False


class TestGradCAMOfRegressedJoints(AttributionContract):
    model = "grad_cam@pose"
    info = replace(INFO, joints=JOINTS)
    looks_at_the_class = False


def shipped(name, dataset, **knobs):
    """A model with its weights, and a dataset's val split."""
    registry = installed()
    spec, data = registry.model(name).tuned(knobs), open_dataset(dataset, registry, split="val")
    return ready_model(spec, data.info, find_weights(spec, dataset, None, registry), torch.device("cpu")), data


def highest(model, one):
    """x, y of the map's maximum."""
    [found] = model.predict([one])
    y, x = divmod(int(found.get("attribution").argmax()), found.get("attribution").shape[1])
    return torch.tensor([x + 0.5, y + 0.5])


def test_a_word_is_explained_by_what_it_names():
    model, data = shipped("grad_cam@dense_captioning", "scenes")
    hits = []
    for sample in map(data.__getitem__, range(12)):
        label = int(sample.target.labels[sample.target.main])
        boxes = sample.target.boxes[sample.target.labels == label]
        point = highest(model, replace(sample.input, query=label))
        hits.append(bool(((boxes[:, :2] <= point) & (point < boxes[:, 2:])).all(1).any()))
    assert sum(hits) >= 8, hits


def test_a_joint_is_explained_by_where_it_is():
    found = []
    for joint in (JOINTS.index("head top"), JOINTS.index("left ankle")):
        model, data = shipped("grad_cam@pose_heatmaps", "icons", joint=joint)
        for sample in map(data.__getitem__, range(80)):
            place = person_of(sample.target)[joint]
            if place[2] > 0:
                found.append(float((highest(model, sample.input) - place[:2]).norm()))
    assert len(found) >= 5
    assert sorted(found)[len(found) // 2] < 16, found


def test_a_joint_that_is_not_there_is_one_line():
    spec = installed().model("pose")
    with pytest.raises(ValueError, match="joint 2: want -1, for all, or one of the dataset's 2: 0 to 1"):
        build_model(replace(spec, config={**spec.config, "joint": 2}), replace(INFO, joints=("head", "hand")))
