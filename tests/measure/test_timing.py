"""Clocks and summaries, on models whose times are known."""

import time
from contextlib import nullcontext

import pytest
import torch

from roibench.measure.cost import count_cost, memory_now, memory_peak
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
    assert all(0.006 <= seconds < 0.05 for seconds in timed.seconds)


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


def test_percentiles_are_per_image_and_over_all_rounds():
    rounds = [Timed([], [0.010, 0.020], [1, 2]), Timed([], [0.030, 0.040], [1, 2])]
    latency = summarise(rounds)
    assert latency.samples == [10, 10, 30, 20]
    assert latency.p50.value == 15 and latency.mean == 17.5
    assert latency.throughput == pytest.approx(6 / 0.1)


def test_the_interval_of_the_median_spans_images_that_differ():
    latency = summarise([Timed([], [0.010, 0.020, 0.030], [1, 1, 1])])
    assert (latency.p50.low, latency.p50.value, latency.p50.high) == (10, 20, 30)


def test_the_interval_of_the_median_spans_rounds_between_which_the_machine_slowed_down():
    latency = summarise([Timed([], [seconds] * 50, [1] * 50) for seconds in (0.010, 0.020, 0.030)])
    assert (latency.p50.low, latency.p50.value, latency.p50.high) == (10, 20, 30)


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


def test_peak_memory_sees_what_was_freed():
    before = memory_now(CPU)
    del_me = torch.ones(64 * 2**20 // 4)
    del del_me
    assert memory_peak(CPU) >= before + 60
