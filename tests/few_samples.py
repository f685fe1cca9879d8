"""A dataset of the samples that a test wants."""

import torch

from roibench.dataset import DatasetInfo
from roibench.structures import Input, Sample, Target


class Few:
    """Samples as they are given."""

    unbounded = False
    hash = "0" * 64

    def __init__(self, *targets: Target, **info):
        fields = frozenset(name for name in Target.__slots__ if getattr(targets[0], name) is not None)
        self.info = DatasetInfo("few", "val", ("cat", "person"), fields=fields, **info)
        self.targets = targets

    def __len__(self) -> int:
        return len(self.targets)

    def __getitem__(self, index: int) -> Sample:
        return Sample(Input(f"../odd/name {index}", torch.full((3, 6, 9), 7, dtype=torch.uint8)), self.targets[index])


CAT = Target(boxes=torch.tensor([[0.25, 1, 8.5, 6]]), labels=torch.tensor([0]))
NOTHING = Target(boxes=torch.zeros(0, 4), labels=torch.zeros(0, dtype=torch.int64))
