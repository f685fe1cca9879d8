"""`roibench gan-dissection`: what is found of a generator, as a page of Markdown and pictures."""

from collections.abc import Sequence
from io import BytesIO
from pathlib import Path
from typing import Annotated

import torch
import typer
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor, nn

from roibench.assemble import NoWeightsError, find_weights, ready_model
from roibench.dataset import Dataset
from roibench.datasets.reference import DatasetRef, open_dataset
from roibench.files import write_atomically
from roibench.metric import Estimate
from roibench.metrics.matching import Booleans
from roibench.plugins.generation.dissection import LEAST, SHOWN, Findings, Judges, dissect, judge_judges
from roibench.plugins.generation.intervention import Contrast
from roibench.plugins.generation.lens import Lens, segment_by
from roibench.plugins.generation.quality import CONFIDENT, ENOUGH, class_probabilities, ready_judge, recognised
from roibench.plugins.generation.unit_agreement import enlarged
from roibench.registry import Registry, installed
from roibench.weights import read_header

MATCH = 0.05  # IoU from which a unit is a class's, as in the paper
EXAMPLES = 6  # pictures of a unit
_GAP, _SIDE = 6, 128  # pixels


def markdown(title: str, found: Findings, judges: Judges, classes: Sequence[str]) -> str:
    """The page; pictures lie beside it."""
    samples, units = len(found.second.pictures), len(found.iou)
    mean_iou = f"; its mean IoU there is {_percent(judges.mean_iou)}" if judges.mean_iou else ""
    matching = int((found.iou >= MATCH).any(1).sum())
    absent = [name for label, name in enumerate(classes) if label not in found.matches]
    lines = [
        f"# {title}",
        "",
        f"The classifier is confident of {_percent(found.recognised)} of {samples:,} pictures (highest probability at "
        f"least {CONFIDENT}), and of {_percent(judges.recognised)} of the dataset's own images at their size. Which "
        f"pixels are of a class, {judges.segmenter} says{mean_iou}.",
        "",
        "![Pictures](pictures.png)",
        "",
        "## Units and classes",
        "",
        f"Thresholds and units were chosen on {samples:,} pictures; this is of {samples:,} others. {matching} of "
        f"{units} units have an IoU of {MATCH:.0%} or more with a class.",
        "",
    ]
    if found.matches:
        lines += ["| class | pictures that show it | units: IoU [95 % CI] |", "| :-- | --: | :-- |"]
    for label, best in found.matches.items():
        shown = int(found.second.showing(label, SHOWN).sum())
        named = ", ".join(f"{one.unit}: {_percent(one.iou)}" for one in best)
        lines.append(f"| {classes[label]} | {shown:,} | {named} |")
    if found.matches:
        lines += ["", "![What units are about](units.png)", ""]
    if absent:
        lines += [f"Shown by fewer than {LEAST} pictures: {', '.join(absent)}.", ""]
    return "\n".join([*lines, "## Units off and on", "", *_interventions(found, classes), ""])


def _interventions(found: Findings, classes: Sequence[str]) -> list[str]:
    if found.interventions is None:
        return [
            f"Fewer than {ENOUGH:.0%} of the pictures are recognised. From what shows nothing, nothing can be taken "
            "away: what units do to a class isn't told."
        ]
    if not found.interventions:
        return ["No class is shown by enough pictures."]
    heads = ("its units", "random units", "difference", "most of a draw")
    lines = [
        f"Of each class the {found.units} units that agreed best with it, and {found.draws} draws of as many random "
        "ones. Off: the share of the class's pixels that are gone. On: the share of a random quarter of each picture "
        "that becomes the class's.",
        "",
        "| class | " + " | ".join(f"{which}: {head}" for which in ("off", "on") for head in heads) + " |",
        "| :-- |" + " --: |" * (2 * len(heads)),
    ]
    for one in found.interventions:
        cells = [cell for part in (one.off, one.on) for cell in _cells(part)]
        lines.append(f"| {classes[one.label]} | {' | '.join(cells)} |")
    return [*lines, "", "![With units off and on](interventions.png)"]


def _cells(part: Contrast) -> list[str]:
    return [*map(_percent, (part.own, part.random, part.difference)), f"{part.most:.1%}"]


def _percent(one: Estimate) -> str:
    """`48.3 [46.1, 50.4] %`."""
    return f"{100 * one.value:.1f} [{100 * one.low:.1f}, {100 * one.high:.1f}] %"


