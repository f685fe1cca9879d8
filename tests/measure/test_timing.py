"""Clocks and summaries, on models whose times are known."""

import mmap
import time
from contextlib import nullcontext
from pathlib import Path

import pytest
import torch

from roibench.measure.cost import count_cost, peak_memory
from roibench.measure.record import Turns
from roibench.measure.timing import UNMARKED, Timed, summarise, time_predictions, time_stages
from roibench.model import stage
from roibench.structures import Input, Prediction

CPU = torch.device("cpu")
INPUTS = [[Input(str(i), None) for i in range(2)] for _ in range(3)]


class Sleeper:
    """Spends about 4 ms in `outer`, of which 3 in `inner`, and 2 ms outside both."""

    stages = ("outer", "inner")

    def predict(self, inputs):
        time.sleep(0.002)
        with stage("outer"):
            time.sleep(0.001)
            with stage("inner"):
                time.sleep(0.003)
        return [Prediction() for _ in inputs]


def test_the_clock_stands_while_images_are_decoded():
    def slowly_decoded():
        for batch in INPUTS:
            time.sleep(0.05)
            yield batch

    timed = time_predictions(Sleeper(), slowly_decoded(), nullcontext)
    assert timed.counts == [2, 2, 2] and len(timed.predictions) == 6
    assert all(seconds >= 0.006 for seconds in timed.seconds) and min(timed.seconds) < 0.05


def test_the_precision_holds_around_every_call():
    seen = []

    class Asks:
        stages = ()

        def predict(self, inputs):
            seen.append(torch.is_autocast_enabled("cpu"))
            return [Prediction() for _ in inputs]

    time_predictions(Asks(), INPUTS, lambda: torch.autocast("cpu", torch.bfloat16))
    assert seen == [True] * 3


@pytest.mark.parametrize(
    ("again", "repeats"),
    [
        ([1.0, 2.0, 3.0], True),
        ([1.0, 2.0, 4.0], False),
        ([1.5, 2.0, 3.0], False),
        ([1.0, torch.tensor([]), 3.0], False),
        ([1.0, None, 3.0], False),
    ],
)
def test_a_repeated_pass_is_held_against_the_first_and_keeps_no_predictions(again, repeats):
    class Says:
        stages = ()

        def __init__(self, scores):
            self.scores = iter(scores)

        def predict(self, inputs):
            score = next(self.scores)
            given = None if score is None else torch.as_tensor(score)
            return [Prediction(), Prediction(scores=given, extra={"words": ("a",)})]

    first = time_predictions(Says([1.0, 2.0, 3.0]), INPUTS, nullcontext)
    second = time_predictions(Says(again), INPUTS, nullcontext, first)
    assert len(first.predictions) == 6 and second.predictions == []
    assert second.repeats == repeats and first.repeats


def turns_of(timed):
    medians = tuple(one.median for one in timed)
    return Turns(run="r", group=0, medians=medians, reference_cell=None, reference=(), noise_floor=None)


def test_percentiles_are_per_image_and_over_all_turns():
    timed = [Timed([], [0.010, 0.020], [0.02, 0.04], [1, 2]), Timed([], [0.030, 0.040], [0.06, 0.06], [1, 2])]
    latency = summarise(timed, turns_of(timed))
    assert latency.samples == [10, 10, 30, 20]
    assert latency.p50.value == 15 and latency.mean == 17.5
    assert latency.throughput == pytest.approx(6 / 0.1) and latency.cpu == pytest.approx(180 / 6)


def test_the_interval_of_the_median_spans_turns_between_which_the_machine_slowed_down():
    steady = [Timed([], [0.01] * 5, [0.01] * 5, [1] * 5) for _ in range(20)]
    slower = [Timed([], [0.01 * 1.02**turn] * 5, [0.01] * 5, [1] * 5) for turn in range(20)]
    quiet, slowing = (summarise(timed, turns_of(timed)).p50 for timed in (steady, slower))
    assert (quiet.low, quiet.high) == pytest.approx((10, 10))
    assert slowing.low < 10.5 and slowing.high > 13


def test_processor_time_is_of_all_threads_and_of_the_calls_alone():
    def burn() -> None:
        end = time.thread_time() + 0.02
        while time.thread_time() < end:
            pass

    class Burns:
        stages = ()

        def predict(self, inputs):
            burn()
            return [Prediction() for _ in inputs]

    def batches():
        for batch in INPUTS:
            burn()
            yield batch

    timed = time_predictions(Burns(), batches(), nullcontext)
    assert all(0.019 < seconds < 0.035 for seconds in timed.cpu_seconds)


def test_an_inner_stage_counts_for_itself_alone_and_nothing_is_lost():
    stages = {one.name: one for one in time_stages(Sleeper(), INPUTS, nullcontext, CPU)}
    assert list(stages) == ["outer", "inner", UNMARKED]
    assert stages["inner"].share > stages["outer"].share
    assert sum(one.share for one in stages.values()) == pytest.approx(1)
    assert stages["inner"].milliseconds >= 1.5  # 3 ms for two images


def test_flops_are_the_hand_count():
    class Multiplies(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.conv = torch.nn.Conv2d(3, 8, 3, padding=1)
            self.attention = torch.nn.MultiheadAttention(8, 2, batch_first=True)

        @torch.inference_mode()
        def predict(self, inputs):
            maps = self.conv(torch.zeros(len(inputs), 3, 10, 12))
            tokens = maps.flatten(2).transpose(1, 2)
            self.attention(tokens, tokens, tokens)
            return [Prediction() for _ in inputs]

    model = Multiplies().eval()
    cost = count_cost(model, INPUTS)
    tokens, width = 10 * 12, 8
    convolution = 2 * tokens * 8 * 3 * 9
    projections = 2 * tokens * width * (3 * width + width)
    attention = 2 * (2 * tokens * tokens * width)
    assert cost.flops == convolution + projections + attention
    assert cost.counted_images == 6
    assert cost.parameters == sum(p.numel() for p in model.parameters())
    assert torch.backends.mha.get_fastpath_enabled()


@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="the peak can't be reset here")
def test_peak_memory_is_the_blocks_own_and_sees_what_was_freed():
    before = torch.ones(128 * 2**20 // 4)
    del before
    with peak_memory(CPU) as memory:
        held = torch.ones(64 * 2**20 // 4)
        del held
    assert 60 < memory.found.taken < 100


@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="the peak can't be reset here")
def test_peak_memory_leaves_out_pages_of_files(tmp_path):
    file = tmp_path / "library"
    file.write_bytes(bytes(64 * 2**20))
    with peak_memory(CPU) as memory, file.open("rb") as opened:
        mapped = mmap.mmap(opened.fileno(), 0, prot=mmap.PROT_READ)
        assert sum(mapped[:: mmap.PAGESIZE]) == 0
    assert memory.found.taken < 10


def test_parameters_are_the_trainable_ones():
    model = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 1), torch.nn.BatchNorm2d(4))
    model.predict = lambda inputs: [model(torch.zeros(1, 3, 2, 2)) for _ in inputs]
    assert count_cost(model.eval(), INPUTS).parameters == 3 * 4 + 4 + 4 + 4
