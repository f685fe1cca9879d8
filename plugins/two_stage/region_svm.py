"""What R-CNN and SPPnet share (Girshick et al. 2014, arXiv 1311.2524; He et al. 2014, arXiv 1406.4729): three trainings
that know nothing of each other.

The network is fine-tuned as a classifier of regions. Its softmax is then thrown away: a linear SVM per class, trained
with hard negatives, scores what the last hidden layer says of a region, and a ridge regression per class refines the
box by what the convolutions say of it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from roibench import ops
from roibench.dataset import Dataset
from roibench.model import Trainer, listening, stage
from roibench.nn.images import ImageBatch
from roibench.nn.targets import batch_boxes
from roibench.plugins.two_stage.linear_svm import Floats, hard_negative_svm
from roibench.plugins.two_stage.proposed import SearchedConfig, SearchedDetector, WithProposals
from roibench.plugins.two_stage.second_stage import BOX_CODER, detect, hidden_layers, sample_regions
from roibench.structures import Input, Prediction, Sample, Target


@dataclass(frozen=True)
class RegionSVMConfig(SearchedConfig):
    """Hyperparameters; the network is fine-tuned on training_images."""

    svm_images: int = 500  # of the SVMs and the regression
    svm_c: float = 1e-3
    svm_negative_iou: float = 0.3  # regions that overlap a class's objects by less are no such object
    feature_norm: float = 20.0  # features are scaled to it on average, as C and the regression's alpha expect
    ridge_alpha: float = 1000.0
    ridge_iou: float = 0.6  # regions that overlap an object by as much learn to become its box


class Examples(NamedTuple):
    """Regions of images: N of them, P of which are near enough to an object to learn its box.

    hidden: what the last hidden layer says of each [N, H].
    overlaps: IoU with the objects of each class, the largest [N, C].
    labels: of those that are objects' own boxes; -1 for proposals [N].
    pooled: what the convolutions say of the near ones [P, F].
    near: their objects' labels [P].
    deltas: to their objects [P, 4].
    """

    hidden: Tensor
    overlaps: Tensor
    labels: Tensor
    pooled: Tensor
    near: Tensor
    deltas: Tensor


class RegionSVM(SearchedDetector):
    """A subclass brings `pool`, and its stages stand between selective_search and hidden.

    features: of a region, that `pool` gives.
    """

    def __init__(self, features: int, classes: int, config: RegionSVMConfig) -> None:
        super().__init__(config)
        self.hidden = hidden_layers(features, config.hidden)
        self.logits = nn.Linear(config.hidden, classes + 1)
        nn.init.normal_(self.logits.weight, std=0.01)
        nn.init.zeros_(self.logits.bias)
        # Learned, but not by gradients.
        for name, inputs, outputs in (("svm", config.hidden, classes), ("ridge", features, 4 * classes)):
            self.register_buffer(f"{name}_weight", torch.zeros(outputs, inputs))
            self.register_buffer(f"{name}_bias", torch.zeros(outputs))

    def pool(self, batch: ImageBatch, boxes: Sequence[Tensor]) -> Tensor:
        """Boxes [K_i, 4] per image, in pixels of the batch -> what convolutions say of each: [sum K_i, features]."""
        raise NotImplementedError(f"{type(self).__name__} must implement pool(batch, boxes)")

    @torch.inference_mode()
    def predict(self, inputs: Sequence[Input]) -> list[Prediction]:
        with stage("preprocess"):
            batch = self.batch(inputs)
        with stage("selective_search"):
            proposals = self.propose(inputs, batch)
        pooled = self.pool(batch, proposals)
        with stage("hidden"):
            hidden = self.hidden(pooled)
        with stage("svm"):
            margins = F.linear(hidden.float(), self.svm_weight, self.svm_bias)
        with stage("ridge"):
            deltas = F.linear(pooled.float(), self.ridge_weight, self.ridge_bias).unflatten(1, (-1, 4))
        with stage("postprocess"):
            return detect(margins.sigmoid(), deltas, proposals, batch, self.config)

    def losses(self, inputs: Sequence[Input], targets: Sequence[Target]) -> dict[str, Tensor]:
        """Of the fine-tuning: log loss of regions' classes."""
        batch = self.batch(inputs)
        regions = sample_regions(self.proposed(inputs, targets, batch), batch_boxes(batch, targets), self.config)
        logits = self.logits(self.hidden(self.pool(batch, regions.boxes)))
        return {"class": F.cross_entropy(logits.float(), regions.classes)}

    def fit(self, data: Dataset, trainer: Trainer) -> None:
        regions = WithProposals(data, self.search, self.config.training_images)
        trainer.fit(self, regions)
        parts = [self.examples(regions[index]) for index in range(min(self.config.svm_images, regions.images))]
        examples = Examples(*map(torch.cat, zip(*parts, strict=True)))
        self.fit_svms(examples)
        self.fit_ridge(examples)

    @torch.inference_mode()
    def examples(self, sample: Sample) -> Examples:
        batch = self.batch([sample.input])
        [proposals] = self.proposed([sample.input], [sample.target], batch)
        [(boxes, labels, ignored)] = batch_boxes(batch, [sample.target])
        if ignored is not None:  # what overlaps them is neither an object nor none
            near = (ops.box_iou(proposals, boxes[ignored]) >= self.config.svm_negative_iou).any(1)
            proposals, boxes, labels = proposals[~near], boxes[~ignored], labels[~ignored]
        regions = torch.cat([proposals, boxes])
        with listening(None):
            pooled = self.pool(batch, [regions])
        iou = ops.box_iou(regions, boxes)
        of_class = F.one_hot(labels, len(self.svm_bias)).bool()
        overlaps = (
            torch.where(of_class, iou[:, :, None], 0).amax(1)
            if len(boxes)
            else iou.new_zeros(len(iou), len(self.svm_bias))
        )
        best, index = iou.max(1) if len(boxes) else (iou.new_zeros(len(iou)), labels.new_zeros(len(iou)))
        near = torch.where(best >= self.config.ridge_iou)[0]
        examples = Examples(
            hidden=self.hidden(pooled).float(),
            overlaps=overlaps,
            labels=torch.cat([labels.new_full((len(proposals),), -1), labels]),
            pooled=pooled[near].float(),
            near=labels[index[near]],
            deltas=BOX_CODER.encode(boxes[index[near]], regions[near]),
        )
        return Examples(*(one.cpu() for one in examples))

    def fit_svms(self, examples: Examples) -> None:
        """Positives are the objects' own boxes, negatives what overlaps none of the class's by svm_negative_iou."""
        hidden = examples.hidden.numpy()
        scale = self._scale(hidden)
        for label in range(len(self.svm_bias)):
            positive = examples.labels == label
            negative = examples.overlaps[:, label] < self.config.svm_negative_iou
            weight, bias = hard_negative_svm(hidden[positive] * scale, hidden[negative] * scale, self.config.svm_c)
            self.svm_weight[label] = torch.from_numpy(weight * scale)
            self.svm_bias[label] = bias

    def fit_ridge(self, examples: Examples) -> None:
        from sklearn.linear_model import Ridge

        scale = self._scale(examples.pooled.numpy()) if len(examples.near) else 1.0
        weights, biases = self.ridge_weight.unflatten(0, (-1, 4)), self.ridge_bias.unflatten(0, (-1, 4))
        for label in examples.near.unique().tolist():
            own = examples.near == label
            ridge = Ridge(self.config.ridge_alpha).fit(
                examples.pooled[own].numpy() * scale, examples.deltas[own].numpy()
            )
            weights[label] = torch.from_numpy(ridge.coef_ * scale)
            biases[label] = torch.from_numpy(ridge.intercept_)

    def _scale(self, features: Floats) -> float:
        return self.config.feature_norm / max(float(np.linalg.norm(features, axis=1).mean()), 1e-6)
