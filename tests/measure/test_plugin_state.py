"""What a plugin is made of: a change in any of its files is another plugin, whatever its version says."""

import importlib
import sys
from pathlib import Path

import pytest
from planned_cells import measured, recorded

from roibench.files import file_hash
from roibench.measure.plan import Options, make_plan
from roibench.measure.plugin_state import plugin_states, plugins_hash
from roibench.measure.provenance import provenance
from roibench.measure.record import CellSpec
from roibench.measure.run import Run
from roibench.registry import Registry, installed

MODEL = """
from pathlib import Path

import torch

from my_helpers import SCORE
from roibench.structures import Prediction

class Guess:
    stages = ()

    def predict(self, inputs):
        box = torch.tensor([[0.0, 8, 16, 24]])
        return [Prediction(box, torch.tensor([SCORE]), torch.tensor([0])) for _ in inputs]

    def state_dict(self):
        return {"score": torch.tensor([SCORE])}

    def load_state_dict(self, state):
        pass

def build(info, config):
    return Guess()
"""
PLUGIN = """
from roibench.hookspecs import hookimpl
from roibench.specs import ModelSpec, Paper

@hookimpl
def register_models(register):
    register(ModelSpec(
        "guess", "mine", ("detection",), build="my_models.deep.model:build", paper=Paper("", 2026, ""),
        config={"file": "../outside.onnx", "names": ["not a file", "x" * 5000, "\\0"]},
    ))
"""

TWO_STAGE = (  # what ships weights
    *("dense_captioning", "fast_rcnn", "faster_rcnn", "faster_rcnn_roi_pool", "faster_rcnn_small_mobilenet"),
    *("faster_rcnn_small_vgg", "hog_svm", "mask_rcnn", "mask_rcnn_roi_pool", "rcnn", "rfcn"),
    *("rfcn_small_mobilenet", "rfcn_small_vgg", "sliding_window_detector", "sppnet"),
)


@pytest.fixture
def folder(tmp_path, monkeypatch, third_party) -> Path:
    """Where somebody develops a plugin, installed as it stands: a package, a module beside it, and an ONNX file."""
    top = tmp_path / "mine"
    (top / "my_models" / "deep").mkdir(parents=True)
    (top / "my_models" / "__init__.py").touch()
    (top / "my_models" / "deep" / "__init__.py").touch()
    (top / "my_models" / "plugin.py").write_text(PLUGIN)
    (top / "my_models" / "deep" / "model.py").write_text(MODEL)
    (top / "my_models" / "deep" / "weights.pt").write_bytes(b"weights that the model loads itself")
    (top / "my_helpers.py").write_text("SCORE = 0.5")
    (top / "outside.onnx").write_bytes(b"network")
    metadata = top / "my_models-2.1.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: my-models\nVersion: 2.1\n")
    (metadata / "entry_points.txt").write_text("[roibench]\nmy_models = my_models.plugin\n")
    (metadata / "top_level.txt").write_text("my_models\nmy_helpers\n")
    monkeypatch.syspath_prepend(top)
    before = set(sys.modules)
    installed.cache_clear()
    yield top
    for name in set(sys.modules) - before:
        if name.startswith("my_"):
            del sys.modules[name]
    importlib.invalidate_caches()


def state(registry: Registry):
    return next(one for one in plugin_states(registry) if one.name == "my_models")


def test_a_plugin_is_known_by_its_distribution_its_version_and_its_files(folder):
    found = state(installed())
    assert (found.distribution, found.version) == ("my-models", "2.1")
    assert found.weights == {"../outside.onnx": file_hash(folder / "outside.onnx")}
    assert found in provenance(installed()).plugins
    names = {one.name for one in provenance(installed()).plugins}
    assert {"two_stage", "datasets", "tasks", "misbehaving"} <= names and "broken_import" not in names
    shipped = next(one for one in plugin_states(installed()) if one.name == "two_stage")
    assert list(shipped.weights) == [f"weights/{name}-scenes.safetensors" for name in TWO_STAGE]


@pytest.mark.parametrize(
    "file",
    [
        "my_models/plugin.py",
        "my_models/deep/model.py",
        "my_models/deep/weights.pt",
        "my_models/deep/new.bin",
        "my_helpers.py",
        "outside.onnx",
    ],
)
def test_a_change_in_any_of_its_files_is_another_plan(folder, file):
    registry = installed()
    options = Options(models=("works",), datasets=("squares",))
    before, hash_before = make_plan(options, registry), plugins_hash(registry)
    assert make_plan(options, registry).key == before.key
    path = folder / file
    path.write_bytes((path.read_bytes() if path.exists() else b"") + b"\n")
    assert plugins_hash(registry) != hash_before
    after = make_plan(options, registry)
    assert after.key != before.key and after.cells[0].id != before.cells[0].id


@pytest.mark.parametrize("file", ["my_models/__pycache__/model.pyc", "my_models/.hidden/file"])
def test_caches_and_hidden_files_are_no_part_of_it(folder, file):
    before = plugins_hash(installed())
    (folder / file).parent.mkdir(exist_ok=True)
    (folder / file).write_bytes(b"x")
    (folder / "my_models" / "loop").symlink_to(folder / "my_models")
    assert plugins_hash(installed()) == before


def test_an_interrupted_run_is_not_taken_over_once_a_plugin_has_changed(folder, tmp_path):
    options = Options(models=("guess",), datasets=("squares",), rounds=1, batch_sizes=(1, 2))
    plan = make_plan(options, installed())
    first = Run(plan, tmp_path / "runs", installed())
    record = recorded(first, plan.cells[0])
    assert record.status == "ok", record.error
    assert [one.version for one in record.provenance.plugins if one.name == "my_models"] == ["2.1"]
    first.journal.close()

    again = Run(make_plan(options, installed()), tmp_path / "runs", installed())
    assert again.folder == first.folder and again.taken_over == [plan.cells[0].id]
    assert again.notes["Taken over"] == [f"1 of 2 cells, measured before this run was interrupted: {plan.cells[0].id}"]
    again.journal.close()

    (folder / "my_helpers.py").write_text("SCORE = 0.01")
    changed = measured(plan.cells[1], tmp_path)
    assert changed.status == "failed" and "a plugin, or one of its files, has changed" in changed.error
    other = Run(make_plan(options, installed()), tmp_path / "runs", installed())
    assert other.folder != first.folder and other.taken_over == [] and "Taken over" not in other.notes
    other.journal.close()


def test_what_a_model_finds_by_itself_is_hashed_as_it_holds_it(folder):
    def hashed() -> str | None:
        [cell] = make_plan(Options(models=("guess",), datasets=("squares",)), installed()).cells
        return cell.spec.weights_hash

    first = hashed()
    assert first is not None and hashed() == first
    sys.modules["my_models.deep.model"].SCORE = 0.7
    assert hashed() not in (None, first)
    [cell] = make_plan(Options(models=("works",), datasets=("squares",)), installed()).cells
    assert cell.spec.weights_hash is None  # it shows nothing


def test_a_cell_made_by_hand_asks_for_no_plugins(third_party, tmp_path):
    assert CellSpec(model="works", dataset="squares", dataset_hash="0", threads=1).plugins_hash is None
