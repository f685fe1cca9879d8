"""FCN (Long et al. 2015, arXiv 1411.4038): a classifier's network, run over the whole image, names every pixel.

Each of the backbone's maps is scored by a 1x1 convolution. Going up, the coarse scores are enlarged by a transposed
convolution and added to the finer ones, which know better where things end.
"""

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

from torch import Tensor, nn

from roibench.nn.upconvolution import BilinearUpsampling
from roibench.plugins.segmentation.segmenter import Segmenter, SegmenterConfig, check_classes
from roibench.tasks import DatasetInfo


class SkipDecoder(nn.Module):
    """Section 4.2: scores at every stride, summed from the coarsest to the finest, and enlarged to the image.

    All of the enlarging is learned; the paper keeps the last one bilinear.
    """

    def __init__(self, channels: Sequence[int], strides: Sequence[int], classes: int) -> None:
        super().__init__()
        self.scores = nn.ModuleList(nn.Conv2d(c, classes, 1) for c in channels)
        self.enlarge = nn.ModuleList(
            BilinearUpsampling(classes, coarse // fine) for fine, coarse in pairwise((1, *strides))
        )
        self.last = nn.Identity()  # sees the summed scores
        for score in self.scores[:-1]:  # the finer scores begin by changing nothing
            nn.init.zeros_(score.weight)
            nn.init.zeros_(score.bias)

    def forward(self, _pixels: Tensor, features: Sequence[Tensor]) -> Tensor:
        """Maps [B, channels[i], H / strides[i], W / strides[i]], finest first -> scores [B, classes, H, W]."""
        total = self.scores[-1](features[-1])
        for feature, score, enlarge in zip(
            reversed(features[:-1]), reversed(self.scores[:-1]), reversed(self.enlarge[1:]), strict=True
        ):
            total = enlarge(total) + score(feature)
        return self.enlarge[0](self.last(total))


class FCN(Segmenter):
    def __init__(self, classes: int, config: SegmenterConfig) -> None:
        super().__init__(config)
        self.decoder = SkipDecoder(self.backbone.channels, self.backbone.strides, 1 + classes)


def build(info: DatasetInfo, config: Mapping[str, Any]) -> FCN:
    return FCN(check_classes(info), SegmenterConfig(**config))
