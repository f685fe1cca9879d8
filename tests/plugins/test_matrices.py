"""The picture of matrices, and the examples beside it."""

import doctest
from pathlib import Path

from roibench.plugins.segmentation.matrices import picture

PAGE = Path(__file__).parents[2] / "docs" / "upsampling.md"


def test_the_examples_on_the_page_are_what_comes_out():
    found = doctest.testfile(str(PAGE), module_relative=False)
    assert found.attempted >= 8 and found.failed == 0


def test_the_picture_has_a_panel_for_each_matrix_and_kernel():
    assert len(picture().axes) == 6
