"""The one map of detectors of points. Feature pyramids stand in test_boxes.py."""

import pytest
import torch

from roibench.nn.pyramid import FinestMap


@pytest.mark.parametrize("size", [(16, 24), (4, 4)])
def test_it_has_the_finest_maps_size_and_sees_all_of_them(size):
    torch.manual_seed(0)
    neck = FinestMap((4, 6, 8), 5).eval()
    maps = [
        torch.randn(2, channels, size[0] >> level, size[1] >> level, requires_grad=True)
        for level, channels in enumerate((4, 6, 8))
    ]
    found = neck(maps)
    assert found.shape == (2, 5, *size) and found.min() == 0
    gradients = torch.autograd.grad(found.square().sum(), maps)
    assert all(one.abs().sum() > 0 for one in gradients)


def test_a_coarse_location_reaches_what_lies_around_it():
    torch.manual_seed(0)
    neck = FinestMap((4, 4), 3).eval()
    fine, coarse = torch.zeros(1, 4, 16, 16), torch.zeros(1, 4, 8, 8)
    marked = coarse.clone()
    marked[..., 4, 4] = 5
    changed = (neck([fine, marked]) != neck([fine, coarse])).any(1)[0].nonzero()
    assert changed.min(0).values.tolist() >= [4, 4] and changed.max(0).values.tolist() <= [14, 14]
    assert len(changed) > 20
