"""FCN (Long et al. 2015, arXiv 1411.4038): a classifier's network, run over the whole image, classifies every pixel.

Each of the backbone's maps is scored by a 1x1 convolution. Going up, the coarse scores are enlarged by a transposed
convolution and added to the finer ones, which know better where objects end.
"""

from collections.abc import Mapping
from typing import Any

from roibench.dataset import DatasetInfo
from roibench.nn.skip_decoder import SkipDecoder
from roibench.plugins.segmentation.segmenter import Segmenter, SegmenterConfig, check_classes


class FCN(Segmenter):
    def __init__(self, classes: int, config: SegmenterConfig) -> None:
        super().__init__(config)
        self.decoder = SkipDecoder(self.backbone.channels, self.backbone.strides, 1 + classes)


def build(info: DatasetInfo, config: Mapping[str, Any]) -> FCN:
    return FCN(check_classes(info), SegmenterConfig(**config))
