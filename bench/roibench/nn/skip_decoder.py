"""FCN's way up (Long et al. 2015, arXiv 1411.4038, section 4.2): coarse scores are enlarged and added to finer ones."""

from collections.abc import Sequence
from itertools import pairwise

from torch import Tensor, nn

from roibench.nn.upconvolution import BilinearUpsampling


class SkipDecoder(nn.Module):
    """Class scores at every stride, each by a 1x1 convolution, summed from the coarsest to the finest.

    The sum is enlarged to the image. All of the enlarging is learned; the paper keeps the last one bilinear.

    channels: of the backbone's maps, finest first.
    strides: likewise.
    classes: with the background.
    """

    def __init__(self, channels: Sequence[int], strides: Sequence[int], classes: int) -> None:
        super().__init__()
        self.scores = nn.ModuleList(nn.Conv2d(c, classes, 1) for c in channels)
        self.enlarge = nn.ModuleList(
            BilinearUpsampling(classes, coarse // fine) for fine, coarse in pairwise((1, *strides))
        )
        self.last = nn.Identity()  # the summed scores pass here
        for score in self.scores[:-1]:  # the finer scores begin by changing nothing
            nn.init.zeros_(score.weight)
            nn.init.zeros_(score.bias)

    def forward(self, features: Sequence[Tensor]) -> Tensor:
        """Maps [B, channels[i], H / strides[i], W / strides[i]] -> scores [B, classes, H, W]."""
        total = self.scores[-1](features[-1])
        for feature, score, enlarge in zip(
            reversed(features[:-1]), reversed(self.scores[:-1]), reversed(self.enlarge[1:]), strict=True
        ):
            total = enlarge(total) + score(feature)
        return self.enlarge[0](self.last(total))
