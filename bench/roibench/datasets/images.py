"""Image files: which files are images, and what is in them. The one place where pixels are decoded.

An image is turned upright as its EXIF orientation tells, as every viewer does, so that boxes drawn in a viewer fit.
Grey becomes RGB, 16-bit grey is scaled to 8 bits, palettes give their colours, transparency is left out. 32-bit grey
(integers, floats) has no agreed white, and is refused.
"""

import warnings
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageOps, UnidentifiedImageError

from roibench.datasets.bad_data import BadDataError, Problem

# Compare in lower case. As torchvision's ImageFolder has them.
SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff", ".ppm", ".pgm"})
# What systems leave behind in folders, beside dotfiles: macOS's archives, Synology, Windows.
_LEFTOVERS = frozenset(
    {"__macosx", "@eadir", "#recycle", "$recycle.bin", "system volume information", "thumbs.db", "desktop.ini"}
    | {"lost+found", "__pycache__"}
)
_PNG = b"\x89PNG\r\n\x1a\n"
# Chunks of a PNG that its pixels don't depend on, and of which Pillow refuses large ones: texts, the colour profile.
_NO_PIXELS = (b"tEXt", b"zTXt", b"iTXt", b"iCCP")
_ORIENTED = (b"XML:com.adobe.xmp\0", b"Raw profile type exif\0")  # texts that may hold an orientation
_BITS_PER_SAMPLE = 258  # TIFF's tag


def is_leftover(name: str) -> bool:
    """Whether a name begins with a dot or is some system's own: neither a class nor an image nor an annotation."""
    return name.startswith(".") or name.lower() in _LEFTOVERS


def files_in(folder: Path, suffixes: Iterable[str]) -> list[Path]:
    """The files of a folder with one of the suffixes (lower case), sorted by name; leftovers don't count."""
    files = (file for file in folder.iterdir() if file.suffix.lower() in suffixes and not is_leftover(file.name))
    return sorted(file for file in files if file.is_file())


def images_in(folder: Path) -> list[Path]:
    """The image files of a folder, by their suffix, sorted by name."""
    return files_in(folder, SUFFIXES)


def folders_in(folder: Path) -> list[Path]:
    """The folders within a folder, sorted by name; leftovers don't count."""
    return sorted(inner for inner in folder.iterdir() if not is_leftover(inner.name) and inner.is_dir())


def shared_size(sizes: Iterable[tuple[int, int]]) -> tuple[int, int] | None:
    """The size that all images have, or None: what DatasetInfo.image_size wants."""
    distinct = set(sizes)
    return distinct.pop() if len(distinct) == 1 else None


def decode(file: Path) -> torch.Tensor:
    """uint8 [3, H, W], RGB, upright. Raises BadDataError, which names the file, and so do Pillow's warnings."""
    with warnings.catch_warnings(record=True) as told, naming(file):
        pixels, _ = read_rgb(file.read_bytes())
    for one in told:
        warnings.warn(f"image {file}: {one.message}", one.category, stacklevel=2)
    return torch.from_numpy(pixels).permute(2, 0, 1).contiguous()


def read_rgb(data: bytes) -> tuple[np.ndarray, bool]:
    """uint8 [H, W, 3], upright, and whether it is stored on its side. Raises whatever Pillow does: see `naming`."""
    image, on_its_side = _upright(data)
    bits = getattr(image, "tag_v2", {}).get(_BITS_PER_SAMPLE, (16,))
    if (image.mode.startswith("I;16") and bits == (16,)) or (image.mode == "I" and image.format in ("PNG", "PPM")):
        grey = (np.asarray(image).astype(np.int64) + 128) // 257
        return np.repeat(grey.astype(np.uint8)[:, :, None], 3, axis=2), on_its_side
    if image.mode[0] in "IF":
        raise ValueError(f"grey of {image.mode}, which tells no white: save it with 8 or 16 bits")
    return np.array(image.convert("RGB")), on_its_side


