"""Mask R-CNN (He et al. 2017, arXiv 1703.06870): Faster R-CNN with a branch that gives each object's mask, and another
that gives its joints.

Both look at regions in a finer grid than the box head does. A mask is predicted for every class on its own, and the
class that the box head chose decides which counts: classes don't compete for pixels. A joint is one location of a
region's heat map, learned by softmax over all of them. In predict the branches see the final detections alone.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from roibench.dataset import DatasetInfo
from roibench.model import stage
from roibench.nn.joints import find_joints, heat_map_cells
from roibench.nn.masks import crop_masks, paste_masks
from roibench.nn.targets import batch_boxes
from roibench.nn.upconvolution import UpConvolution
from roibench.plugins.two_stage import faster_rcnn
from roibench.plugins.two_stage.faster_rcnn import POOLS, FasterRCNN
from roibench.structures import Input, Prediction, Target


@dataclass(frozen=True)
class Config(faster_rcnn.Config):
    """Hyperparameters, with the paper's values in brackets where small images want others. Lengths are pixels."""

    roi_size: int = 6  # [7]; this and the next keep the file of weights small
    hidden: int = 112  # of the box head [1024]

    region_size: int = 14  # of what both branches look at: 14 x 14
    mask_channels: int = 48  # [256]
    mask_layers: int = 2  # 3x3 convolutions [4]
    joint_channels: int = 48  # [512]
    joint_layers: int = 3  # [8]
    joint_loss: float = (
        0.2  # weight of the joints' loss, whose logarithm of so many locations would outweigh the others
    )


class MaskBranch(nn.Module):
    """Regions [K, channels, S, S] -> logits of a mask per class [K, C, 2 S, 2 S]."""

    def __init__(self, channels: int, config: Config, classes: int) -> None:
        super().__init__()
        hidden = config.mask_channels
        self.hidden = _convolutions(channels, hidden, config.mask_layers)
        self.enlarge = UpConvolution(hidden, hidden, 2, stride=2)
        self.logits = nn.Conv2d(hidden, classes, 1)

    def forward(self, regions: Tensor) -> Tensor:
        return self.logits(torch.relu(self.enlarge(self.hidden(regions)))).float()


class JointBranch(nn.Module):
    """Regions [K, channels, S, S] -> logits of a heat map per joint [K, J, 4 S, 4 S]."""

    def __init__(self, channels: int, config: Config, joints: int) -> None:
        super().__init__()
        self.hidden = _convolutions(channels, config.joint_channels, config.joint_layers)
        self.enlarge = UpConvolution(config.joint_channels, joints, 4, stride=2, padding=1)

    def forward(self, regions: Tensor) -> Tensor:
        maps = self.enlarge(self.hidden(regions)).float()
        return F.interpolate(maps, scale_factor=2, mode="bilinear", align_corners=False)


def _convolutions(in_channels: int, channels: int, layers: int) -> nn.Sequential:
    """Normalised over the batch's regions, as the box head's layers are."""
    parts: list[nn.Module] = []
    for before in (in_channels, *[channels] * (layers - 1)):
        conv = nn.Conv2d(before, channels, 3, padding=1, bias=False)
        nn.init.kaiming_normal_(conv.weight, mode="fan_out", nonlinearity="relu")
        parts += [conv, nn.BatchNorm2d(channels), nn.ReLU()]
    return nn.Sequential(*parts)


