"""DeiT (Touvron et al. 2021, arXiv 2012.12877): a ViT that learns from a teacher, too, by a token of its own.

A distillation token stands beside the class token, attends and is attended to like it, and has a head of its own, whose
label is what the teacher calls the image as it was augmented (hard-label distillation, section 4). The teacher is a
convolutional network; what it knows of neighbourhoods reaches the student by those labels alone. To predict, the
teacher isn't needed: the probabilities of both heads are averaged.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from roibench.dataset import Dataset, DatasetInfo
from roibench.model import Trainer
from roibench.nn.classification import image_labels
from roibench.plugins.transformer.vit import Config, ViT
from roibench.structures import Input, Prediction, Target


class DeiT(ViT):
    """teacher: its predict, while it teaches. Without one both tokens learn the true labels: the two class tokens with
    which section 4 compares.
    """

    leading = 2
    teacher: Callable[[Sequence[Input]], list[Prediction]] | None = None

    def __init__(self, classes: int, config: Config) -> None:
        super().__init__(classes, config)
        self.distillation_token = nn.Parameter(torch.randn(config.dim) * 0.02)
        self.distillation_head = nn.Linear(config.dim, classes)

    def fit(self, data: Dataset, trainer: Trainer) -> None:
        self.teacher = trainer.teacher and trainer.teacher.predict
        try:
            super().fit(data, trainer)
        finally:
            self.teacher = None

    def losses(self, inputs: Sequence[Input], targets: Sequence[Target]) -> dict[str, Tensor]:
        """Equation 3."""
        batch = self.batch(inputs)
        tokens = self.encode(self.tokens(batch.pixels), self.padding_bias(batch))
        labels = image_labels(targets, self.device)
        taught = labels if self.teacher is None else self._taught(inputs)
        return {
            "class": F.cross_entropy(super().logits(tokens), labels) / 2,
            "distillation": F.cross_entropy(self.distillation_logits(tokens), taught) / 2,
        }

    def leading_tokens(self) -> Tensor:
        return torch.stack([self.class_token, self.distillation_token])

    def logits(self, tokens: Tensor) -> Tensor:
        """Their softmax is the mean of both heads' probabilities, but for a constant that it doesn't see."""
        heads = super().logits(tokens), self.distillation_logits(tokens)
        return torch.logaddexp(*(one.log_softmax(1) for one in heads))

    def distillation_logits(self, tokens: Tensor) -> Tensor:
        """As `logits`, of the distillation token's head alone."""
        return self.distillation_head(tokens[:, 1]).float()

    def _taught(self, inputs: Sequence[Input]) -> Tensor:
        """The teacher's classes, int64 [B]."""
        return torch.tensor([int(one.class_scores.argmax()) for one in self.teacher(inputs)], device=self.device)


def build(info: DatasetInfo, config: Mapping[str, Any]) -> DeiT:
    return DeiT(len(info.classes), Config(**config))
