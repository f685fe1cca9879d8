"""Regions that selective search proposes, for detectors that don't find any themselves (Girshick et al. 2014, arXiv
1311.2524): a stage of predict, and a fixed set of images in training, whose proposals are found once.
"""

import dataclasses
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from roibench.cache import cache_root, load, save
from roibench.dataset import Dataset
from roibench.model import TrainableModel, listening
from roibench.nn.augment import mirror
from roibench.nn.backbones import BackboneConfig, build_backbone
from roibench.nn.images import ImageBatch, batch_images
from roibench.plugins.proposals.selective_search import Config, SelectiveSearch
from roibench.plugins.two_stage.second_stage import SecondStageConfig
from roibench.structures import Input, Sample, Target

PROPOSALS = "proposals"  # the field of a target that has them


@dataclass(frozen=True)
class SearchedConfig(SecondStageConfig, BackboneConfig):
    """Lengths are pixels.

    short_side, long_side: images are resized to the one, and are no longer than the other.
    proposals: per image, that predict looks at, at most.
    training_images: that the network learns from.
    """

    short_side: int | None = None
    long_side: int = 1000
    proposals: int = 2000
    training_images: int = 2000


class SearchedDetector(TrainableModel):
    def __init__(self, config: SearchedConfig) -> None:
        super().__init__()
        self.config = config
        self.search = SelectiveSearch(Config())
        self.backbone = build_backbone(config)

    def initialize(self) -> None:
        self.backbone.load_pretrained()

    def batch(self, inputs: Sequence[Input]) -> ImageBatch:
        config = self.config
        return batch_images(inputs, self.device, config.short_side, config.long_side, self.backbone.strides[-1])

    def propose(self, inputs: Sequence[Input], batch: ImageBatch) -> list[Tensor]:
        """Per image, xyxy boxes [<= proposals, 4] in pixels of the batch, best first."""
        with listening(None):
            found = [one.boxes[: self.config.proposals] for one in self.search.predict(inputs)]
        return [batch.to_batch(index, boxes.to(self.device)) for index, boxes in enumerate(found)]

    def proposed(self, inputs: Sequence[Input], targets: Sequence[Target], batch: ImageBatch) -> list[Tensor]:
        """The same for training: all proposals, those that the targets have where they have some."""
        found = []
        for index, (one, target) in enumerate(zip(inputs, targets, strict=True)):
            boxes = target.extra.get(PROPOSALS)
            if boxes is None:
                boxes = self.search.propose(one.image.cpu()).boxes
            found.append(batch.to_batch(index, boxes.to(self.device)))
        return found


class WithProposals:
    """A dataset's first images and, after them, the same mirrored, with proposals in Target.extra.

    What has been found is kept on disk, so that models, and trainings that are repeated, share it.
    """

    unbounded = False

    def __init__(self, data: Dataset, search: SelectiveSearch, images: int) -> None:
        self.data, self.search, self.images = data, search, min(images, len(data))
        self.info = data.info
        found_by = f"{data.hash} {search.version} {search.config}"
        self.folder = cache_root() / "proposals" / hashlib.sha256(found_by.encode()).hexdigest()
        self.hash = hashlib.sha256(f"{found_by} {self.images}".encode()).hexdigest()

    def __len__(self) -> int:
        return 2 * self.images

    def __getitem__(self, index: int) -> Sample:
        if not 0 <= index < len(self):
            raise IndexError(index)
        sample = self.data[index % self.images]
        boxes = self.find(sample.input)
        if index >= self.images:
            sample = mirror(sample, self.info.joints)
            width = sample.input.image.shape[2]
            boxes = torch.stack([width - boxes[:, 2], boxes[:, 1], width - boxes[:, 0], boxes[:, 3]], 1)
        return Sample(sample.input, dataclasses.replace(sample.target, extra={PROPOSALS: boxes}))

    def find(self, one: Input) -> Tensor:
        """The proposals of an image as it is: float32 xyxy [K, 4]."""
        file = self.folder / hashlib.sha256(one.id.encode()).hexdigest()
        content = load(file)
        if content is None:
            content = memoryview(bytearray(self.search.propose(one.image).boxes.numpy().tobytes()))
            save(file, bytes(content), "proposals")
        return torch.frombuffer(content, dtype=torch.float32).reshape(-1, 4)
