"""What becomes of the images of a copy: names, and files' contents."""

from io import BytesIO
from typing import NamedTuple

from PIL import Image
from torch import Tensor

from roibench.dataset import Dataset
from roibench.datasets.image_files import ImageFiles
from roibench.structures import Sample

_ORIENTATION, _UPRIGHT = 0x0112, 1  # EXIF's


class Content(NamedTuple):
    """An image file.

    content: its bytes.
    suffix: with the dot.
    turned: it was stored otherwise, as its orientation tells.
    """

    content: bytes
    suffix: str
    turned: bool = False


def names_of(data: Dataset, count: int) -> list[str]:
    """Names of the first images without endings: those of their files, where no two are one; else numbers."""
    if isinstance(data, ImageFiles):
        stems = [picture.image.file.stem for picture in data.pictures[:count]]
        if len({stem.casefold() for stem in stems}) == count:
            return stems
    return [f"{number:012d}" for number in range(1, count + 1)]


def content_of(data: Dataset, index: int, sample: Sample) -> Content:
    """The image's own file, unless other tools may show it otherwise than it was decoded here."""
    if not isinstance(data, ImageFiles):
        return Content(_png(sample.input.image), ".png")
    file = data.pictures[index].image.file
    with Image.open(file) as image:
        turned = image.getexif().get(_ORIENTATION, _UPRIGHT) != _UPRIGHT
    return Content(_png(sample.input.image), ".png", True) if turned else Content(file.read_bytes(), file.suffix)


def _png(image: Tensor) -> bytes:
    buffer = BytesIO()
    Image.fromarray(image.permute(1, 2, 0).numpy()).save(buffer, "PNG")
    return buffer.getvalue()
