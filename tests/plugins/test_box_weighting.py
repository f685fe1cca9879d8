"""The study of a localizer's losses, on a few images."""

import torch

from roibench.dataset import DatasetInfo
from roibench.plugins.localization import weighting
from roibench.plugins.localization.subset import Subset
from roibench.registry import installed
from roibench.structures import Sample
from roibench.tasks.localization import LocalizerContract


class Noise:
    info = DatasetInfo("icons", "train", ("first", "second", "third"), image_size=(128, 128))
    hash, unbounded = "noise", True

    def __len__(self):
        return 4

    def __getitem__(self, index):
        inputs, targets = LocalizerContract.noise(*[(128, 128)] * 4), LocalizerContract().targets()
        return Sample(inputs[index], targets[index % 2])


def test_every_loss_and_weight_has_a_row_and_the_frozen_part_stays(monkeypatch):
    monkeypatch.setattr(weighting, "WEIGHTS", (5.0,))
    built, build_model = [], weighting.build_model
    monkeypatch.setattr(weighting, "build_model", lambda *args: built.append(build_model(*args)) or built[-1])
    data = Subset(Noise(), (0, 1, 2))
    rows = list(weighting.study(data, data, installed(), epochs=1))
    assert [(row.loss, row.weight) for row in rows] == [(loss, 5.0) for loss in ("l2", "l1", "smooth_l1", "giou")]
    assert [model.config.box_loss for model in built] == [row.loss for row in rows]
    assert all(0 <= row.values["accuracy50"].value <= 1 and set(row.losses) == {"class", "box"} for row in rows)
    one, other = (dict(model.backbone.state_dict()) for model in built[:2])
    frozen = [name for name in one if ".layer." in name]
    assert {name.partition(".layer.")[0] for name in frozen} == {"stem", "stages.0", "stages.1"}
    assert all(torch.equal(one[name], other[name]) for name in frozen)
    assert not torch.equal(one["stages.2.0.conv1.weight"], other["stages.2.0.conv1.weight"])
    page = weighting.table(rows)
    assert page.count("\n| giou") == 1 and "**" in page