class MaskRCNN(FasterRCNN):
    """joints: of a person, for instance; with none there is no branch for them, and no keypoints are predicted."""

    config: Config
    jointed: Tensor  # [C], above 0: a class of which an object had joints in training

    def __init__(self, classes: int, joints: int, config: Config) -> None:
        super().__init__(classes, config)
        self.stages = (*self.stages, "regions", "masks", *["joints"] * bool(joints))
        self.joints = joints
        self.pool_finer = POOLS[config.pooling](config.region_size, config.strides, config.canonical_size)
        self.mask_branch = MaskBranch(config.channels, config, classes)
        self.joint_branch = JointBranch(config.channels, config, joints) if joints else None
        self.networks = (*self.networks, "mask_branch", *["joint_branch"] * bool(joints))
        self.register_buffer("jointed", torch.zeros(classes))

    @torch.inference_mode()
    def predict(self, inputs: Sequence[Input]) -> list[Prediction]:
        with stage("preprocess"):
            batch = self.batch(inputs)
        pyramid, found = self.find(batch)
        counts = [len(one.boxes) for one in found]
        boxes = [one.boxes.to(self.device) for one in found]
        labels = torch.cat([one.labels for one in found]).to(self.device)
        with stage("regions"):
            regions = self.pool_finer(pyramid, [batch.to_batch(index, one) for index, one in enumerate(boxes)])
        with stage("masks"):
            masks = self.masks(regions, labels).split(counts)
            sizes = batch.originals
            pasted = [paste_masks(*one, *size).cpu() for *one, size in zip(masks, boxes, sizes, strict=True)]
            found = [replace(one, masks=mask) for one, mask in zip(found, pasted, strict=True)]
        if self.joint_branch is None:
            return found
        with stage("joints"):
            keypoints = self.keypoints(regions, torch.cat(boxes), labels).cpu().split(counts)
            return [replace(one, keypoints=each) for one, each in zip(found, keypoints, strict=True)]

    def masks(self, regions: Tensor, labels: Tensor) -> Tensor:
        """Each region's mask of its class, [K, M, M] in the unit interval."""
        return self.mask_branch(regions)[torch.arange(len(labels), device=labels.device), labels].sigmoid()

    def keypoints(self, regions: Tensor, boxes: Tensor, labels: Tensor) -> Tensor:
        """[K, J, 3], in the boxes' pixels; zeros for a class without joints."""
        keypoints = boxes.new_zeros(len(boxes), self.joints, 3)
        jointed = self.jointed[labels] > 0
        keypoints[jointed] = find_joints(self.joint_branch(regions[jointed]), boxes[jointed])
        return keypoints

    def losses(self, inputs: Sequence[Input], targets: Sequence[Target]) -> dict[str, Tensor]:
        """Faster R-CNN's four, and those of masks and joints, where the dataset knows these, of regions that show an
        object.
        """
        batch = self.batch(inputs)
        losses, learned = self.learn(batch, batch_boxes(batch, targets))
        shown = learned.regions
        regions = self.pool_finer(learned.pyramid, shown.positive)
        labels = shown.classes[shown.classes > 0] - 1
        # In the images' own pixels, as masks and joints are.
        boxes = [batch.to_image(index, one) for index, one in enumerate(shown.positive)]
        if all(one.masks is not None for one in targets):
            masks = [one.masks.to(self.device)[index] for one, index in zip(targets, shown.objects, strict=True)]
            losses["mask"] = self._mask_loss(regions, labels, boxes, masks)
        if self.joint_branch is not None and all(one.keypoints is not None for one in targets):
            joints = [one.keypoints.to(self.device)[index] for one, index in zip(targets, shown.objects, strict=True)]
            losses["joint"] = self._joint_loss(regions, labels, torch.cat(boxes), torch.cat(joints))
        return losses

    def _mask_loss(self, regions: Tensor, labels: Tensor, boxes: Sequence[Tensor], masks: Sequence[Tensor]) -> Tensor:
        """The mean over the pixels of the own class's mask. boxes [P_i, 4] and masks [P_i, H, W] per image."""
        if not len(regions):
            return regions.float().sum()
        logits = self.mask_branch(regions)[torch.arange(len(labels), device=labels.device), labels]
        true = [crop_masks(mask, box, logits.shape[-1]) for mask, box in zip(masks, boxes, strict=True)]
        return F.binary_cross_entropy_with_logits(logits, torch.cat(true))

    def _joint_loss(self, regions: Tensor, labels: Tensor, boxes: Tensor, joints: Tensor) -> Tensor:
        """The mean over joints [P, J, 3] that are there, visible or occluded, and in their region."""
        has = (joints[..., 2] > 0).any(1)
        self.jointed[labels[has]] = 1
        regions, (cells, inside) = regions[has], heat_map_cells(joints[has], boxes[has], 4 * self.config.region_size)
        if not inside.any():
            return regions.float().sum() * 0
        maps = self.joint_branch(regions).flatten(2)
        return self.config.joint_loss * F.cross_entropy(maps[inside], cells[inside])


def build(info: DatasetInfo, config: Mapping[str, Any]) -> MaskRCNN:
    return MaskRCNN(len(info.classes), len(info.joints), Config(**config))
