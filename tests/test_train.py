"""Training: the same seed gives the same bits, an interruption changes nothing, mistakes are named."""

import dataclasses
import json
from types import SimpleNamespace
from typing import ClassVar

import pytest
import torch
from PIL import Image
from safetensors.torch import load_file
from torch import nn

from roibench.files import file_hash
from roibench.model import TrainableModel, Wrapper
from roibench.registry import installed
from roibench.specs import ModelSpec, Paper, Recipe, WarmStart
from roibench.train import Trainer, TrainingError, in_order_of_training, train_model, with_batch_size
from roibench.weights import WeightsError, WeightsHeader, load_shared, load_weights, read_header, save_weights

RECIPE = Recipe(
    epochs=3, batch_size=4, learning_rate=0.01, optimizer="adamw", augment=("horizontal_flip",), average=0.9
)
CPU = torch.device("cpu")


class Tiny(TrainableModel):
    def __init__(self, stop_at: int | None = None):
        super().__init__()
        self.network = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Flatten(), nn.Linear(4 * 36, 2))
        self.steps, self.stop_at = 0, stop_at

    def losses(self, inputs, targets):
        self.steps += 1
        if self.steps == self.stop_at:
            raise KeyboardInterrupt
        images = torch.stack([one.image for one in inputs]).float() / 255
        dropped = nn.functional.dropout(images, 0.1)  # draws from the global generator, as detectors' sampling does
        labels = torch.tensor([one.image_label for one in targets])
        return {"class": nn.functional.cross_entropy(self.network(dropped), labels)}


def trained(data, folder, recipe=RECIPE, stop_at=None, workers=0) -> dict[str, torch.Tensor]:
    torch.manual_seed(0)
    model = Tiny(stop_at)
    Trainer(recipe, folder, CPU, "float32", workers=workers).fit(model, data)
    assert not model.training
    return model.state_dict()


@pytest.fixture
def stripes(third_party):
    from stripes import Stripes

    return Stripes()


def equal(a, b) -> bool:
    return all(torch.equal(a[name], b[name]) for name in a)


def test_one_seed_gives_the_same_bits_in_any_number_of_workers(tmp_path, stripes):
    one = trained(stripes, tmp_path / "one")
    assert equal(one, trained(stripes, tmp_path / "two", workers=2))
    assert not equal(one, trained(stripes, tmp_path / "three", dataclasses.replace(RECIPE, seed=1)))


def test_an_interrupted_training_ends_with_the_same_bits(tmp_path, stripes):
    whole = trained(stripes, tmp_path / "whole")
    with pytest.raises(KeyboardInterrupt):
        trained(stripes, tmp_path / "broken", stop_at=5)  # in the second epoch of three steps each
    assert equal(trained(stripes, tmp_path / "broken"), whole)


def test_a_checkpoint_of_another_run_is_not_continued(tmp_path, stripes):
    trained(stripes, tmp_path)
    with pytest.raises(TrainingError, match="belongs to another run"):
        trained(stripes, tmp_path, dataclasses.replace(RECIPE, learning_rate=0.02))


def test_training_learns_and_logs_each_epoch(tmp_path, stripes):
    trained(stripes, tmp_path, dataclasses.replace(RECIPE, epochs=8))
    lines = [json.loads(line) for line in (tmp_path / "training.jsonl").read_text().splitlines()]
    assert [line["epoch"] for line in lines] == list(range(1, 9))
    assert lines[-1]["class"] < lines[0]["class"] / 2
    assert all(line["seconds"] >= 0 for line in lines)


def test_a_loss_that_is_not_finite_names_step_and_images(tmp_path, stripes):
    class Diverges(Tiny):
        def losses(self, inputs, targets):
            return {"class": next(self.parameters()).sum() * float("nan")}

    with pytest.raises(TrainingError, match=r"not finite in epoch 1, step 1 \(class nan\), images stripe-"):
        Trainer(RECIPE, tmp_path, CPU, "float32", workers=0).fit(Diverges(), stripes)


def test_a_recipe_without_a_learning_rate_is_not_the_common_loops(tmp_path, stripes):
    with pytest.raises(TrainingError, match="Tiny: the recipe has no learning rate"):
        trained(stripes, tmp_path, Recipe(epochs=1))


def test_what_is_not_trained_by_gradients_trains_through_the_same_door(tmp_path, third_party):
    begun = []
    path = train_model(
        "hog_svm", "squares", tmp_path, third_party, begin=lambda *counts: begun.append(counts), threads=1
    )
    header = read_header(path)
    assert (header.precision, header.recipe["epochs"], header.recipe["learning_rate"]) == ("float32", 2, None)
    assert load_file(path)["bias"].isfinite().all()
    assert not begun and [file.name for file in tmp_path.iterdir()] == [path.name], "no loop to tell of, and no log"


