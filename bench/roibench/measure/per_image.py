"""What each image has to do with a cell's scores, as a CSV beside its predictions."""

import csv
import io
import math
from collections.abc import Mapping, Sequence
from pathlib import Path

from torch import Tensor

from roibench.files import write_atomically


def save_per_image(path: Path, ids: Sequence[str], columns: Mapping[str, Tensor]) -> None:
    """A line per image: its id, then the columns [N], unrounded; blank where an image has no number."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["id", *columns])
    for id, *numbers in zip(ids, *(column.tolist() for column in columns.values()), strict=True):
        writer.writerow([id, *("" if math.isnan(number) else number for number in numbers)])
    write_atomically(path, text.getvalue().encode())


def load_per_image(path: Path) -> dict[str, list[float]]:
    """What save_per_image wrote, without the ids: by column, a number per image, NaN for a blank."""
    with path.open(newline="") as file:
        lines = list(csv.DictReader(file))
    names = [name for name in (lines[0] if lines else {}) if name != "id"]
    return {name: [float(line[name] or "nan") for line in lines] for name in names}