def sheets(found: Findings, classes: Sequence[str]) -> dict[str, Image.Image]:
    """Pictures by file name."""
    second = found.second
    drawn = {"pictures.png": _sheet([("", second.pictures[row : row + 8]) for row in range(0, 64, 8)])}
    if found.matches:
        rows = []
        for label, (best, *_) in found.matches.items():
            maps = second.maps[:, best.unit : best.unit + 1]
            most = maps.flatten(1).amax(1).topk(min(EXAMPLES, len(maps))).indices
            fires = enlarged(maps[most], second.classes) > found.thresholds[best.unit, label]
            masked = torch.where(fires, second.pictures[most], second.pictures[most] // 4)
            heading = f"{classes[label]}: unit {best.unit}, IoU {best.iou.value:.1%}"
            rows.append((heading, torch.cat([second.pictures[most], masked])))
        drawn["units.png"] = _sheet(rows)
    if found.interventions:
        rows = [
            (
                f"{classes[one.label]}: as it is, its units off, random ones; as it is, its units on, random ones",
                torch.stack([*one.off_pictures, *one.on_pictures]),
            )
            for one in found.interventions
        ]
        drawn["interventions.png"] = _sheet(rows)
    return drawn


def _sheet(rows: Sequence[tuple[str, Tensor]]) -> Image.Image:
    """Rows of pictures, uint8 [N, 3, H, W] each, under their headings."""
    font = ImageFont.load_default(size=12)
    rows = [row for row in rows if len(row[1])]
    line = sum(font.getmetrics()) if any(heading for heading, _ in rows) else 0
    columns = max(len(pictures) for _, pictures in rows)
    sheet = Image.new("RGB", (columns * (_SIDE + _GAP) + _GAP, len(rows) * (line + _SIDE + _GAP) + _GAP), "white")
    pen = ImageDraw.Draw(sheet)
    for row, (heading, pictures) in enumerate(rows):
        y = _GAP + row * (line + _SIDE + _GAP)
        pen.text((_GAP, y), heading, fill="black", font=font)
        for column, one in enumerate(pictures):
            picture = Image.fromarray(one.permute(1, 2, 0).contiguous().numpy())
            square = picture.resize((_SIDE, _SIDE), Image.Resampling.NEAREST)
            sheet.paste(square, (_GAP + column * (_SIDE + _GAP), y + line))
    return sheet


def gan_dissection(
    model: Annotated[str, typer.Argument(help="a registered generator")] = "gan",
    dataset: Annotated[str, typer.Option(help="what it was trained on")] = "icons",
    weights: Annotated[Path | None, typer.Option(help="a file that `roibench train` wrote")] = None,
    segmenter: Annotated[str, typer.Option(help="which says what pixels are of")] = "fcn",
    segmenter_weights: Annotated[
        Path | None, typer.Option(help="its file (default: what is shipped for the dataset)")
    ] = None,
    layer: Annotated[int, typer.Option(help="whose units are looked at, counted from 1")] = 2,
    units: Annotated[int, typer.Option(help="of a class, that are turned off and on")] = 8,
    samples: Annotated[int, typer.Option(help="pictures to choose units on, and as many to measure on")] = 300,
    draws: Annotated[int, typer.Option(help="of random units to compare with")] = 5,
    out: Annotated[Path, typer.Option(help="folder")] = Path("gan-dissection"),
) -> None:
    for option, value in (("--samples", samples), ("--draws", draws)):
        if value < 1:
            raise ValueError(f"{option} {value}: want 1 or more")
    registry = installed()
    data = open_dataset(dataset, registry)
    generator, _ = _ready(registry, model, data, dataset, weights)
    if lacking := [name for name in ("layers", "latents", "pictures") if not hasattr(generator, name)]:
        raise ValueError(f"model {model!r} can't be looked into: it has no {', '.join(lacking)}")
    if not 1 <= layer <= len(generator.layers):
        raise ValueError(f"--layer {layer}: want 1 to {len(generator.layers)}, which {model!r} has")
    if "semantic_segmentation" not in registry.model(segmenter).tasks:
        raise ValueError(f"--segmenter {segmenter!r}: want a model of semantic_segmentation")
    try:
        seer, words = _ready(registry, segmenter, data, dataset, segmenter_weights)
    except NoWeightsError as error:
        raise NoWeightsError(str(error).replace("--weights", "--segmenter-weights")) from error
    judge = ready_judge().inner

    def confident(pictures: Tensor) -> Booleans:
        return recognised(class_probabilities(judge, list(pictures)))

    classes, lens = data.info.classes, Lens(generator, segment_by(seer, data.info.image_size), layer - 1)
    found = dissect(lens, len(classes), confident, samples, units, draws)
    judges = judge_judges(data, samples, found.second.pictures.shape[2], words, lens.segment, confident)
    shape = " x ".join(map(str, found.second.maps.shape[2:]))
    title = f"{model} on {DatasetRef.parse(dataset).label}, layer {layer}: {len(found.iou)} units of {shape}"
    page = markdown(title, found, judges, classes)
    for name, sheet in sheets(found, classes).items():
        picture = BytesIO()
        sheet.save(picture, "png")
        write_atomically(out / name, picture.getvalue())
    typer.echo(page)
    typer.echo(f"wrote {write_atomically(out / 'dissection.md', page.encode())}")


def _ready(registry: Registry, name: str, data: Dataset, dataset: str, weights: Path | None) -> tuple[nn.Module, str]:
    """A model on the CPU, and in words what it is."""
    spec = registry.model(name)
    path = find_weights(spec, dataset, weights, registry)
    words = name if path is None else f"{name}, trained on {read_header(path).dataset},"
    return ready_model(spec, data.info, path, torch.device("cpu")), words