HEADER = WeightsHeader(
    model="tiny", dataset="stripes", data_hash="x", classes=("dark", "bright"), config={}, recipe={}, seed=0,
    precision="float32", threads=1, roibench="0", torch="2",
)  # fmt: skip
SPEC = ModelSpec("tiny", "test", ("classification",), build="a:b", paper=Paper("", 2026, ""))


def test_weights_come_back_with_their_header(tmp_path):
    torch.manual_seed(0)
    model, other, path = Tiny(), Tiny(), tmp_path / "tiny.safetensors"
    save_weights(path, model.state_dict(), HEADER)
    assert load_weights(path, other, SPEC, ("dark", "bright")) == read_header(path) == HEADER
    for name, value in model.state_dict().items():
        assert torch.allclose(other.state_dict()[name].float(), value.float(), rtol=1e-3, atol=1e-6)
    first = path.read_bytes()
    save_weights(path, model.state_dict(), HEADER)
    assert path.read_bytes() == first, "the same weights are the same bytes"


def test_weights_that_do_not_fit_say_why(tmp_path):
    path = tmp_path / "tiny.safetensors"
    save_weights(path, Tiny().state_dict(), HEADER)
    with pytest.raises(WeightsError, match="of model 'tiny', want 'other'"):
        load_weights(path, Tiny(), dataclasses.replace(SPEC, name="other"), ("dark", "bright"))
    with pytest.raises(WeightsError, match="trained for classes"):
        load_weights(path, Tiny(), SPEC, ("dark",))
    with pytest.raises(WeightsError, match="other shapes"):
        load_weights(path, nn.Linear(2, 2), SPEC, ("dark", "bright"))
    path.write_bytes(b"not weights")
    with pytest.raises(WeightsError, match="not a readable safetensors file"):
        read_header(path)


class Renamed(TrainableModel):
    """Tiny, whose network has another name today; another part's name begins like the former one."""

    renamed_parameters: ClassVar = {"network": "layers"}

    def __init__(self):
        super().__init__()
        self.layers = Tiny().network
        self.network_scale = nn.Parameter(torch.ones(2))


@pytest.mark.parametrize("load", [load_shared, lambda path, model: load_weights(path, model, SPEC, HEADER.classes)])
@pytest.mark.parametrize("wrap", [lambda model: model, Wrapper])
def test_weights_come_back_under_the_names_that_parts_have_today(tmp_path, load, wrap):
    former, model, path = Tiny(), Renamed(), tmp_path / "tiny.safetensors"
    save_weights(path, former.state_dict() | {"network_scale": torch.tensor([0.5, 2.0])}, HEADER)
    load(path, wrap(model))
    loaded = model.layers.state_dict()
    for name, value in former.network.state_dict().items():
        assert torch.equal(loaded[name], value.half().float() if value.is_floating_point() else value), name
    assert model.network_scale.tolist() == [0.5, 2.0]


def test_what_is_shared_is_loaded_and_the_rest_stays(tmp_path):
    path = tmp_path / "tiny.safetensors"
    save_weights(path, Tiny().state_dict(), HEADER)
    wider = Tiny()
    wider.network[3] = nn.Linear(4 * 36, 3)
    before = {name: value.clone() for name, value in wider.state_dict().items()}
    load_shared(path, wider)
    saved = load_file(path)
    for name, value in wider.state_dict().items():
        assert torch.equal(value, before[name] if name.startswith("network.3") else saved[name].to(value.dtype)), name
    with pytest.raises(WeightsError, match="nothing in it has the name and shape of a part of Linear"):
        load_shared(path, nn.Linear(2, 2))


@pytest.fixture
def first_and_second(tmp_path):
    """A registry of two classifiers, where the second begins with the weights that the first ships for folders; the
    dataset that both learn from.
    """
    for split in ("train", "val"):
        for label in ("dark", "bright"):
            folder = tmp_path / "data" / split / label
            folder.mkdir(parents=True)
            Image.new("RGB", (16, 16), 200 * (label == "bright")).save(folder / "a.png")
    registry = installed()
    still = dataclasses.replace(RECIPE, epochs=1, learning_rate=0.0, augment=(), average=None)
    # Not 4 channels: without AVX-512, oneDNN of torch 2.14 writes beyond its memory in their weights' gradient.
    config = {"widths": (8, 8, 8, 8), "blocks": (1, 1, 1), "image_size": 32}
    own = {"recipe": still, "config": config, "weights": {}}
    first = dataclasses.replace(registry.models["resnet_classifier"], name="first", **own)
    second = dataclasses.replace(first, name="second", warm_start=WarmStart("first", "folders"))
    registry = dataclasses.replace(
        registry,
        models={"first": first, "second": second},
        modules={"here": SimpleNamespace(__file__=str(tmp_path / "__init__.py"))},
        origin={("ModelSpec", "first"): "here"},
    )
    return registry, f"folders:{tmp_path / 'data'}"


