"""What networks that name every pixel have in common: images in, maps of the images' own sizes out, and the loss."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from roibench.model import TrainableModel, stage
from roibench.nn.images import ImageBatch, batch_images
from roibench.nn.truth import VOID, batch_maps
from roibench.structures import Input, Prediction, Target
from roibench.tasks import DatasetInfo


class Segmenter(TrainableModel):
    """A backbone, whose maps a decoder turns into class scores [B, classes + 1, H, W], background first.

    stride: of the backbone's coarsest map; images are padded to multiples of it. short_side, long_side: as batch_images
    has them, in pixels.
    """

    stages = ("preprocess", "backbone", "decoder", "postprocess")

    def __init__(
        self, backbone: nn.Module, decoder: nn.Module, stride: int, short_side: int | None, long_side: int
    ) -> None:
        super().__init__()
        self.backbone = backbone
        self.decoder = decoder
        self.stride = stride
        self.short_side = short_side
        self.long_side = long_side

    @torch.inference_mode()
    def predict(self, inputs: Sequence[Input]) -> list[Prediction]:
        with stage("preprocess"):
            batch = self.batch(inputs)
        with stage("backbone"):
            features = self.backbone(batch.pixels)
        with stage("decoder"):
            scores = self.decoder(features)
        with stage("postprocess"):
            return [Prediction(semantic_map=self._map(one, batch, index)) for index, one in enumerate(scores)]

    def losses(self, inputs: Sequence[Input], targets: Sequence[Target]) -> dict[str, Tensor]:
        """Cross entropy, the mean over all pixels of the batch that have a class.

        Classes are not balanced: with three quarters of background it was found unnecessary (Long et al. 2015, 4.3).
        """
        batch = self.batch(inputs)
        scores = self.decoder(self.backbone(batch.pixels)).float()
        wanted = batch_maps(batch, targets)
        total = F.cross_entropy(scores, wanted, ignore_index=VOID, reduction="sum")
        return {"cross_entropy": total / (wanted != VOID).sum().clamp(min=1)}

    def batch(self, inputs: Sequence[Input]) -> ImageBatch:
        return batch_images(inputs, self.device, self.short_side, self.long_side, self.stride)

    @property
    def feature_layer(self) -> nn.Module:
        return self.backbone.last

    def class_scores(self, batch: ImageBatch) -> Tensor:
        """[B, classes]: a class's mean score over the pixels that are named so (Vinogradova et al. 2020, arXiv
        2002.11434), or over the whole image where none is.
        """
        scores = self.decoder(self.backbone(batch.pixels)).float()
        image = ~batch.padding(1)[:, None]
        named = (scores == scores.amax(1, keepdim=True)) & image
        region = torch.where(named.any((2, 3), keepdim=True), named, image)
        return ((scores * region).sum((2, 3)) / region.sum((2, 3)))[:, 1:]

    @staticmethod
    def _map(scores: Tensor, batch: ImageBatch, index: int) -> Tensor:
        """Scores [C, H, W] of the padded image -> its best classes, uint8, in the size of the image as given."""
        height, width = batch.sizes[index]
        scores, size = scores[:, :height, :width], batch.originals[index]
        best = scores.argmax(0).to(torch.uint8) if size == (height, width) else enlarged_argmax(scores, size)
        return best.cpu()


def check_classes(info: DatasetInfo) -> int:
    """How many classes there are. Raises ValueError where a map of bytes can't hold them beside background and void."""
    count = len(info.classes)
    if count >= VOID:
        raise ValueError(f"data set {info.name!r} has {count} classes; a semantic map holds {VOID - 1}")
    return count


def enlarged_argmax(scores: Tensor, size: tuple[int, int]) -> Tensor:
    """The best class, uint8 [*size], of scores [C, H, W] interpolated (bilinear) to a size.

    One class at a time: at a photograph's size, all of them together take gigabytes.
    """
    best = scores.new_full(size, -torch.inf)
    label = torch.zeros(size, dtype=torch.uint8, device=scores.device)
    for index, one in enumerate(scores):
        score = F.interpolate(one[None, None], size, mode="bilinear", align_corners=False)[0, 0]
        label.masked_fill_(score > best, index)
        torch.maximum(best, score, out=best)
    return label
