"""The benchmarks' own parts: what takes turns must do the same work."""

import pytest
import torch
import torchvision

from roibench.suites.end_to_end import accelerated
from roibench.suites.stages import Stages


def test_operators_that_cost_nothing_give_what_was_recorded():
    feature, rois = torch.randn(1, 4, 9, 9), torch.tensor([[0.0, 1, 1, 7, 6], [0.0, 2, 0, 5, 8]])
    results = []

    def run() -> None:
        learned = feature.clone().requires_grad_()
        pooled = [torchvision.ops.roi_align(learned, rois, size) for size in (2, 3)]
        sum(one.square().sum() for one in pooled).backward()
        keep = torchvision.ops.nms(rois[:, 1:], rois[:, 1], 0.5)
        results.append([*(one.detach() for one in pooled), learned.grad, keep])

    case = accelerated(run)
    case.lower_bound()  # records
    recorded = results.pop()
    for side in (case.ours, case.baseline, case.lower_bound, case.lower_bound, case.baseline):
        side()
        for got, expected in zip(results.pop(), recorded, strict=True):
            torch.testing.assert_close(got, expected)
    feature += 1  # only operators that are run take notice
    case.lower_bound()
    assert torch.equal(results[-1][0], recorded[0])
    case.baseline()
    assert not torch.equal(results[-1][0], recorded[0])


@pytest.fixture(scope="module")
def stages():
    with torch.inference_mode():
        return Stages()


@torch.inference_mode()
def test_stages_do_the_same_work(stages):
    batch, (baseline, _) = (call() for call in (stages.preprocess().ours, stages.preprocess().baseline))
    torch.testing.assert_close(batch.pixels, baseline.tensors[..., :400, :400], atol=1e-4, rtol=0)
    ours, baseline = (call() for call in (stages.proposals().ours, stages.proposals().baseline))
    assert len(ours[0]) == len(baseline[0])
    ours, baseline = (call() for call in (stages.pooling().ours, stages.pooling().baseline))
    assert ours.shape == baseline.shape
    ours, baseline = (call() for call in (stages.postprocess().ours, stages.postprocess().baseline))
    assert len(ours[0].boxes) == len(baseline[0]["boxes"]) > 0
    torch.testing.assert_close(ours[0].boxes, baseline[0]["boxes"], atol=1e-3, rtol=0)
