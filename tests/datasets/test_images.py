"""Decoding: upright, with the right values, or refused in one line that names the file; the same for everybody."""

import json
import re
import struct
import zlib
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, PngImagePlugin
from scipy.io import savemat

from roibench.datasets.bad_data import BadData, BadDataError
from roibench.datasets.checked_images import check_images
from roibench.datasets.images import decode
from roibench.datasets.reference import open_dataset
from roibench.predict import read_image
from roibench.registry import installed

UPRIGHT = np.random.default_rng(0).integers(0, 256, (3, 4, 3), np.uint8)
# What a file stores for each orientation, by EXIF's definition of the sides where row 0 and column 0 are shown.
STORED = {
    1: UPRIGHT,  # top, left
    2: UPRIGHT[:, ::-1],  # top, right
    3: UPRIGHT[::-1, ::-1],  # bottom, right
    4: UPRIGHT[::-1],  # bottom, left
    5: UPRIGHT.transpose(1, 0, 2),  # left, top
    6: UPRIGHT[:, ::-1].transpose(1, 0, 2),  # right, top
    7: UPRIGHT[::-1, ::-1].transpose(1, 0, 2),  # right, bottom
    8: UPRIGHT[::-1].transpose(1, 0, 2),  # left, bottom
}


def tiff(*entries: tuple[int, int, int, bytes]) -> bytes:
    """EXIF: entries of tag, type, count and four bytes of value."""
    directory = b"".join(struct.pack("<HHI", *entry[:3]) + entry[3] for entry in entries)
    return b"II*\0\x08\0\0\0" + struct.pack("<H", len(entries)) + directory + bytes(4)


def oriented(orientation: int) -> tuple[int, int, int, bytes]:
    return 0x112, 3, 1, struct.pack("<HH", orientation, 0)


def save(file: Path, pixels: np.ndarray | Image.Image, orientation: int | None = None, **options) -> Path:
    image = pixels if isinstance(pixels, Image.Image) else Image.fromarray(np.ascontiguousarray(pixels))
    if orientation is not None:
        options["exif"] = b"Exif\0\0" + tiff(oriented(orientation))
    image.save(file, **options)
    return file


def chunked(*chunks: tuple[bytes, bytes]) -> bytes:
    """A PNG of these chunks, and the last one."""
    parts = (
        struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
        for kind, body in (*chunks, (b"IEND", b""))
    )
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


def header(width: int, height: int, depth: int = 8, colour: int = 2) -> tuple[bytes, bytes]:
    """colour: 0 grey, 2 RGB, 3 palette."""
    return b"IHDR", struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0)


ROWS = (b"IDAT", zlib.compress(b"".join(b"\0" + row.tobytes() for row in UPRIGHT)))


def png(*more: tuple[bytes, bytes]) -> bytes:
    """UPRIGHT, with more chunks behind the header."""
    return chunked(header(4, 3), *more, ROWS)


