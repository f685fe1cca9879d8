"""Tests that any model must pass. A plugin's author subclasses ModelContract, or what fits better, and runs pytest:

from roibench.contract import DetectorContract

class TestMine(DetectorContract):
    model = "my_detector"
"""

import dataclasses
import pickle
from collections.abc import Mapping
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F

from roibench.assemble import build_model
from roibench.dataset import DatasetInfo
from roibench.measure.checks import Frame, check_count, check_predictions
from roibench.model import Model, TrainableModel, listening
from roibench.registry import installed, resolve
from roibench.specs import ModelSpec
from roibench.structures import Input, Sample, Target
from roibench.task import RULES, Task
from roibench.train import Trainer
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
        assert pickle.loads(pickle.dumps(dataclasses.replace(spec, config=dict(spec.config)))).name == spec.name

    def test_predictions_are_what_the_harness_takes(self, spec: ModelSpec, built: Model) -> None:
        inputs = self.noise((128, 128), (96, 160))
        predictions = built.predict(inputs)
        needed = {name for task in spec.tasks for name in RULES[task].prediction_fields}
        check_count(predictions, len(inputs))
        check_predictions(predictions, [Frame.of(one, self.info) for one in inputs], needed)

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
        assert set(self.marked(built)) <= set(built.stages)

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


class NetworkContract(ModelContract):
    """What the common loop relies on, of a network that learns by gradients.

    overrides: configuration under which an untrained network finds something on noise. A subclass says by `truths` and
    `empty_truths` what there is to learn.
    """

    overrides: Mapping[str, object] = {}

    @pytest.fixture
    def eager(self, spec: ModelSpec) -> TrainableModel:
        torch.manual_seed(0)
        return build_model(spec, self.info, self.overrides).eval()

    def truths(self) -> list[Target]:
        """Two targets of 128x128 images from which every parameter learns something."""
        raise NotImplementedError

    def empty_truths(self) -> list[Target]:
        """Two targets of 128x128 images with nothing, or nothing that counts."""
        raise NotImplementedError

    def test_every_declared_stage_is_marked_in_order(self, eager: TrainableModel) -> None:
        assert tuple(self.marked(eager)) == eager.stages

    def test_the_losses_reach_every_parameter(self, built: TrainableModel) -> None:
        losses = built.train().losses(self.noise((128, 128), (128, 128)), self.truths())
        assert all(loss.dim() == 0 and loss > 0 for loss in losses.values()), losses
        sum(losses.values()).backward()
        learned = [(name, p.grad) for name, p in built.named_parameters() if p.requires_grad]
        without = [name for name, grad in learned if grad is None or not grad.abs().sum() > 0]
        assert without == []

    def test_images_with_nothing_to_learn_train_too(self, built: TrainableModel) -> None:
        losses = built.train().losses(self.noise((128, 128), (128, 128)), self.empty_truths())
        assert all(torch.isfinite(loss) for loss in losses.values()), losses
        sum(losses.values()).backward()
        assert all(torch.isfinite(p.grad).all() for p in built.parameters() if p.grad is not None)

    def test_one_seed_trains_the_same_bits(self, spec: ModelSpec, tmp_path: Path) -> None:
        data = _Noise(self.info, self.noise(*[(128, 128)] * 4), self.truths()[0])
        states = []
        for run in ("one", "two"):
            torch.manual_seed(spec.recipe.seed)
            model = build_model(spec, self.info)
            recipe = dataclasses.replace(spec.recipe, epochs=2, batch_size=2)
            Trainer(recipe, tmp_path / run, torch.device("cpu"), workers=0).fit(model, data)
            states.append(model.state_dict())
        assert all(torch.equal(value, states[1][name]) for name, value in states[0].items())


