"""Backends: what they run is torch's network, checked, where predict calls it; what they lose is told."""

import dataclasses
import os
from contextlib import nullcontext
from pathlib import Path

import backends_plugin
import pytest
import torch
from backends_plugin import Bulb, ByHand, ForkingLamp, Lamp, Lamps
from planned_cells import recorded
from torch._dynamo.utils import counters

from roibench import sources
from roibench.backend import BackendError
from roibench.backends.onnx_export import OLDEST_TORCH
from roibench.measure.backend import hand_over, open_backend, refusal
from roibench.measure.calibration import calibration_inputs
from roibench.measure.cost import count_cost
from roibench.measure.inputs import Batches, Inputs
from roibench.measure.plan import PlanError, make_plan
from roibench.measure.record import Calibration, Failed, Ok
from roibench.measure.run import Run
from roibench.measure.timing import time_stages
from roibench.model import Wrapper
from roibench.options import Options
from roibench.registry import UnknownNameError, installed

CPU = torch.device("cpu")

exports = pytest.mark.skipif(torch.__version__ < OLDEST_TORCH, reason=f"torch exports from {OLDEST_TORCH} on")


def batches(images: int = 12, size: int = 1, split: str = "test") -> Batches:
    return Batches(Inputs(Lamps(None, split), images, ()), size)


def handed(model, backend, examples=None, **more):
    return hand_over(model.eval(), backend, examples or batches(4), nullcontext, CPU, **more)


def answers(model) -> torch.Tensor:
    return torch.stack([one.class_scores for batch in batches() for one in model.predict(batch)])


@exports
@pytest.mark.parametrize("name", ["onnx", "openvino"])
def test_a_backend_gives_what_torch_gives_on_images_of_any_size(name):
    model, expected = Lamp().eval(), answers(Lamp().eval())
    found = handed(model, open_backend(name, installed()))
    assert torch.allclose(answers(model), expected, atol=1e-5)
    with found.in_torch():
        assert torch.equal(answers(model), expected)
    record = found.record
    assert record.networks == ("maps_of", "head.last") and 0 <= record.difference < 1e-5 < record.tolerance
    assert record.calibration is None and record.version.startswith(("onnxruntime ", "openvino "))
    odd = Inputs(Lamps(None, "test"), 1, ())[0]
    odd = dataclasses.replace(odd, image=odd.image[:, :19, :27])  # a size that was never seen
    assert torch.allclose(model.predict([odd])[0].class_scores, Lamp().eval().predict([odd])[0].class_scores, atol=1e-5)


def test_what_is_compiled_is_what_was_seen_before_the_clock_started():
    """A size that comes up later runs as it is: compiling isn't timed."""
    model = Bulb()
    try:
        found = handed(model, open_backend("compile", installed()))
        compiled = counters["stats"]["unique_graphs"]
        assert compiled and found.record.networks == ("scale",)
        assert found.record.version == f"torch.compile {torch.__version__}"
        for size in (1, 3):
            for batch in batches(6, size):
                gave, expected = ([one.class_scores for one in net.predict(batch)] for net in (model, Bulb()))
                assert torch.allclose(torch.stack(gave), torch.stack(expected), atol=1e-6)
        assert counters["stats"]["unique_graphs"] == compiled
    finally:
        torch.compiler.set_stance("default")  # which is the process's


@exports
def test_int8_is_measured_and_not_checked():
    model, expected = Lamp().eval(), answers(Lamp().eval())
    told = Calibration(dataset="lamps", split="train", images=8)
    found = handed(model, open_backend("int8", installed()), calibration=(batches(8, split="train"), told))
    assert found.record.tolerance is None and found.record.calibration == told
    assert 1e-4 < found.record.difference < 0.05  # more where sums of products overflow
    assert torch.allclose(answers(model), expected, atol=0.05) and not torch.equal(answers(model), expected)


def test_a_network_is_a_stage_and_costs_what_torch_counts():
    model, plain = Lamp(), Lamp().eval()
    found = handed(model, ByHand())
    assert model.stages == ("preprocess", "maps_of", "mean", "head", "last")
    shares = {one.name: one.milliseconds for one in time_stages(model, batches(), nullcontext, CPU)}
    assert all(shares[name] > 0 for name in model.stages)
    with found.in_torch():
        assert count_cost(model, list(batches(2))) == count_cost(plain, list(batches(2)))


@exports
def test_a_network_without_a_graph_is_told_in_a_line():
    with pytest.raises(BackendError) as caught:
        handed(ForkingLamp(), open_backend("onnx", installed()))
    assert str(caught.value).startswith("maps_of can't be exported to ONNX: ") and "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"networks": ("maps_of", "gone")}, "networks: Lamp has no 'gone'"),
        ({"networks": ("losses",)}, "losses isn't called by predict on the first images"),
        ({"maps_of": lambda pixels: {"maps": [pixels[:, :1].expand(1, 8, -1, -1)], "n": 3}}, "maps_of gives int: want"),
    ],
)
def test_networks_that_are_none(changed, words):
    model = Lamp()
    vars(model).update(changed)
    with pytest.raises(BackendError, match=words):
        handed(model, ByHand())


