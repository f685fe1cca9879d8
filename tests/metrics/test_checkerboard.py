"""The checkerboard's share of a map."""

import pytest
import torch

from roibench.metrics.checkerboard import checkerboard


def test_a_board_of_0_and_1_has_half_of_its_energy_in_the_board():
    board = torch.tensor([[0.0, 1.0], [1.0, 0.0]]).repeat(5, 7)
    assert checkerboard(board, 2) == pytest.approx(0.5)
    assert checkerboard(board + 1, 2) == pytest.approx(0.25 / 2.5)
    assert checkerboard(board, 4) == pytest.approx(0.5), "what repeats every 2 pixels does so every 4"


def test_what_does_not_repeat_with_the_period_is_none():
    assert checkerboard(torch.ones(3, 8, 8), 2).tolist() == [0, 0, 0] == checkerboard(torch.zeros(3, 8, 8), 2).tolist()
    board = torch.tensor([[0.0, 1.0], [1.0, 0.0]]).repeat(9, 9)
    assert checkerboard(board, 3) == pytest.approx(0, abs=1e-3)
    ramp = torch.linspace(0, 1, 64)[:, None].expand(64, 64)
    assert checkerboard(ramp, 2) < 1e-3


def test_it_is_the_energy_at_the_strides_frequencies():
    maps = torch.randn(4, 12, 18, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    power = torch.fft.fft2(maps).abs() ** 2
    at_stride = power[:, ::4, ::6].sum((1, 2)) - power[:, 0, 0]
    assert torch.allclose(checkerboard(maps, 3), at_stride / power.sum((1, 2)))


def test_only_whole_tiles_count():
    board = torch.tensor([[0.0, 1.0], [1.0, 0.0]]).repeat(3, 3)
    ragged = torch.nn.functional.pad(board, (0, 1, 0, 1), value=100.0)
    assert checkerboard(ragged, 2) == pytest.approx(0.5)


@pytest.mark.parametrize(("period", "side"), [(1, 8), (9, 8)])
def test_a_period_that_can_not_be_is_refused(period, side):
    with pytest.raises(ValueError, match=f"period {period} of maps of 8 x {side}"):
        checkerboard(torch.zeros(8, side), period)
