"""A dataset that worker processes can import."""

import torch

from roibench.dataset import DatasetInfo
from roibench.structures import Input, Sample, Target


class Stripes:
    """Ten images, left half dark or bright; the label says which."""

    unbounded = False
    hash = "stripes"
    info = DatasetInfo("stripes", "train", ("dark", "bright"))

    def __len__(self) -> int:
        return 10

    def __getitem__(self, index: int) -> Sample:
        image = torch.full((3, 8, 8), 200 * (index % 2), dtype=torch.uint8)
        return Sample(Input(f"stripe-{index}", image), Target(image_label=index % 2))
