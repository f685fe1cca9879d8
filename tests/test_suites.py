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

    contest = accelerated(run)
    contest.floor()  # records
    recorded = results.pop()
    for side in (contest.ours, contest.peer, contest.floor, contest.floor, contest.peer):
        side()
        for got, expected in zip(results.pop(), recorded, strict=True):
            torch.testing.assert_close(got, expected)
    feature += 1  # only operators that are run take notice
    contest.floor()
    assert torch.equal(results[-1][0], recorded[0])
    contest.peer()
    assert not torch.equal(results[-1][0], recorded[0])


@pytest.fixture(scope="module")
def stages():
    with torch.inference_mode():
        return Stages()


@torch.inference_mode()
def test_stages_do_the_same_work(stages):
    batch, (peer, _) = (call() for call in (stages.preprocess().ours, stages.preprocess().peer))
    torch.testing.assert_close(batch.pixels, peer.tensors[..., :400, :400], atol=1e-4, rtol=0)
    ours, peer = (call() for call in (stages.proposals().ours, stages.proposals().peer))
    assert len(ours[0]) == len(peer[0])
    ours, peer = (call() for call in (stages.pooling().ours, stages.pooling().peer))
    assert ours.shape == peer.shape
    ours, peer = (call() for call in (stages.postprocess().ours, stages.postprocess().peer))
    assert len(ours[0].boxes) == len(peer[0]["boxes"]) > 0
    torch.testing.assert_close(ours[0].boxes, peer[0]["boxes"], atol=1e-3, rtol=0)
