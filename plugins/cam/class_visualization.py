"""Images of a class, made by gradient ascent on its score (Simonyan et al. 2013, arXiv 1312.6034, section 2).

What comes out shows what the network takes for the class, not what the class looks like; so another network is asked
whether it agrees.
"""

from dataclasses import dataclass, replace
from io import BytesIO
from pathlib import Path
from typing import Annotated

import torch
import typer
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor, nn
from torchvision.transforms.functional import gaussian_blur

from roibench.assemble import find_weights, ready_model
from roibench.datasets.reference import DatasetRef, open_dataset
from roibench.files import write_atomically
from roibench.nn.images import MEAN, STD
from roibench.plugins.cam.explainer import Explainable
from roibench.plugins.cam.pixels import Asked, evaluating
from roibench.registry import installed
from roibench.structures import Input

_GAP = 6


@dataclass(frozen=True)
class Ascent:
    """steps: of Adam.
    rate: of a step, in normalised pixels.
    l2: lambda, of the squared distance to the mean colour, the mean over pixels.
    jitter: pixels that the image is shifted by at random in each step.
    blur: sigma in pixels of what the image is blurred by every tenth step; 0: none.
    noise: of the start; 0: a grey image.
    """

    steps: int = 100
    rate: float = 0.2
    l2: float = 0.05
    jitter: int = 8
    blur: float = 1.5
    noise: float = 0.0


@dataclass(frozen=True)
class ClassImage:
    """label: the class. image: uint8 [3, H, W]. score: its score there. probability: by softmax over the classes."""

    label: int
    image: Tensor
    score: float
    probability: float


def visualize(model: Explainable, label: int, size: int, ascent: Ascent, seed: int = 0) -> ClassImage:
    """A square image of a side, in pixels, that raises a class's score.

    Raises ValueError for a label that is no class of the model.
    """
    generator = torch.Generator().manual_seed(seed)
    grey = torch.tensor(MEAN)[:, None, None].mul(255).round().to(torch.uint8).expand(3, size, size)
    with evaluating(model):
        batch = model.batch([Input("start", grey)])
        scores = model.class_scores(batch)
        if not 0 <= label < scores.shape[1]:
            raise ValueError(f"class {label}: want 0 to {scores.shape[1] - 1}")
        asked = Asked(batch, torch.tensor([label]), scores[:, label])
        start = batch.pixels + ascent.noise * torch.randn(batch.pixels.shape, generator=generator)
        pixels = _climb(model, asked, start, ascent, generator)
        image = _as_image(pixels)
        found = model.class_scores(replace(batch, pixels=_normalised(image)))[0]
    return ClassImage(label, image, float(found[label]), float(found.softmax(0)[label]))


def _climb(model: Explainable, asked: Asked, start: Tensor, ascent: Ascent, generator: torch.Generator) -> Tensor:
    pixels = start.clone().requires_grad_()
    optimizer = torch.optim.Adam([pixels], lr=ascent.rate)
    low, high = (_normalised(torch.full((3, 1, 1), value, dtype=torch.uint8)) for value in (0, 255))
    for step in range(ascent.steps):
        shift = torch.randint(-ascent.jitter, ascent.jitter + 1, (2,), generator=generator).tolist()
        with torch.enable_grad():
            moved = pixels.roll(shift, (2, 3))
            loss = -asked.score(model, moved).sum() + ascent.l2 * pixels.square().mean()
            (pixels.grad,) = torch.autograd.grad(loss, [pixels])
        optimizer.step()
        pixels.data = pixels.data.clamp(low, high)
        if ascent.blur and step % 10 == 9 and step + 1 < ascent.steps:
            pixels.data = gaussian_blur(pixels.data, 5, ascent.blur)
    return pixels.detach()


def _as_image(pixels: Tensor) -> Tensor:
    mean, std = (torch.tensor(one)[:, None, None] for one in (MEAN, STD))
    return (255 * (pixels[0] * std + mean)).round().clamp(0, 255).to(torch.uint8)


def _normalised(image: Tensor) -> Tensor:
    mean, std = (torch.tensor(one)[:, None, None] for one in (MEAN, STD))
    return ((image.float() / 255 - mean) / std)[None]


def class_images(
    model: Annotated[str, typer.Argument(help="a classifier")],
    judge: Annotated[str, typer.Option(help="another model, which is asked whether it agrees")] = "vit",
    dataset: Annotated[str, typer.Option(help="whose weights are used")] = "icons",
    labels: Annotated[str, typer.Option("--classes", help="names, separated by commas (default: all)")] = "",
    starts: Annotated[int, typer.Option(help="images per class: the first from grey, the others from noise")] = 2,
    steps: Annotated[int, typer.Option(help="of the ascent")] = Ascent.steps,
    l2: Annotated[float, typer.Option(help="lambda, of the squared distance to the mean colour")] = Ascent.l2,
    jitter: Annotated[int, typer.Option(help="pixels that the image is shifted by at random")] = Ascent.jitter,
    blur: Annotated[float, typer.Option(help="sigma in pixels; 0: none")] = Ascent.blur,
    out: Annotated[Path | None, typer.Option(help="a .png (default: class-images-MODEL.png)")] = None,
) -> None:
    registry = installed()
    info = open_dataset(dataset, registry).info
    names = [word.strip() for word in labels.split(",") if word.strip()] or list(info.classes)
    if wrong := [name for name in names if name not in info.classes]:
        raise ValueError(f"--classes {wrong[0]!r}: want some of {', '.join(info.classes)}")
    ready: list[nn.Module] = []
    for name in (model, judge):
        spec = registry.model(name)
        weights = find_weights(spec, DatasetRef.parse(dataset).name, None, registry)
        ready.append(ready_model(spec, info, weights, torch.device("cpu")))
    ascent, size = Ascent(steps, l2=l2, jitter=jitter, blur=blur), (info.image_size or (128, 128))[0]
    found, agreed = [], 0
    for name in names:
        for start in range(starts):
            noise = 0.3 if start else 0.0
            one = visualize(ready[0], info.classes.index(name), size, replace(ascent, noise=noise), seed=start)
            [seen] = ready[1].predict([Input(name, one.image)])
            thinks = info.classes[int(seen.class_scores.argmax())]
            figures = f"score {one.score:.2f}, probability {one.probability:.3f}"
            typer.echo(f"{name}, start {start}: {figures}; {judge} says {thinks}")
            found.append((one, f"{name}: {thinks}"))
            agreed += thinks == name
    typer.echo(f"{judge} agrees on {agreed} of {len(found)}")
    file = out or Path(f"class-images-{model}.png")
    typer.echo(f"wrote {write_atomically(file, _sheet(found, starts))}")


def _sheet(found: list[tuple[ClassImage, str]], per_class: int) -> bytes:
    """A row per image of a class, a column per class; beneath each what the judge takes it for."""
    font = ImageFont.load_default(size=12)
    line, side = sum(font.getmetrics()), found[0][0].image.shape[1]
    columns = -(-len(found) // per_class)
    sheet = Image.new("RGB", (columns * (side + _GAP) + _GAP, per_class * (side + line + _GAP) + _GAP), "white")
    pen = ImageDraw.Draw(sheet)
    for index, (one, text) in enumerate(found):
        x, y = _GAP + index // per_class * (side + _GAP), _GAP + index % per_class * (side + line + _GAP)
        sheet.paste(Image.fromarray(one.image.permute(1, 2, 0).numpy()), (x, y))
        pen.text((x, y + side), text, fill="black", font=font)
    picture = BytesIO()
    sheet.save(picture, "png")
    return picture.getvalue()
