"""Image files, as every adapter that reads them needs them: which they are, how large, and what is in them."""

from collections.abc import Iterable
from pathlib import Path

import numpy as np
import torch
from PIL import Image, UnidentifiedImageError

from roibench.datasets.bad_data import BadData, BadDataError, Problem

SUFFIXES = frozenset({".jpg", ".jpeg", ".png"})  # compare in lower case


def images_in(folder: Path) -> list[Path]:
    """The image files of a folder, by their suffix, sorted by name; hidden ones don't count."""
    files = (file for file in folder.iterdir() if file.suffix.lower() in SUFFIXES and not file.name.startswith("."))
    return sorted(file for file in files if file.is_file())


def read_size(file: Path, bad: BadData) -> tuple[int, int] | None:
    """(height, width) from the file's header; None, and a report, if it is missing or no image."""
    try:
        with Image.open(file) as image:
            return image.height, image.width
    except FileNotFoundError:
        bad.report(file, "missing")
    except (OSError, UnidentifiedImageError, Image.DecompressionBombError) as error:
        bad.report(file, f"can't be read: {error}")
    return None


def shared_size(sizes: Iterable[tuple[int, int]]) -> tuple[int, int] | None:
    """The size that all images have, or None: what DatasetInfo.image_size wants."""
    distinct = set(sizes)
    return distinct.pop() if len(distinct) == 1 else None


def decode(file: Path) -> torch.Tensor:
    """uint8 [3, H, W], RGB."""
    try:
        with Image.open(file) as image:
            pixels = np.array(image.convert("RGB"))
    except OSError as error:
        raise BadDataError((Problem(file, None, f"can't be decoded: {error}"),)) from error
    return torch.from_numpy(pixels).permute(2, 0, 1).contiguous()
