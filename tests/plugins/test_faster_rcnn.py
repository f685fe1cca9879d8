"""Faster R-CNN through the doors that everybody uses: registry, build, predict, losses, weights."""

import dataclasses

import pytest
import torch

from roibench.assemble import build_model, ready_model
from roibench.contract import ModelContract
from roibench.datasets.sources import open_dataset
from roibench.model import listening
from roibench.registry import installed
from roibench.structures import Input, Target
from roibench.tasks import RULES, DatasetInfo, Task
from roibench.train import Trainer
from roibench.weights import read_header, shipped_weights

INFO = DatasetInfo("scenes", "val", ("circle", "square", "triangle"), image_size=(128, 128))
NAMES = ("faster_rcnn", "faster_rcnn_mobilenet")


def untrained(name: str, **overrides):
    torch.manual_seed(0)
    return build_model(installed().models[name], INFO, overrides)


def noise(*sizes: tuple[int, int]) -> list[Input]:
    generator = torch.Generator().manual_seed(0)
    return [
        Input(str(i), torch.randint(0, 256, (3, *size), dtype=torch.uint8, generator=generator))
        for i, size in enumerate(sizes)
    ]


class TestFasterRCNN(ModelContract):
    model = "faster_rcnn"


class TestFasterRCNNMobileNet(ModelContract):
    model = "faster_rcnn_mobilenet"


def test_detections_are_sorted_and_at_most_as_many_as_the_task_allows():
    model = untrained("faster_rcnn", score_threshold=0.0).eval()
    [prediction] = model.predict(noise((128, 128)))
    assert len(prediction.boxes) == RULES[Task.DETECTION].max_detections
    assert (prediction.scores.diff() <= 0).all()
    assert prediction.labels.dtype == torch.int64 and prediction.labels.max() < 3


def test_an_image_alone_and_in_a_batch_gives_the_same_boxes():
    model = untrained("faster_rcnn", score_threshold=0.2).eval()
    inputs = noise((128, 128), (128, 128))
    alone, together = model.predict(inputs[:1])[0], model.predict(inputs)[0]
    assert torch.allclose(alone.boxes, together.boxes, atol=1e-3)


def test_every_declared_stage_is_marked_in_order():
    model, seen = untrained("faster_rcnn").eval(), []

    class Listener:
        def enter(self, name):
            seen.append(name)

        def exit(self, name):
            pass

    with listening(Listener()):
        model.predict(noise((64, 64)))
    assert tuple(seen) == model.stages


@pytest.mark.parametrize("name", NAMES)
def test_the_four_losses_reach_every_parameter(name):
    model = untrained(name).train()
    targets = [
        Target(boxes=torch.tensor([[10.0, 10.0, 60.0, 60.0], [70.0, 40.0, 100.0, 110.0]]), labels=torch.tensor([0, 2])),
        Target(boxes=torch.tensor([[20.0, 30.0, 90.0, 80.0]]), labels=torch.tensor([1])),
    ]
    losses = model.losses(noise((128, 128), (128, 128)), targets)
    assert set(losses) == {"rpn_objectness", "rpn_box", "head_class", "head_box"}
    assert all(loss.dim() == 0 and loss > 0 for loss in losses.values())
    sum(losses.values()).backward()
    without = [name for name, p in model.named_parameters() if p.grad is None or not p.grad.abs().sum() > 0]
    assert without == []


def test_images_without_objects_and_ignored_objects_train_too():
    model = untrained("faster_rcnn").train()
    empty = Target(boxes=torch.zeros(0, 4), labels=torch.zeros(0, dtype=torch.int64))
    ignored = Target(
        boxes=torch.tensor([[10.0, 10.0, 60.0, 60.0]]), labels=torch.tensor([0]), ignored=torch.tensor([True])
    )
    losses = model.losses(noise((128, 128), (128, 128)), [empty, ignored])
    assert all(torch.isfinite(loss) for loss in losses.values())
    assert losses["rpn_box"] == 0 and losses["head_box"] == 0
    sum(losses.values()).backward()


def test_it_learns_one_image_by_heart():
    """A detector that can't is broken somewhere between anchors and losses."""
    data = open_dataset("scenes", installed(), split="train")
    sample = data[0]
    torch.manual_seed(0)
    model = build_model(installed().models["faster_rcnn"], data.info).train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
    history: dict[str, list[float]] = {}
    for _ in range(60):
        losses = model.losses([sample.input], [sample.target])
        optimizer.zero_grad()
        sum(losses.values()).backward()
        optimizer.step()
        for name, loss in losses.items():
            history.setdefault(name, []).append(loss.item())
    # The head's box loss counts positive RoIs, of which there are more and more, so it falls last.
    for name, part in {"rpn_objectness": 0.3, "rpn_box": 0.3, "head_class": 0.3, "head_box": 0.8}.items():
        values = history[name]
        assert sum(values[-5:]) / 5 < part * max(values), f"{name}: {max(values):.3f} -> {values[-1]:.3f}"


def test_shipped_weights_are_small_and_say_where_they_come_from():
    registry = installed()
    spec = registry.models["faster_rcnn"]
    path = shipped_weights(spec, "scenes", registry)
    assert path.stat().st_size <= 3 * 2**20
    header = read_header(path)
    train = open_dataset("scenes", registry, split="train")
    assert header.data_hash == train.hash, "the weights were trained on other data than the data set now makes"
    assert header.recipe["epochs"] == spec.recipe.epochs and header.seed == spec.recipe.seed
    model = ready_model(spec, train.info, path, torch.device("cpu"))
    val = open_dataset("scenes", registry)
    hits = 0
    for i in range(20):
        sample = val[i]
        if len(sample.target.labels):
            [prediction] = model.predict([sample.input])
            hits += bool(len(prediction.labels)) and int(prediction.labels[0]) in sample.target.labels.tolist()
    assert hits >= 15


class FewScenes:
    """The first eight training scenes."""

    unbounded = False

    def __init__(self):
        self.whole = open_dataset("scenes", installed(), split="train")
        self.info, self.hash = self.whole.info, self.whole.hash

    def __len__(self) -> int:
        return 8

    def __getitem__(self, index: int):
        return self.whole[index]


def test_one_seed_trains_the_same_bits(tmp_path):
    def trained(folder):
        recipe = dataclasses.replace(installed().models["faster_rcnn"].recipe, epochs=2, batch_size=4)
        torch.manual_seed(recipe.seed)
        data = FewScenes()
        model = build_model(installed().models["faster_rcnn"], data.info)
        Trainer(recipe, folder, torch.device("cpu"), workers=0).fit(model, data)
        return model.state_dict()

    one, two = trained(tmp_path / "one"), trained(tmp_path / "two")
    assert all(torch.equal(one[name], two[name]) for name in one)