@pytest.mark.parametrize("off", [0.5, float("nan")])
def test_a_backend_that_gives_others_is_refused(off):
    backend = ByHand()
    backend.off = off
    with pytest.raises(BackendError, match=r"maps_of gives others than in torch: by .* want 0\.001"):
        handed(Lamp(), backend)


def test_a_model_that_names_no_networks():
    assert refusal(open_backend("onnx", installed()), Bulb()).startswith("it names no networks")
    compiled = open_backend("compile", installed())
    assert refusal(compiled, Bulb()) is None
    assert refusal(compiled, Wrapper(Bulb())) == "it has no networks of its own"
    backend = ByHand()
    assert handed(Bulb(), backend).record.networks == ("scale",) and backend.settled


def test_an_extra_that_is_missing_is_named(monkeypatch):
    there = sources.importlib.util.find_spec
    monkeypatch.setattr(sources.importlib.util, "find_spec", lambda name: None if name == "onnxscript" else there(name))
    with pytest.raises(ValueError, match=r"backend onnx needs the package onnxscript.*roibench\[export\]"):
        open_backend("onnx", installed())


@pytest.fixture(scope="module")
def lamps(tmp_path_factory):
    """The registry as it is once somebody has installed backends_plugin, here and in spawned processes."""
    folder = tmp_path_factory.mktemp("installed")
    info = folder / "lamps-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: lamps\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[roibench]\nlamps = backends_plugin\n")
    with pytest.MonkeyPatch.context() as patch:
        paths = [str(folder), str(Path(backends_plugin.__file__).parent), os.environ.get("PYTHONPATH")]
        patch.setenv("PYTHONPATH", os.pathsep.join(filter(None, paths)))
        patch.syspath_prepend(folder)
        installed.cache_clear()
        yield installed()
    installed.cache_clear()


def options(*backends, **more) -> Options:
    return Options(**{"models": ("lamp",), "datasets": ("lamps",), "threads": (1,), "backends": backends} | more)


def test_each_backend_is_a_cell_and_what_cant_run_is_listed(lamps):
    models = ("lamp", "unnamed_lamp")
    plan = make_plan(options("torch", "by_hand", models=models, precisions=("float32", "bfloat16")), lamps)
    found = [(one.spec.label, one.spec.precision) for one in plan.cells]
    plain = [(name, precision) for name in models for precision in ("float32", "bfloat16")]
    assert sorted(found) == sorted([*plain, ("lamp backend=by_hand", "float32")])
    assert plan.skipped == [
        "backend by_hand: it counts in float32, not in bfloat16",
        "model 'unnamed_lamp', dataset 'lamps', backend by_hand: it names no networks (roibench.model.Exportable)",
    ]
    with pytest.raises(UnknownNameError, match="--backend onxx: no backend matches 'onxx'; did you mean 'onnx'"):
        make_plan(options("onxx"), lamps)
    with pytest.raises(PlanError, match="it names no networks"):
        make_plan(options("by_hand", models=("unnamed_lamp",)), lamps)


def test_a_run_measures_them_in_turns_and_one_that_fails_leaves_the_others(lamps, tmp_path):
    plan = make_plan(options("torch", "by_hand", models=("lamp", "forking_lamp")), lamps)
    run = Run(plan, tmp_path, lamps)
    records = {one.cell.label: one for one in run.measure(plan.cells, lambda _: None)}
    run.finish()
    failed = records.pop("forking_lamp backend=by_hand")
    assert isinstance(failed, Failed)
    assert failed.error == "BackendError: maps_of has no graph (while handing its networks to by_hand)"
    assert set(records) == {"lamp", "lamp backend=by_hand", "forking_lamp"}
    assert all(isinstance(one, Ok) for one in records.values())
    assert len({one.latency.turns.run for one in records.values()}) == 1
    assert records["lamp"].backend is None and records["lamp"].cell.backend == "torch"
    by_hand = records["lamp backend=by_hand"]
    assert by_hand.backend.calibration == Calibration(dataset="lamps", split="train", images=12)
    assert by_hand.cell_id.startswith("lamp-by_hand-lamps-cpu-float32-")
    assert by_hand.cost == records["lamp"].cost and by_hand.cost.flops


def test_it_is_calibrated_on_another_split_than_is_scored(lamps, tmp_path):
    plan = make_plan(options("by_hand", datasets=("lamps@train",)), lamps)
    run = Run(plan, tmp_path, lamps)
    assert recorded(run, plan.cells[0]).backend.calibration.split == "test"
    run.finish()
    spec = plan.cells[0].spec.model_copy(update={"dataset": "lamps@test"})
    only = Lamps(None, "test")
    only.hash = Lamps(None, "train").hash
    with pytest.raises(BackendError, match=r"want another split of lamps@test than 'test' .* has the same images"):
        calibration_inputs(spec, only, (), lamps)
