"""Tests that any model must pass. A plugin's author subclasses ModelContract, or what fits better, and runs pytest:

from roibench.tasks.detection import DetectorContract

class TestMine(DetectorContract):
    model = "my_detector"
"""

import dataclasses
import pickle
from collections.abc import Mapping
from contextlib import nullcontext
from pathlib import Path

import pytest
import torch

from roibench.assemble import build_model
from roibench.dataset import DatasetInfo
from roibench.measure.checks import check_count, check_predictions
from roibench.measure.networks import places_of, record
from roibench.measure.predictions import same_predictions
from roibench.model import Exportable, Model, TrainableModel, listening
from roibench.registry import AT, installed, resolve
from roibench.specs import ModelSpec
from roibench.structures import Input, Sample, Target
from roibench.task import Frame
from roibench.train import Trainer
from roibench.weights import shipped_weights


class ModelContract:
    """What the harness relies on, of an untrained model on noise.

    model: the registered name.
    info: what it is built for; override it where the model needs joints or words.
    """

    model: str
    info = DatasetInfo("contract", "val", ("first", "second", "third"), image_size=(128, 128))

    @pytest.fixture
    def spec(self) -> ModelSpec:
        registry = installed()
        assert self.model.partition(AT)[0] in registry.models, f"{self.model!r} is not registered; {registry.failures}"
        return registry.model(self.model)

    @pytest.fixture
    def built(self, spec: ModelSpec) -> Model:
        torch.manual_seed(0)
        model = build_model(spec, self.info)
        return model.eval() if isinstance(model, torch.nn.Module) else model

    @staticmethod
    def noise(*sizes: tuple[int, int]) -> list[Input]:
        """One input of random pixels per (height, width)."""
        generator = torch.Generator().manual_seed(0)
        pixels = [torch.randint(0, 256, (3, *size), dtype=torch.uint8, generator=generator) for size in sizes]
        return [Input(f"noise-{index}", image) for index, image in enumerate(pixels)]

    def marked(self, model: Model) -> list[str]:
        """The stages that predict goes through, in order."""
        seen: list[str] = []

        class Listener:
            def enter(self, name: str) -> None:
                seen.append(name)

            def exit(self, name: str) -> None:
                pass

        with listening(Listener()):
            model.predict(self.noise((128, 128)))
        return seen

    def test_what_it_declares_is_there(self, spec: ModelSpec, built: Model) -> None:
        assert callable(resolve(spec.build))
        assert isinstance(built, Model)
        assert built.stages and len(set(built.stages)) == len(built.stages)

    def test_the_spec_can_travel_to_another_process(self, spec: ModelSpec) -> None:
        assert pickle.loads(pickle.dumps(spec)) == spec

    def test_predictions_are_what_the_harness_takes(self, spec: ModelSpec, built: Model) -> None:
        inputs = self.noise((128, 128), (96, 160))
        predictions = built.predict(inputs)
        registry = installed()
        check_count(predictions, len(inputs))
        frames = [Frame.of(one, self.info) for one in inputs]
        check_predictions(predictions, frames, registry.fields, registry.needed_fields(spec.tasks))

    def test_boxes_lie_in_the_image_as_given(self, built: Model) -> None:
        for one, prediction in zip(inputs := self.noise((128, 128), (70, 200)), built.predict(inputs), strict=True):
            if prediction.boxes is not None and len(prediction.boxes):
                height, width = one.image.shape[1:]
                low, high = prediction.boxes.min(0).values, prediction.boxes.max(0).values
                assert (low >= 0).all() and (high <= torch.tensor([width, height, width, height])).all()
                assert (prediction.boxes[:, 2:] >= prediction.boxes[:, :2]).all()

    def test_the_same_input_gives_the_same_output(self, built: Model) -> None:
        first, second = (built.predict(self.noise((128, 128)))[0] for _ in range(2))
        assert same_predictions([first], [second])

    def test_predict_leaves_its_input_and_its_model_alone(self, built: Model) -> None:
        inputs = self.noise((128, 128))
        pixels = inputs[0].image.clone()
        state = {name: value.clone() for name, value in built.state_dict().items()}
        built.predict(inputs)
        assert torch.equal(inputs[0].image, pixels)
        assert all(torch.equal(value, state[name]) for name, value in built.state_dict().items())

    def test_only_declared_stages_are_marked(self, built: Model) -> None:
        assert set(self.marked(built)) <= set(built.stages)

    def test_its_networks_are_called_with_tensors_and_give_some(self, built: Model) -> None:
        """Other backends can then try to run them (roibench.model.Exportable)."""
        if isinstance(built, Exportable):
            assert record(built, places_of(built), [self.noise((128, 128)), self.noise((96, 160))], nullcontext)

    def test_a_tiny_image_is_no_accident(self, built: Model) -> None:
        assert len(built.predict(self.noise((1, 1), (3, 200)))) == 2

    def test_learned_state_comes_back(self, spec: ModelSpec, built: Model) -> None:
        torch.manual_seed(1)
        other = build_model(spec, self.info)
        other.load_state_dict(built.state_dict())
        state = other.state_dict()
        assert all(torch.equal(value, state[name]) for name, value in built.state_dict().items())

    def test_its_knobs_need_no_retraining(self, spec: ModelSpec, built: Model) -> None:
        """Whatever is set, the same weights fit and something is predicted; the default changes nothing."""
        inputs = self.noise((128, 128))
        as_it_is = built.predict(inputs)
        for knob in spec.all_knobs:
            for value in (knob.low, knob.high, knob.default):
                tuned = build_model(spec.tuned({knob.name: value}), self.info)
                tuned.load_state_dict(built.state_dict())
                predictions = (tuned.eval() if isinstance(tuned, torch.nn.Module) else tuned).predict(inputs)
                assert len(predictions) == 1, knob
            assert same_predictions(predictions, as_it_is), knob

    def test_shipped_weights_are_there(self, spec: ModelSpec) -> None:
        registry = installed()
        files = [shipped_weights(spec, dataset, registry) for dataset in spec.weights]
        assert [file for file in files if not file.is_file()] == []