class DetectorContract(NetworkContract):
    """What the detection task relies on, of a network that learns boxes and labels."""

    overrides: Mapping[str, object] = {"score_threshold": 0.0}

    @staticmethod
    def objects(*rows: tuple[float, float, float, float, int], ignored: bool = False) -> Target:
        """Boxes and their labels."""
        table = torch.tensor(rows, dtype=torch.float32).reshape(-1, 5)
        return Target(
            boxes=table[:, :4], labels=table[:, 4].to(torch.int64), ignored=torch.full((len(table),), ignored)
        )

    def truths(self) -> list[Target]:
        return [
            self.objects((10, 10, 60, 60, 0), (70, 40, 100, 110, 2)),
            # Of all sizes: each level of a pyramid has something to learn.
            self.objects((20, 30, 80, 90, 1), (84, 90, 106, 112, 0), (4, 6, 14, 15, 0)),
        ]

    def empty_truths(self) -> list[Target]:
        return [self.objects(), self.objects((10, 10, 60, 60, 0), ignored=True)]

    def test_detections_are_sorted_and_at_most_as_many_as_the_task_allows(self, eager: TrainableModel) -> None:
        [prediction] = eager.predict(self.noise((128, 128)))
        assert 0 < len(prediction.boxes) <= RULES[Task.DETECTION].max_detections
        assert (prediction.scores.diff() <= 0).all()
        assert prediction.labels.dtype == torch.int64
        assert prediction.labels.min() >= 0 and prediction.labels.max() < len(self.info.classes)

    def test_an_image_alone_and_in_a_batch_gives_the_same_boxes(self, eager: TrainableModel) -> None:
        inputs = self.noise((128, 128), (128, 128))
        alone, together = eager.predict(inputs[:1])[0], eager.predict(inputs)[0]
        best = slice(10)  # further down, scores of an untrained network are too close to keep their order
        assert torch.allclose(alone.scores[best], together.scores[best], atol=1e-4)
        assert torch.allclose(alone.boxes[best], together.boxes[best], atol=1e-2)


class SegmentationContract(NetworkContract):
    """What the semantic segmentation task relies on, of a network that learns semantic maps."""

    @staticmethod
    def bands(*values: int) -> Target:
        """A map of 128x128 pixels, one horizontal band per value."""
        rows = torch.arange(128) * len(values) // 128
        return Target(semantic_map=torch.tensor(values, dtype=torch.uint8)[rows][:, None].repeat(1, 128))

    def truths(self) -> list[Target]:
        return [self.bands(0, 1, 3), self.bands(255, 2, 0, 1)]

    def empty_truths(self) -> list[Target]:
        return [self.bands(255), self.bands(255)]

    def test_maps_have_the_sizes_of_the_images_as_given(self, eager: TrainableModel) -> None:
        inputs = self.noise((128, 128), (37, 91), (1, 1), (3, 200), (400, 1))
        for predictions in (eager.predict(inputs), [eager.predict([one])[0] for one in inputs]):
            for one, prediction in zip(inputs, predictions, strict=True):
                assert prediction.semantic_map.shape == one.image.shape[1:]
                assert prediction.semantic_map.dtype == torch.uint8

    def test_maps_hold_background_and_classes_and_no_void(self, eager: TrainableModel) -> None:
        [prediction] = eager.predict(self.noise((128, 128)))
        assert prediction.semantic_map.max() <= len(self.info.classes)

    def test_an_image_alone_and_in_a_batch_gives_the_same_map(self, eager: TrainableModel) -> None:
        inputs = self.noise((128, 128), (128, 128))
        alone, together = eager.predict(inputs[:1])[0], eager.predict(inputs)[0]
        # An untrained network's scores may tie within rounding.
        assert (alone.semantic_map == together.semantic_map).float().mean() > 0.999