def read_labels(data: bytes) -> tuple[np.ndarray, bool]:
    """uint8 [H, W], the label in each pixel of a label image, upright, and whether it is stored on its side.

    Grey or palette, of any depth; labels are as written, up to 255. Raises whatever Pillow does: see `naming`.
    """
    image, on_its_side = _upright(data)
    if image.format != "PNG":
        raise ValueError(f"{image.format}, whatever it is called: labels want a PNG")
    if image.mode not in ("1", "L", "P", "I", "I;16", "I;16B"):
        raise ValueError(f"{image.mode}: labels want one channel with a label's number in every pixel")
    labels = np.array(image)
    if labels.max() > 255:
        raise ValueError(f"label {labels.max()}: a semantic map holds 0 to 255")
    depth, colour = data[24], data[25]  # in IHDR, which stands first
    if colour == 0 and depth in (2, 4):
        labels //= 255 // (2**depth - 1)  # Pillow spreads grey of few bits over 0 to 255
    return labels.astype(np.uint8), on_its_side


@dataclass(frozen=True)
class ColourLabels:
    """Reads label images in colours as read_labels reads those of numbers. colours: of the labels, from 0 on."""

    colours: tuple[tuple[int, int, int], ...]

    def __call__(self, data: bytes) -> tuple[np.ndarray, bool]:
        image, on_its_side = _upright(data)
        if image.format != "PNG":
            raise ValueError(f"{image.format}, whatever it is called: labels want a PNG")
        pixels = np.asarray(image.convert("RGB"), np.int64)
        codes = _code(pixels)
        known = _code(np.array(self.colours, np.int64).reshape(-1, 3))
        order = known.argsort()
        place = np.searchsorted(known, codes, sorter=order).clip(max=len(known) - 1)
        labels = order[place]
        if (strange := known[labels] != codes).any():
            colour = " ".join(map(str, pixels[strange][0]))
            raise ValueError(f"colour {colour} is no label's: label_colors.txt has {len(known)} others")
        return labels.astype(np.uint8), on_its_side


def _code(colours: np.ndarray) -> np.ndarray:
    """[..., 3] -> one number each."""
    return colours @ np.array([65536, 256, 1])


@contextmanager
def naming(file: Path) -> Iterator[None]:
    """Whatever goes wrong with an image file, as a BadDataError that names it."""
    try:
        yield
    except FileNotFoundError as error:
        raise BadDataError((Problem(file, None, "missing"),)) from error
    except UnidentifiedImageError as error:  # its text is the buffer's address
        raise BadDataError((Problem(file, None, "can't be read: cannot identify image file"),)) from error
    except Exception as error:  # a broken file raises what its decoder stumbles over: SyntaxError, struct.error, ...
        reason = error.strerror if isinstance(error, OSError) and error.strerror else error
        text = " ".join(str(reason).split()) or type(error).__name__
        raise BadDataError((Problem(file, None, f"can't be read: {text}"),)) from error


def _upright(data: bytes) -> tuple[Image.Image, bool]:
    image = Image.open(BytesIO(_without_texts(data)))
    image.load()
    image.getexif()  # read now: with `info` gone nothing is written back, which a bad tag elsewhere would prevent
    image.info.clear()
    stored = image.size
    ImageOps.exif_transpose(image, in_place=True)
    return image, image.size != stored


def _without_texts(data: bytes) -> bytes:
    """A PNG without the chunks that may be too large for Pillow; anything else as it is."""
    if not data.startswith(_PNG):
        return data
    kept, place = [_PNG], len(_PNG)
    while place + 12 <= len(data):
        end = place + 12 + int.from_bytes(data[place : place + 4])
        kind, begin = data[place + 4 : place + 8], data[place + 8 : place + 40]
        if kind not in _NO_PIXELS or begin.startswith(_ORIENTED):
            kept.append(data[place:end])
        place = end
    return b"".join(kept) + data[place:]
