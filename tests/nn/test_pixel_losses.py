"""The losses of pixel classification, against its definitions written out."""

import torch
import torch.nn.functional as F

from roibench.nn.pixel_losses import pixel_losses
from roibench.structures import VOID


def test_the_losses_are_those_of_the_definitions():
    scores, targets = torch.randn(2, 5, 6, 7), torch.randint(0, 4, (2, 6, 7))  # the last class is nowhere
    targets[0, :2] = VOID
    losses = pixel_losses(scores, targets)
    assert torch.allclose(losses["cross_entropy"], F.cross_entropy(scores, targets, ignore_index=VOID))
    valid, sets = targets != VOID, []
    for label in range(4):
        predicted, true = scores.softmax(1)[:, label][valid], (targets[valid] == label).float()
        sets.append(1 - 2 * (predicted * true).sum() / (predicted.sum() + true.sum()))
    assert torch.allclose(losses["dice"], torch.stack(sets).mean())