class ClassifierContract(NetworkContract):
    """What the classification task relies on, of a network that learns the class of an image."""

    def truths(self) -> list[Target]:
        objects = DetectorContract.objects((10, 10, 60, 60, 0), (70, 40, 100, 110, 2))
        return [
            dataclasses.replace(
                objects, image_label=label, semantic_map=SegmentationContract.bands(*bands).semantic_map
            )
            for label, bands in ((0, (0, 1, 3)), (2, (3, 2, 0)))
        ]

    def empty_truths(self) -> list[Target]:
        """What isn't a class by image is a help, not a need."""
        return [Target(image_label=1), Target(image_label=2)]

    def test_class_scores_are_probabilities(self, eager: TrainableModel) -> None:
        for prediction in eager.predict(self.noise((128, 128), (1, 1), (3, 300))):
            scores = prediction.class_scores
            assert scores.dtype == torch.float32 and scores.shape == (len(self.info.classes),)
            assert (scores >= 0).all() and scores.sum().item() == pytest.approx(1, abs=1e-5)

    def test_an_image_alone_and_beside_others_of_any_size_gives_the_same_scores(self, eager: TrainableModel) -> None:
        inputs = self.noise((70, 100), (128, 128), (9, 250), (400, 300))
        alone = [eager.predict([one])[0].class_scores for one in inputs]
        together = [one.class_scores for one in eager.predict(inputs)]
        assert torch.allclose(torch.stack(alone), torch.stack(together), atol=1e-5)
        # Or it would say the same of everything. Relative, because one that is sure differs in what is next to 0.
        assert not torch.allclose(together[0], together[1], rtol=1e-2, atol=0)

    def test_an_enlarged_image_gets_like_scores(self, eager: TrainableModel) -> None:
        [coarse] = self.noise((6, 10))
        smooth = (F.interpolate(coarse.image[None], size, mode="bilinear")[0] for size in ((60, 100), (180, 300)))
        one, other = (eager.predict([Input("smooth", image)])[0].class_scores for image in smooth)
        assert torch.allclose(one, other, atol=0.02)


class AttributionContract(ModelContract):
    """What the attribution task relies on, of a model that explains another one.

    looks_at_the_class: False for baselines, whose maps are the same for every class.
    """

    looks_at_the_class = True

    def test_maps_have_the_sizes_of_the_images_as_given(self, built: Model) -> None:
        inputs = self.noise((128, 128), (37, 91), (1, 1), (3, 200), (400, 1))
        for predictions in (built.predict(inputs), [built.predict([one])[0] for one in inputs]):
            for one, prediction in zip(inputs, predictions, strict=True):
                relevance = prediction.attribution
                assert relevance.shape == one.image.shape[1:]
                assert relevance.dtype == torch.float32 and torch.isfinite(relevance).all()

    def test_the_query_names_the_class_to_explain(self, built: Model) -> None:
        [one] = self.noise((128, 128))
        maps = [
            built.predict([dataclasses.replace(one, query=label)])[0].attribution
            for label in range(len(self.info.classes))
        ]
        differ = any(not torch.equal(maps[0], other) for other in maps[1:])
        assert differ == self.looks_at_the_class

    def test_explaining_leaves_the_explained_model_alone(self, built: Model) -> None:
        def marks() -> list:
            modules = list(built.explained.modules())
            hooks = [len(m._forward_hooks) + len(m._forward_pre_hooks) + len(m._backward_hooks) for m in modules]
            flags = [(p.requires_grad, p.grad is None) for p in built.explained.parameters()]
            return [hooks, flags, [m.training for m in modules], torch.is_grad_enabled()]

        before = marks()
        built.predict(self.noise((128, 128)))
        assert marks() == before


@dataclasses.dataclass(frozen=True)
class _Noise:
    """A dataset of a few inputs that share a target."""

    info: DatasetInfo
    inputs: list[Input]
    target: Target
    hash = "noise"
    unbounded = False

    def __len__(self) -> int:
        return len(self.inputs)

    def __getitem__(self, index: int) -> Sample:
        return Sample(self.inputs[index], self.target)
