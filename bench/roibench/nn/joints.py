"""Joints as places in a region's heat maps (He et al. 2017, arXiv 1703.06870, section 5)."""

import torch
from torch import Tensor


def heat_map_cells(keypoints: Tensor, boxes: Tensor, size: int) -> tuple[Tensor, Tensor]:
    """The cell of each joint in its region's size x size heat map, row by row: int64 [K, J]; and which joints have one,
    bool [K, J]: those that are there, visible or occluded, and inside the region. Others have cell 0.

    keypoints: [K, J, 3] as x, y, visibility. boxes: xyxy [K, 4], in the same pixels.
    """
    corner, sides = boxes[:, None, :2], (boxes[:, 2:] - boxes[:, :2])[:, None]
    place = (keypoints[..., :2] - corner) / sides
    inside = ((place >= 0) & (place <= 1)).all(-1) & (keypoints[..., 2] > 0)
    x, y = torch.where(inside[..., None], place * size, 0).long().clamp(max=size - 1).unbind(-1)
    return y * size + x, inside


def find_joints(heat_maps: Tensor, boxes: Tensor) -> Tensor:
    """Of each heat map the centre of its highest cell, and what softmax gives that: [K, J, 3] as x, y, score.

    heat_maps: logits [K, J, size, size]. boxes: xyxy [K, 4].
    """
    size = heat_maps.shape[-1]
    score, cell = heat_maps.float().flatten(2).softmax(-1).max(-1)
    place = (torch.stack([cell % size, cell // size], -1) + 0.5) / size
    corner, sides = boxes[:, None, :2], (boxes[:, 2:] - boxes[:, :2])[:, None]
    return torch.cat([corner + place * sides, score[..., None]], -1)
