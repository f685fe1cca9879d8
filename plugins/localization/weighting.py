"""Which box loss a localizer learns by, and how heavy: `python -m roibench.plugins.localization.weighting` writes
results/box_weighting.md.

By the loss none can be told from another: each has a unit of its own, and the sum grows with the weight. They are told
by what counts, the share of images whose object is named and boxed with an IoU of 0.5. The backbone's first stages stay
as the start left them; its last one, on which both heads lean and over which the losses compete, and the heads are
trained, shortly, once per setting, on the same images in the same order.
"""

import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor, nn

from roibench.assemble import build_model
from roibench.dataset import Dataset
from roibench.datasets.reference import open_dataset
from roibench.files import write_atomically
from roibench.metric import Estimate
from roibench.metrics.localization import localization_accuracy
from roibench.plugins.localization.localizer import BoxLoss, Localizer
from roibench.plugins.localization.subset import Subset
from roibench.registry import Registry, installed
from roibench.train import Trainer
from roibench.weights import load_shared, shipped_weights

WEIGHTS = (0.5, 5.0, 50.0)
IMAGES, EPOCHS = 2_000, 4
BATCH = 50  # images that are predicted at once
FILE = Path("results/box_weighting.md")


@dataclass(frozen=True)
class Row:
    """One setting.

    loss, weight: Config.box_loss and .box_weight.
    values: localization_accuracy's, by name.
    losses: means over the last epoch, as they are summed.
    """

    loss: str
    weight: float
    values: dict[str, Estimate]
    losses: dict[str, float]


class Frozen(nn.Module):
    """A layer that neither learns nor keeps statistics of batches."""

    def __init__(self, layer: nn.Module) -> None:
        super().__init__()
        self.layer = layer.requires_grad_(False)

    def train(self, mode: bool = True) -> "Frozen":
        return super().train(False)

    @torch.no_grad()
    def forward(self, x: Tensor) -> Tensor:
        return self.layer(x)


def study(train: Dataset, val: Dataset, registry: Registry, epochs: int = EPOCHS) -> Iterator[Row]:
    """A row for every box loss and weight: learned on one dataset, scored on the other."""
    spec = registry.models["localizer"]
    start = shipped_weights(registry.models[spec.warm_start.model], spec.warm_start.dataset, registry)
    recipe = replace(spec.recipe, epochs=epochs, warmup_steps=50, average=None)
    samples = [val[index] for index in range(len(val))]
    targets = [one.target for one in samples]
    for loss in BoxLoss.__args__:
        for weight in WEIGHTS:
            torch.manual_seed(recipe.seed)
            model = build_model(spec, train.info, {"box_loss": loss, "box_weight": weight})
            load_shared(start, model)
            _freeze(model)
            with tempfile.TemporaryDirectory() as folder:
                trainer = Trainer(recipe, Path(folder), torch.device("cpu"), "float32", workers=0)
                model.fit(train, trainer)
            batches = (samples[i : i + BATCH] for i in range(0, len(samples), BATCH))
            found = [one for batch in batches for one in model.predict([sample.input for sample in batch])]
            yield Row(loss, weight, dict(localization_accuracy(found, targets).values), trainer.losses)


def _freeze(model: Localizer) -> None:
    """All of the backbone but its last stage."""
    backbone = model.backbone
    backbone.stem = Frozen(backbone.stem)
    for index in range(len(backbone.stages) - 1):
        backbone.stages[index] = Frozen(backbone.stages[index])


def table(rows: list[Row]) -> str:
    """Markdown; the best accuracy is bold."""
    best = max(row.values["accuracy50"].value for row in rows)
    lines = [
        "# How a localizer's two losses are weighed",
        "",
        f"icons, 500 images of val, after {EPOCHS} epochs of {IMAGES:,} images in which the last stage and the heads",
        "are trained, once per row. accuracy50, known_class50 and box_iou in %. The class loss has the weight 1;",
        "losses are those that are summed, each with its weight.",
        "Written by `python -m roibench.plugins.localization.weighting`.",
        "",
        "| box loss | its weight | accuracy50 [95 % CI] | known_class50 | box_iou | class loss | box loss |",
        "| :-- | --: | --: | --: | --: | --: | --: |",
    ]
    for row in rows:
        found = row.values["accuracy50"]
        mark = "**" if found.value == best else ""
        known, iou = (f"{100 * row.values[name].value:.1f}" for name in ("known_class50", "box_iou"))
        accuracy = f"{mark}{100 * found.value:.1f}{mark} [{100 * found.low:.1f}, {100 * found.high:.1f}]"
        losses = f"{row.losses['class']:.3f} | {row.losses['box']:.3f}"
        lines.append(f"| {row.loss} | {row.weight:g} | {accuracy} | {known} | {iou} | {losses} |")
    return "\n".join(lines) + "\n"


def main() -> None:
    registry = installed()
    train, val = (open_dataset("icons", registry, split=split) for split in ("train", "val"))
    rows = []
    for row in study(Subset(train, tuple(range(IMAGES))), val, registry):
        rows.append(row)
        print(f"{row.loss} {row.weight:g}: accuracy50 {row.values['accuracy50'].value:.3f}", flush=True)
    write_atomically(FILE, table(rows).encode())
    print(f"wrote {FILE}")


if __name__ == "__main__":
    main()
