"""What the locations of a feature map show."""

import pytest
import torch
import torch.nn.functional as F

from roibench.nn.images import batch_images
from roibench.plugins.transformer.dense_labels import dense_labels, dense_loss
from roibench.structures import VOID, Input, Target

CPU = torch.device("cpu")


def batch_of(*sizes):
    inputs = [Input("", torch.zeros(3, *size, dtype=torch.uint8)) for size in sizes]
    return batch_images(inputs, CPU, None, 1000, 8)


def test_shares_are_counted_pixels():
    torch.manual_seed(0)
    maps = [torch.randint(0, 4, (16, 24), dtype=torch.uint8), torch.randint(0, 4, (9, 20), dtype=torch.uint8)]
    maps[0][:3, :5] = VOID
    labels = dense_labels(batch_of((16, 24), (9, 20)), [Target(semantic_map=one) for one in maps], 3, 8)
    assert labels.shape == (2, 4, 2, 3)
    for image, one in enumerate(maps):
        for value in range(4):
            for row in range(2):
                for column in range(3):
                    pixels = one[8 * row : 8 * row + 8, 8 * column : 8 * column + 8]
                    expected = int((pixels == value).sum()) / 64
                    assert labels[image, value, row, column].item() == pytest.approx(expected)


def test_a_resized_image_takes_its_map_along():
    small = torch.zeros(8, 16, dtype=torch.uint8)
    small[:, 8:] = 2
    batch = batch_images([Input("", torch.zeros(3, 8, 16, dtype=torch.uint8))], CPU, 32, 32, 32)
    labels = dense_labels(batch, [Target(semantic_map=small)], 2, 8)
    assert labels[0, 0].tolist() == [[1, 1, 0, 0]] * 2 + [[0] * 4] * 2
    assert labels[0, 2].tolist() == [[0, 0, 1, 1]] * 2 + [[0] * 4] * 2


def test_the_loss_is_cross_entropy_where_something_is_known():
    torch.manual_seed(0)
    one = torch.randint(0, 3, (4, 4), dtype=torch.uint8)
    one[2:] = VOID
    labels = dense_labels(batch_of((4, 4)), [Target(semantic_map=one)], 2, 1)
    logits = torch.randn_like(labels)
    target = one.long().masked_fill(one == VOID, -100)[None]
    assert torch.allclose(dense_loss(logits, labels), F.cross_entropy(logits[:, :, :4, :4], target))
    assert dense_loss(logits, torch.zeros_like(labels)) == 0


def test_without_a_map_there_is_nothing_to_learn():
    assert dense_labels(batch_of((8, 8), (8, 8)), [Target(semantic_map=torch.zeros(8, 8)), Target()], 2, 8) is None