class NetworkContract(ModelContract):
    """What the common loop relies on, of a network that learns by gradients.

    A subclass defines by `targets` and `empty_targets` what there is to learn.

    overrides: configuration under which an untrained network finds something on noise.
    """

    overrides: Mapping[str, object] = {}

    @pytest.fixture
    def eager(self, spec: ModelSpec) -> TrainableModel:
        torch.manual_seed(0)
        return build_model(spec, self.info, self.overrides).eval()

    def targets(self) -> list[Target]:
        """Two targets of 128x128 images from which every parameter learns something."""
        raise NotImplementedError

    def empty_targets(self) -> list[Target]:
        """Two targets of 128x128 images with nothing, or nothing that counts."""
        raise NotImplementedError

    def test_every_declared_stage_is_marked_in_order(self, eager: TrainableModel) -> None:
        assert tuple(self.marked(eager)) == eager.stages

    def test_the_losses_reach_every_parameter(self, built: TrainableModel) -> None:
        losses = built.train().losses(self.noise((128, 128), (128, 128)), self.targets())
        assert all(loss.dim() == 0 and loss > 0 for loss in losses.values()), losses
        sum(losses.values()).backward()
        learned = [(name, p.grad) for name, p in built.named_parameters() if p.requires_grad]
        without = [name for name, grad in learned if grad is None or not grad.abs().sum() > 0]
        assert without == []

    def test_images_with_nothing_to_learn_train_too(self, built: TrainableModel) -> None:
        losses = built.train().losses(self.noise((128, 128), (128, 128)), self.empty_targets())
        assert all(torch.isfinite(loss) for loss in losses.values()), losses
        sum(losses.values()).backward()
        assert all(torch.isfinite(p.grad).all() for p in built.parameters() if p.grad is not None)

    def test_one_seed_trains_the_same_bits(self, spec: ModelSpec, tmp_path: Path) -> None:
        data = _Noise(self.info, self.noise(*[(128, 128)] * 4), self.targets()[0])
        states = []
        for run in ("one", "two"):
            torch.manual_seed(spec.recipe.seed)
            model = build_model(spec, self.info)
            recipe = dataclasses.replace(spec.recipe, epochs=2, batch_size=2)
            Trainer(recipe, tmp_path / run, torch.device("cpu"), workers=0).fit(model, data)
            states.append(model.state_dict())
        assert all(torch.equal(value, states[1][name]) for name, value in states[0].items())


@dataclasses.dataclass(frozen=True)
class _Noise:
    """A dataset of a few inputs that share a target.

    info: as the model's.
    inputs: its images, in order.
    target: the ground truth of each.
    """

    info: DatasetInfo
    inputs: list[Input]
    target: Target
    hash = "noise"
    unbounded = False

    def __len__(self) -> int:
        return len(self.inputs)

    def __getitem__(self, index: int) -> Sample:
        return Sample(self.inputs[index], self.target)
