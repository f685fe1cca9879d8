"""Tests that any model must pass. A plugin's author subclasses ModelContract and runs pytest:

from roibench.contract import ModelContract

class TestMine(ModelContract):
    model = "my_detector"
"""

import dataclasses
import pickle

import pytest
import torch

from roibench.assemble import build_model
from roibench.model import Model, listening
from roibench.registry import installed, resolve
from roibench.structures import Input, Prediction
from roibench.tasks import RULES, DatasetInfo, ModelSpec
from roibench.weights import shipped_weights


class ModelContract:
    """What the harness relies on, of an untrained model on noise.

    model: the registered name. info: what it is built for; override it where the model needs joints or words.
    """

    model: str
    info = DatasetInfo("contract", "val", ("first", "second", "third"), image_size=(128, 128))

    @pytest.fixture
    def spec(self) -> ModelSpec:
        registry = installed()
        assert self.model in registry.models, f"{self.model!r} is not registered; failures: {registry.failures}"
        return registry.models[self.model]

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

    def test_what_it_declares_is_there(self, spec: ModelSpec, built: Model) -> None:
        assert callable(resolve(spec.build))
        assert isinstance(built, Model)
        assert built.stages and len(set(built.stages)) == len(built.stages)

    def test_the_spec_can_travel_to_another_process(self, spec: ModelSpec) -> None:
        assert pickle.loads(pickle.dumps(dataclasses.replace(spec, config=dict(spec.config)))).name == spec.name

    def test_one_prediction_per_input_with_its_tasks_fields(self, spec: ModelSpec, built: Model) -> None:
        inputs = self.noise((128, 128), (96, 160))
        predictions = built.predict(inputs)
        assert len(predictions) == len(inputs)
        for prediction in predictions:
            assert isinstance(prediction, Prediction)
            for task in spec.tasks:
                lacking = [name for name in RULES[task].prediction_fields if getattr(prediction, name) is None]
                assert not lacking, f"task {task.value} needs {lacking}"

    def test_predictions_are_on_the_host_and_ask_for_no_gradient(self, built: Model) -> None:
        [prediction] = built.predict(self.noise((128, 128)))
        for field in dataclasses.fields(prediction):
            value = getattr(prediction, field.name)
            if isinstance(value, torch.Tensor):
                assert value.device.type == "cpu" and not value.requires_grad, field.name

    def test_boxes_lie_in_the_image_as_given(self, built: Model) -> None:
        for one, prediction in zip(inputs := self.noise((128, 128), (70, 200)), built.predict(inputs), strict=True):
            if prediction.boxes is not None and len(prediction.boxes):
                height, width = one.image.shape[1:]
                low, high = prediction.boxes.min(0).values, prediction.boxes.max(0).values
                assert (low >= 0).all() and (high <= torch.tensor([width, height, width, height])).all()
                assert (prediction.boxes[:, 2:] >= prediction.boxes[:, :2]).all()

    def test_the_same_input_gives_the_same_output(self, built: Model) -> None:
        first, second = (built.predict(self.noise((128, 128)))[0] for _ in range(2))
        for field in dataclasses.fields(first):
            one, other = getattr(first, field.name), getattr(second, field.name)
            assert torch.equal(one, other) if isinstance(one, torch.Tensor) else one == other, field.name

    def test_predict_leaves_its_input_and_its_model_alone(self, built: Model) -> None:
        inputs = self.noise((128, 128))
        pixels = inputs[0].image.clone()
        state = {name: value.clone() for name, value in built.state_dict().items()}
        built.predict(inputs)
        assert torch.equal(inputs[0].image, pixels)
        assert all(torch.equal(value, state[name]) for name, value in built.state_dict().items())

    def test_only_declared_stages_are_marked(self, built: Model) -> None:
        seen: list[str] = []

        class Listener:
            def enter(self, name: str) -> None:
                seen.append(name)

            def exit(self, name: str) -> None:
                pass

        with listening(Listener()):
            built.predict(self.noise((128, 128)))
        assert set(seen) <= set(built.stages)

    def test_a_tiny_image_is_no_accident(self, built: Model) -> None:
        assert len(built.predict(self.noise((1, 1), (3, 200)))) == 2

    def test_learned_state_comes_back(self, spec: ModelSpec, built: Model) -> None:
        torch.manual_seed(1)
        other = build_model(spec, self.info)
        other.load_state_dict(built.state_dict())
        state = other.state_dict()
        assert all(torch.equal(value, state[name]) for name, value in built.state_dict().items())

    def test_shipped_weights_are_there(self, spec: ModelSpec) -> None:
        registry = installed()
        files = [shipped_weights(spec, dataset, registry) for dataset in spec.weights]
        assert [file for file in files if not file.is_file()] == []
