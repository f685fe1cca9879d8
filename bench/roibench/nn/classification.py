"""What classifiers of whole images share: their labels, and what they predict."""

from collections.abc import Sequence

import torch
from torch import Tensor

from roibench.structures import Prediction, Target


def image_labels(targets: Sequence[Target], device: torch.device) -> Tensor:
    """int64 [B]."""
    return torch.tensor([target.image_label for target in targets], device=device)


def class_predictions(logits: Tensor) -> list[Prediction]:
    """Logits [B, C] -> predictions whose class_scores are probabilities."""
    return [Prediction(class_scores=scores) for scores in logits.float().softmax(1).cpu()]
