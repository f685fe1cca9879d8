"""What the models of a run predicted of the same images: a row per image, ground truth first, then a model a column."""

import re
from collections.abc import Sequence
from fnmatch import fnmatchcase
from io import BytesIO
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

from roibench.draw.canvas import fitting
from roibench.draw.prediction import draw
from roibench.files import write_atomically
from roibench.measure.record import Ok
from roibench.measure.recorded import recorded_cells, recorded_data, recorded_predictions
from roibench.registry import AT, Registry, unknown
from roibench.task import Frame, ground_truth

WIDTH = 320  # of a picture in a sheet, in pixels
ALL = ("*",)
COLUMNS = 5  # of models on a page: what can still be read on one
_GAP = 6
_FONT_SIZE = 16


def write_gallery(
    run: Path,
    images: Sequence[int],
    out: Path,
    registry: Registry,
    models: Sequence[str] = ALL,
    columns: int = COLUMNS,
) -> list[Path]:
    """Draw what a run's cells predicted for some images of their dataset into a .png; returns the paths.

    models: patterns of the names of those that are shown, as tables have them. columns: how many stand beside the
    ground truth, at most: further ones go on, evenly, in NAME-2.png and so on, each with the ground truth again.

    The predictions are those that were timed and scored; left_out names the cells that aren't shown. Raises ValueError
    where there are none, where they lack an image, are impossible, or where they or the dataset have changed.
    """
    if columns < 1:
        raise ValueError(f"--columns {columns}: want 1 or more")
    records, _ = chosen_cells(run, models)
    first = records[0]
    fields = registry.fields.values()
    tasks = [registry.tasks[name] for name in dict.fromkeys(name for record in records for name in record.scores)]
    fewest = min(record.images for record in records)
    if wrong := [index for index in images if not 0 <= index < fewest]:
        raise ValueError(f"{run}: image {wrong[0]}: want 0 to {fewest - 1}, which every cell has predicted")
    data = recorded_data(first, registry)
    samples, classes = [data[index] for index in images], data.info.classes
    frames = [Frame.of(one.input, data.info) for one in samples]
    found = {"ground truth": [ground_truth(tasks, one.target) for one in samples]}
    found |= {one.cell.label: recorded_predictions(one, run, images, frames, registry) for one in records}
    drawn = {
        name: [
            draw(one.input.image, prediction, classes, fields, shown_at=WIDTH)
            for one, prediction in zip(samples, predictions, strict=True)
        ]
        for name, predictions in found.items()
    }
    true, *names = drawn
    even = -(-len(names) // -(-len(names) // columns))
    pages = [names[start : start + even] for start in range(0, len(names), even)]
    return [
        write_sheet({name: drawn[name] for name in (true, *page)}, out if number == 1 else _page(out, number))
        for number, page in enumerate(pages, 1)
    ]


def left_out(run: Path, models: Sequence[str] = ALL) -> list[str]:
    """The cells of these models that a gallery doesn't show: those of other datasets than the first one's; where no
    model is named, of other tasks, too.
    """
    return [record.cell_id for record in chosen_cells(run, models)[1]]


def chosen_cells(run: Path, models: Sequence[str]) -> tuple[list[Ok], list[Ok]]:
    """What is shown, and what isn't."""
    cells = recorded_cells(run)
    names = list(dict.fromkeys(record.cell.label for record in cells))
    if missing := [pattern for pattern in models if not any(fnmatchcase(name, pattern) for name in names)]:
        raise ValueError(f"{run}: --model: {unknown('cell', missing[0], names)}")
    records = [one for one in cells if any(fnmatchcase(one.cell.label, pattern) for pattern in models)]
    first = records[0]
    alike = [record for record in records if record.cell.dataset_hash == first.cell.dataset_hash]
    shown = alike if tuple(models) != ALL else [record for record in alike if _task(first) in record.scores]
    return shown, [record for record in records if record not in shown]


def _task(record: Ok) -> str:
    return next(iter(record.scores))


def _page(out: Path, number: int) -> Path:
    return out.with_name(f"{out.stem}-{number}{out.suffix}")


def write_sheet(columns: dict[str, Sequence[Image.Image]], out: Path) -> Path:
    """side_by_side as a .png; returns its path."""
    picture = BytesIO()
    side_by_side(columns).save(picture, "png")
    return write_atomically(out, picture.getvalue())


def side_by_side(columns: dict[str, Sequence[Image.Image]]) -> Image.Image:
    """Pictures in columns of one width, each under its heading; a row is as high as the highest of its pictures."""
    font = ImageFont.load_default(size=_FONT_SIZE)
    headings = [_lines(heading, font) for heading in columns]
    line = sum(font.getmetrics())
    top = max(map(len, headings)) * line + 2 * _GAP
    resized = [[one.resize((WIDTH, round(one.height * WIDTH / one.width))) for one in col] for col in columns.values()]
    heights = [max(one.height for one in row) for row in zip(*resized, strict=True)]
    size = (len(columns) * (WIDTH + _GAP) + _GAP, top + sum(heights) + len(heights) * _GAP)
    sheet = Image.new("RGB", size, "white")
    pen = ImageDraw.Draw(sheet)
    for i, (heading, column) in enumerate(zip(headings, resized, strict=True)):
        x, y = _GAP + i * (WIDTH + _GAP), top
        for number, text in enumerate(reversed(heading)):
            pen.text((x, top - _GAP - number * line), text, fill="black", font=font, anchor="ld")
        for one, height in zip(column, heights, strict=True):
            sheet.paste(one, (x, y))
            y += height + _GAP
    return sheet


def _lines(heading: str, font: ImageFont.FreeTypeFont) -> list[str]:
    """A heading in lines that fit its column: `grad_cam@a_model k=1` is cut before the @ and between its words."""
    lines = [""]
    for part in re.split(rf"(?=[{AT} ])", heading):
        if lines[-1] and font.getlength(lines[-1] + part) > WIDTH:
            lines.append("")
        lines[-1] = (lines[-1] + part).lstrip()
    return [fitting(line, "", font, WIDTH) for line in lines]