def test_a_warm_start_begins_with_what_the_other_model_ships(tmp_path, first_and_second):
    registry, source = first_and_second
    first, second = registry.models.values()
    registry.models["second"] = dataclasses.replace(second, warm_start=None)
    shipped = train_model("first", source, tmp_path / "first", registry, seed=1)
    cold = train_model("second", source, tmp_path / "cold", registry)
    weights = {"folders": str(shipped.relative_to(tmp_path))}
    registry.models.update(first=dataclasses.replace(first, weights=weights), second=second)
    warm = train_model("second", source, tmp_path / "warm", registry)
    assert read_header(cold).warm_start is None and read_header(warm).warm_start == file_hash(shipped)
    name = "backbone.stem.0.weight"
    assert torch.equal(load_file(warm)[name], load_file(shipped)[name])
    assert not torch.equal(load_file(cold)[name], load_file(shipped)[name])


@pytest.mark.parametrize("weights", [{}, {"icons": "first.safetensors"}, {"folders": "gone.safetensors"}])
def test_a_warm_start_from_weights_that_are_not_there_says_so(tmp_path, first_and_second, weights):
    registry, source = first_and_second
    registry.models["first"] = dataclasses.replace(registry.models["first"], weights=weights)
    (tmp_path / "first.safetensors").touch()
    words = r"'second' begins with the weights of 'first' for 'folders', which aren't there: train that first .roibench"
    with pytest.raises(ValueError, match=words):
        train_model("second", source, tmp_path / "second", registry)


def test_a_teacher_has_what_its_model_ships_and_is_named_in_the_header(tmp_path, first_and_second, monkeypatch):
    registry, source = first_and_second
    first, second = registry.models.values()
    shipped = train_model("first", source, tmp_path / "first", registry, seed=1)
    weights = {"folders": str(shipped.relative_to(tmp_path))}
    student = dataclasses.replace(second, warm_start=None, teacher="first")
    registry.models.update(first=dataclasses.replace(first, weights=weights), second=student)
    teachers = []
    monkeypatch.setattr(TrainableModel, "fit", lambda model, data, trainer: teachers.append(trainer.teacher))
    taught = train_model("second", source, tmp_path / "second", registry)
    [teacher] = teachers
    assert not teacher.training
    assert torch.equal(teacher.state_dict()["head.weight"], load_file(shipped)["head.weight"].float())
    assert read_header(taught).teacher == file_hash(shipped) and read_header(shipped).teacher is None
    train_model("first", source, tmp_path / "alone", registry)
    assert teachers[1] is None


def test_a_teacher_whose_weights_are_not_there_says_so(tmp_path, first_and_second):
    registry, source = first_and_second
    student = dataclasses.replace(registry.models["second"], warm_start=None, teacher="first")
    registry.models["second"] = student
    with pytest.raises(ValueError, match=r"'second' is taught by the weights of 'first' for 'folders', which aren't"):
        train_model("second", source, tmp_path / "second", registry)


@pytest.mark.parametrize(("optimizer", "rate"), [("sgd", 0.04), ("adamw", 0.02), ("rmsprop", 0.02)])
def test_the_learning_rate_and_the_warm_up_follow_the_batch(optimizer, rate):
    larger = with_batch_size(dataclasses.replace(RECIPE, optimizer=optimizer, warmup_steps=200), 16)
    assert (larger.batch_size, larger.learning_rate, larger.warmup_steps) == (16, pytest.approx(rate), 50)
    assert with_batch_size(RECIPE, RECIPE.batch_size) == RECIPE


@pytest.mark.parametrize("deterministic", [True, False])
def test_deterministic_algorithms_are_used_where_they_are_asked_for_and_left_as_they_were(
    tmp_path, stripes, deterministic
):
    seen = []

    class Watches(Tiny):
        def losses(self, inputs, targets):
            seen.append(torch.are_deterministic_algorithms_enabled())
            return super().losses(inputs, targets)

    recipe = dataclasses.replace(RECIPE, epochs=1)
    Trainer(recipe, tmp_path, CPU, "float32", workers=0, deterministic=deterministic).fit(Watches(), stripes)
    assert set(seen) == {deterministic} and not torch.are_deterministic_algorithms_enabled()


def test_what_others_begin_with_or_are_taught_by_is_trained_before_them():
    specs = [spec for spec in installed().models.values() if spec.weights]
    order = [spec.name for spec in in_order_of_training(specs[::-1])]
    assert sorted(order) == sorted(spec.name for spec in specs)
    for spec in specs:
        for needed in (spec.warm_start and spec.warm_start.model, spec.teacher):
            assert needed is None or order.index(needed) < order.index(spec.name)
    assert in_order_of_training([installed().models["deit"]]) == [installed().models["deit"]], (
        "of those that are asked for"
    )
