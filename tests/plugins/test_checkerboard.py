"""The study of checkerboards, on layers and untrained segmenters."""

import pytest
import torch

from roibench.assemble import build_model
from roibench.datasets.reference import open_dataset
from roibench.plugins.segmentation.checkerboard import KERNELS, equal, initialised, measure, picture, table
from roibench.registry import installed


def test_with_equal_weights_only_3x3_leaves_a_board():
    shares = {way: measure([equal(way)]).outputs.item() for way in KERNELS}
    # Outputs get 1, 2, 2 or 4 of the 9 weights: squares of 6.25 in the mean, a variance of 6.25 - 2.25 ** 2.
    assert shares == pytest.approx({"transposed_3x3": 1.1875 / 6.25, **dict.fromkeys(KERNELS[1:], 0)}, abs=1e-6)


@pytest.mark.parametrize("way", KERNELS)
def test_gradients_of_the_convolution_show_what_the_transposed_one_makes(way):
    found = measure(initialised(way)[:3])
    assert torch.allclose(found.outputs, found.gradients, atol=1e-5) and found.outputs.std() > 0


def test_the_table_has_a_row_for_each_kind_of_weights():
    registry = installed()
    info = open_dataset("scenes", registry, split="val").info
    models = {
        way: build_model(registry.models[f"upsampling_{way}"], info).eval() for way in ("transposed_3x3", "nearest")
    }
    page = table(registry, models, images=1)
    for words in ("| 3x3/s2 | equal | 19.0", "| 3x3/s2 | learned, 4 layers |", "| nearest | ", "equal: held"):
        assert words in page
    assert "| 2x2/s2 | learned" not in page
    assert len(picture(registry, models).axes) == 12