def packed(depth: int, colour: int, levels: list[int], *chunks: tuple[bytes, bytes]) -> bytes:
    """One row of grey or palette with few bits per pixel, which Pillow doesn't write."""
    bits = "".join(f"{level:0{depth}b}" for level in levels)
    row = int(bits.ljust(-(-len(bits) // 8) * 8, "0"), 2).to_bytes(-(-len(bits) // 8))
    return chunked(header(len(levels), 1, depth, colour), *chunks, (b"IDAT", zlib.compress(b"\0" + row)))


def check(file: Path):
    """What opening a dataset with this image finds: the image, or the problem in words."""
    bad = BadData("skip")
    images = check_images([file], bad)
    return images.get(file) or str(bad.problems[0])


def values(file: Path) -> np.ndarray:
    """[H, W, 3], of a file that the check finds sound."""
    found = check(file)
    pixels = decode(file)
    assert pixels.dtype == torch.uint8 and pixels.is_contiguous()
    assert found.size == tuple(pixels.shape[1:])
    assert torch.equal(read_image(file), pixels), "predict sees what a dataset sees"
    return pixels.permute(1, 2, 0).numpy()


@pytest.mark.parametrize("suffix", [".png", ".webp", ".tif"])
@pytest.mark.parametrize("orientation", STORED)
def test_every_orientation_is_turned_upright(tmp_path, orientation, suffix):
    options = {"lossless": True} if suffix == ".webp" else {}
    if suffix == ".tif":
        options["tiffinfo"] = {0x112: orientation}
    marked = None if suffix == ".tif" else orientation
    file = save(tmp_path / f"one{suffix}", STORED[orientation], marked, **options)
    assert np.array_equal(values(file), UPRIGHT)
    assert check(file).on_its_side == (orientation >= 5 and suffix != ".tif"), "Pillow turns a TIFF itself"


@pytest.mark.parametrize("orientation", [0, 9, 255])
def test_an_orientation_that_is_none_turns_nothing(tmp_path, orientation):
    assert np.array_equal(values(save(tmp_path / "one.png", UPRIGHT, orientation)), UPRIGHT)


@pytest.mark.parametrize("text", ["XML:com.adobe.xmp", "Comment"])
def test_an_orientation_in_xmp_counts_and_one_in_a_comment_does_not(tmp_path, text):
    notes = PngImagePlugin.PngInfo()
    notes.add_itxt(text, '<x:xmpmeta tiff:Orientation="3"/>')
    file = save(tmp_path / "one.png", UPRIGHT, pnginfo=notes)
    assert np.array_equal(values(file), UPRIGHT[::-1, ::-1] if text.startswith("XML") else UPRIGHT)


BAD_TAGS = {
    "negative": (0x100, 8, 1, struct.pack("<hH", -5, 0)),
    "float": (0x100, 11, 1, struct.pack("<f", 1.5)),
    "beyond 16 bits": (0x102, 9, 1, struct.pack("<i", -70000)),
    "points nowhere": (0x11A, 5, 1, struct.pack("<I", 9999)),
}


@pytest.mark.filterwarnings("ignore:Truncated File Read")
@pytest.mark.parametrize("kind", BAD_TAGS)
def test_a_bad_tag_beside_the_orientation_does_no_harm(tmp_path, kind):
    """Pillow's own exif_transpose raises struct.error here, for it writes all tags anew."""
    exif = b"Exif\0\0" + tiff(*sorted([oriented(6), BAD_TAGS[kind]]))
    file = save(tmp_path / "one.webp", STORED[6], lossless=True, exif=exif)
    assert np.array_equal(values(file), UPRIGHT)


def ramp(type_: type, *levels: int) -> np.ndarray:
    """One row, as wide as there are levels."""
    return np.array([levels], type_)


GREY = {
    "8 bits": (ramp(np.uint8, 0, 7, 255), [0, 7, 255]),
    "16 bits": (ramp(np.uint16, 0, 256, 257, 25_700, 32_768, 65_535), [0, 1, 1, 100, 128, 255]),
    "1 bit": (ramp(np.bool_, 0, 1, 0), [0, 255, 0]),
}


@pytest.mark.parametrize("suffix", [".png", ".tif", ".pgm"])
@pytest.mark.parametrize("kind", GREY)
def test_grey_of_any_depth_keeps_its_brightness(tmp_path, kind, suffix):
    levels, want = GREY[kind]
    pixels = values(save(tmp_path / f"grey{suffix}", levels))
    assert pixels[0, :, 0].tolist() == want
    assert (pixels == pixels[:, :, :1]).all()


@pytest.mark.parametrize(("depth", "spread"), [(1, 255), (2, 85), (4, 17)])
def test_grey_of_few_bits_is_spread_in_a_photograph(tmp_path, depth, spread):
    (tmp_path / "grey.png").write_bytes(packed(depth, 0, [0, 1, 2**depth - 1]))
    assert values(tmp_path / "grey.png")[0, :, 0].tolist() == [0, spread, 255]


@pytest.mark.parametrize("depth", [1, 2, 4, 8])
def test_palettes_give_their_colours_transparent_or_not(tmp_path, depth):
    palette = [(9, 8, 7), (200, 100, 50)]
    chunks = [(b"PLTE", bytes(sum(palette, ()))), (b"tRNS", bytes([0, 128]))]
    (tmp_path / "palette.png").write_bytes(packed(depth, 3, [0, 1, 1, 0], *chunks))
    assert [tuple(pixel) for pixel in values(tmp_path / "palette.png")[0].tolist()] == [
        palette[k] for k in (0, 1, 1, 0)
    ]


def test_transparency_is_left_out(tmp_path):
    grey = np.dstack([np.full((3, 4), 77, np.uint8), np.arange(12, dtype=np.uint8).reshape(3, 4)])
    assert (values(save(tmp_path / "la.png", grey)) == 77).all()
    colour = np.dstack([UPRIGHT, np.zeros((3, 4), np.uint8)])
    assert np.array_equal(values(save(tmp_path / "rgba.png", colour)), UPRIGHT)
    assert np.array_equal(
        values(save(tmp_path / "key.png", UPRIGHT, transparency=tuple(UPRIGHT[0, 0].tolist()))), UPRIGHT
    )


def test_cmyk_and_16_bit_colour_are_converted(tmp_path):
    ink = Image.new("CMYK", (8, 8), (0, 255, 255, 0))
    red = values(save(tmp_path / "cmyk.jpg", ink, quality=100))
    assert np.abs(red.astype(int) - [255, 0, 0]).max() <= 3
    samples = np.array([65_535, 0, 257 * 9], ">u2").tobytes()
    deep = chunked(header(1, 1, depth=16), (b"IDAT", zlib.compress(b"\0" + samples)))
    (tmp_path / "deep.png").write_bytes(deep)
    assert values(tmp_path / "deep.png")[0, 0].tolist() == [255, 0, 9]


@pytest.mark.parametrize(("type_", "name"), [(np.int32, "I"), (np.float32, "F")])
def test_grey_of_32_bits_tells_no_white_and_is_refused(tmp_path, type_, name):
    file = save(tmp_path / "grey.tif", ramp(type_, 0, 1, 200))
    assert check(file) == f"{file}: can't be read: grey of {name}, which tells no white: save it with 8 or 16 bits"


LARGE = 3 * 2**20
TEXTS = {
    "one large text": [(b"zTXt", b"Comment\0\0" + zlib.compress(bytes(LARGE)))],
    "many texts": [(b"zTXt", b"Comment\0\0" + zlib.compress(bytes(2**20)))] * 65,
    "international text": [(b"iTXt", b"Comment\0\1\0\0\0" + zlib.compress(bytes(LARGE)))],
    "colour profile": [(b"iCCP", b"Profile\0\0" + zlib.compress(bytes(LARGE)))],
}


@pytest.mark.parametrize("kind", TEXTS)
def test_a_png_with_large_texts_is_read(tmp_path, kind):
    file = tmp_path / "one.png"
    file.write_bytes(png(*TEXTS[kind]))
    with pytest.raises(ValueError, match=r"too large|Too much memory"):
        Image.open(file).load()
    assert np.array_equal(values(file), UPRIGHT)


def noise(form: str) -> bytes:
    file = BytesIO()
    Image.fromarray(np.random.default_rng(1).integers(0, 256, (32, 32, 3), np.uint8)).save(file, form)
    return file.getvalue()


BROKEN = {
    "half a PNG": (noise("PNG")[:1500], "image file is truncated"),
    "half a JPEG": (noise("JPEG")[:1000], "image file is truncated"),
    "half a BMP": (noise("BMP")[:1500], "image file is truncated"),
    "half a TIFF": (noise("TIFF")[:1500], ""),
    "half a WebP": (noise("WEBP")[:300], "could not create decoder object"),
    "header alone": (png()[:33], ""),
    "broken chunk amid the pixels": (
        chunked(header(4, 3), (b"IDAT", ROWS[1][:20]), (bytes(4), b"")),
        "broken PNG file",
    ),
    "bad checksum": (png((b"PLTE", bytes(6))).replace(struct.pack(">I", zlib.crc32(b"PLTE" + bytes(6))), b"1234"), ""),
    "no pixels in there": (chunked(header(4, 3), (b"IDAT", b"no zlib stream")), ""),
    "torn EXIF": (png((b"eXIf", b"II*\0\x08")), "unpack requires a buffer of 4 bytes"),
    "no EXIF": (png((b"eXIf", b"whatever")), "not a TIFF file"),
    "decompression bomb": (chunked(header(40_000, 40_000), ROWS), r"Image size \(1600000000 pixels\) exceeds limit"),
    "large metadata": (png((b"iTXt", b"XML:com.adobe.xmp\0\1\0\0\0" + zlib.compress(bytes(LARGE)))), "too large"),
    "text": (b"no image", "cannot identify image file$"),
    "nothing": (b"", "cannot identify image file$"),
}


@pytest.mark.parametrize("kind", BROKEN)
def test_whatever_pillow_raises_is_one_line_with_the_file_s_name(tmp_path, kind):
    content, reason = BROKEN[kind]
    file = tmp_path / "one.png"
    file.write_bytes(content)
    found = check(file)
    assert isinstance(found, str)
    assert re.fullmatch(rf"{file}: can't be read: [^\n]+", found) and re.search(reason, found), found
    for look in (decode, read_image):
        with pytest.raises(ValueError, match=re.escape(found)):
            look(file)


def test_what_is_no_file_is_named(tmp_path):
    assert check(tmp_path) == f"{tmp_path}: can't be read: Is a directory"
    assert check(tmp_path / "gone.png") == f"{tmp_path}/gone.png: missing"
    assert check(tmp_path / ("x" * 300)).endswith(": can't be read: File name too long")
    with pytest.raises(ValueError, match=f"^image {tmp_path}/gone.png: missing$"):
        read_image(tmp_path / "gone.png")


@pytest.mark.filterwarnings("ignore::UserWarning:PIL")
@given(form=st.sampled_from(["PNG", "JPEG", "BMP", "TIFF", "GIF", "WEBP"]), data=st.data())
def test_any_damage_is_found_by_the_check_or_does_no_harm_later(tmp_path_factory, form, data):
    content = bytearray(noise(form))
    places = st.integers(0, min(len(content), 200) - 1) | st.integers(0, len(content) - 1)
    for place in data.draw(st.lists(places, min_size=1, max_size=4)):
        content[place] ^= data.draw(st.integers(1, 255))
    file = tmp_path_factory.mktemp("damaged") / "one.img"
    file.write_bytes(content[: data.draw(places | st.just(len(content)))])
    found = check(file)
    if isinstance(found, str):
        assert found.startswith(f"{file}: can't be read: ") and "\n" not in found
        with pytest.raises(BadDataError, match=re.escape(found)):
            decode(file)
    else:
        assert found.size == tuple(decode(file).shape[1:])


def coco(folder: Path, size: tuple[int, int]) -> str:
    """size: (width, height), as the annotation gives it."""
    image = {"id": 1, "file_name": "im00001.jpg", "width": size[0], "height": size[1]}
    annotation = {"id": 1, "image_id": 1, "category_id": 1, "bbox": [4, 8, 20, 16]}
    content = {"images": [image], "annotations": [annotation], "categories": [{"id": 1, "name": "cat"}]}
    (folder / "objects.json").write_text(json.dumps(content))
    return f"coco:{folder}/objects.json"


def voc(folder: Path, size: tuple[int, int]) -> str:
    box = "<xmin>5</xmin><ymin>9</ymin><xmax>24</xmax><ymax>24</ymax>"
    sides = f"<size><width>{size[0]}</width><height>{size[1]}</height></size>"
    element = f"<object><name>cat</name><bndbox>{box}</bndbox></object>"
    (folder / "im00001.xml").write_text(f"<annotation>{sides}{element}</annotation>")
    return f"voc:{folder}"


def masks(folder: Path, size: tuple[int, int]) -> str:
    (folder / "valannot").mkdir()
    save(folder / "valannot" / "im00001.png", np.zeros(size[::-1], np.uint8))
    return f"masks:{folder}"


def folders(folder: Path, size: tuple[int, int]) -> str:
    (folder / "im00001.jpg").unlink()
    return f"folders:{folder}@all"


def lsp(folder: Path, size: tuple[int, int]) -> str:
    joints = np.zeros((14, 3, 1))
    joints[:2, :, 0] = [[4, 8, 1], [24, 24, 1]]
    savemat(folder / "joints.mat", {"joints": joints})
    return f"lsp:{folder}@all"


@pytest.fixture
def lying(tmp_path):
    """A photograph of 40x30, stored as 30x40 with orientation 6, where each adapter looks for it; (4, 8) is white."""
    pixels = np.zeros((30, 40, 3), np.uint8)
    pixels[8:24, 4:24] = 255
    for place in ("", "images", "val"):
        (tmp_path / place).mkdir(exist_ok=True)
        save(tmp_path / place / "im00001.jpg", np.rot90(pixels), 6, quality=100)
    return tmp_path


@pytest.mark.parametrize("adapter", [coco, voc, masks, folders, lsp])
def test_every_adapter_shows_the_upright_image_to_which_boxes_belong(lying, adapter):
    data = open_dataset(adapter(lying, (40, 30)), installed())
    given, target = data[0]
    assert data.info.image_size == (30, 40) == given.image.shape[1:]
    assert given.image[:, 8:24, 4:24].min() > 250 and given.image[:, 25:].max() < 5 and given.image[:, :, 25:].max() < 5
    if target.boxes is not None:
        assert target.boxes.tolist() == [[4, 8, 24, 24]]
    assert torch.equal(read_image(next(lying.glob("**/im00001.jpg"))), given.image)


@pytest.mark.parametrize("adapter", [coco, voc, masks])
def test_a_size_that_fits_only_the_stored_image_is_refused_with_the_reason(lying, adapter):
    with pytest.raises(BadDataError) as caught:
        open_dataset(adapter(lying, (30, 40)), installed())
    (problem,) = caught.value.problems
    assert "gives the size 30x40, but " in problem.what
    assert "im00001.jpg has 40x30 pixels, upright: its EXIF orientation turns it" in problem.what
    with pytest.raises(BadDataError) as caught:
        open_dataset(adapter(lying, (31, 40)) if adapter is not masks else coco(lying, (31, 40)), installed())
    assert str(caught.value).endswith("im00001.jpg has 40x30 pixels")


def test_a_warning_of_pillow_names_the_file(tmp_path, monkeypatch):
    Image.new("RGB", (4, 4)).save(tmp_path / "huge.png")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 10)
    with pytest.warns(Image.DecompressionBombWarning, match=r"^image .*huge\.png: Image size"):
        decode(tmp_path / "huge.png")
