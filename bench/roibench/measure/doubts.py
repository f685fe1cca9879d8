"""What is possible of predictions, but most likely a mistake: said in words, with counts, beside the scores.

One function per field of Prediction; each is pure and yields sentences.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from roibench.measure.checks import Frame
from roibench.structures import Prediction, Target
from roibench.task import TaskRules

BORDER = 1.0  # pixels by which a box may reach out of its image: rounding
MOST = 0.95  # of the boxes: a layout that these fit is likely meant
_NAMED = 4  # classes that a sentence lists


@dataclass(frozen=True)
class Scored:
    """What one task scores, image by image. returned: as the model gave it; kept: after the task's cut."""

    rules: TaskRules
    returned: Sequence[Prediction]
    kept: Sequence[Prediction]
    targets: Sequence[Target]
    frames: Sequence[Frame]


def doubts(scored: Scored) -> tuple[str, ...]:
    """Sentences on what the task's predictions have in doubt; none is the usual case."""
    fields = [name for name in scored.rules.prediction_fields if name in _DOUBTS]
    return tuple(sentence for name in fields for sentence in _DOUBTS[name](scored))


def boxes(scored: Scored) -> Iterator[str]:
    given = [(one.boxes, frame) for one, frame in zip(scored.kept, scored.frames, strict=True) if frame.size]
    if not any(len(found) for found, _ in given):
        if not any(len(one.boxes) for one in scored.kept):
            yield _nothing(scored)
        return
    found = torch.cat([found.double() for found, _ in given])
    sizes = torch.cat([_size(frame).expand(len(found), 2) for found, frame in given])
    if found.min() >= 0 and found.max() <= 1 and sizes.max() > 2:
        yield f"all {len(found):,} boxes lie within [0, 1]: divided by the image's size? want pixels"
        return
    inverted = (found[:, 2:] < found[:, :2]).any(1)
    outside = ~_inside(found, sizes)
    layouts = [name for name, corners in _LAYOUTS.items() if _fit(corners(found), sizes)]
    # Small boxes fit as corner and size, too: a hint only where the boxes don't fit as they are.
    hint = f"; as {' or '.join(layouts)} they fit: want x1, y1, x2, y2" if layouts and not _fit(found, sizes) else ""
    kinds = {
        "are inverted (x2 < x1 or y2 < y1)": inverted,
        "reach out of their image": outside,
        # A box that was cut to its image may be empty; many are another matter.
        "have no area": (found[:, 2:] == found[:, :2]).any(1) & bool(hint),
    }
    for kind, wrong in kinds.items():
        if wrong.any():
            yield f"{_share(wrong)} boxes {kind}{hint}"
            hint = ""


def scores(scored: Scored) -> Iterator[str]:
    falling = [bool((one.scores.diff() <= 0).all()) for one in scored.returned]
    if not all(falling):
        yield f"{_share(~torch.tensor(falling))} images have scores that aren't sorted, best first"


def labels(scored: Scored) -> Iterator[str]:
    found = _classes(one.labels for one in scored.kept)
    yield from _strangers(scored, found, _classes(one.labels for one in scored.targets))


def semantic_map(scored: Scored) -> Iterator[str]:
    found = _classes(one.semantic_map.unique() for one in scored.kept) - {0}
    true = _classes(one.semantic_map.unique() for one in scored.targets) - {0, 255}
    if not found:
        yield f"not a pixel in {len(scored.kept):,} images has another class than background"
    yield from _strangers(scored, {value - 1 for value in found}, {value - 1 for value in true})


def class_scores(scored: Scored) -> Iterator[str]:
    if scored.targets and all(one.image_label is not None for one in scored.targets):
        found = {int(one.class_scores.argmax()) for one in scored.kept}
        yield from _strangers(scored, found, {int(one.image_label) for one in scored.targets})


def keypoints(scored: Scored) -> Iterator[str]:
    points = [one.keypoints[..., :2].flatten().double() for one in scored.kept]
    values = torch.cat(points) if points else torch.zeros(0)
    if not len(values):
        yield _nothing(scored)
    elif values.min() >= 0 and values.max() <= 1 and any(max(frame.size or (0,)) > 2 for frame in scored.frames):
        yield f"all {len(values) // 2:,} keypoints lie within [0, 1]: divided by the image's size? want pixels"


def masks(scored: Scored) -> Iterator[str]:
    filled = [one.masks.flatten(1).any(1) for one in scored.kept]
    empty = ~torch.cat(filled) if filled else torch.zeros(0, dtype=torch.bool)
    if not len(empty):
        yield _nothing(scored)
    elif empty.any():
        yield f"{_share(empty)} masks have no pixel"


def attribution(scored: Scored) -> Iterator[str]:
    if scored.kept and all(one.attribution.min() == one.attribution.max() for one in scored.kept):
        yield f"all {len(scored.kept):,} attributions are the same everywhere in their image"


_DOUBTS: Mapping[str, Callable[[Scored], Iterator[str]]] = {
    doubt.__name__: doubt
    for doubt in (boxes, scores, labels, semantic_map, class_scores, keypoints, masks, attribution)
}

_LAYOUTS: Mapping[str, Callable[[Tensor], Tensor]] = {
    "x, y, width, height": lambda found: torch.cat([found[:, :2], found[:, :2] + found[:, 2:]], 1),
    "centre x, centre y, width, height": lambda found: torch.cat(
        [found[:, :2] - found[:, 2:] / 2, found[:, :2] + found[:, 2:] / 2], 1
    ),
}


def _fit(found: Tensor, sizes: Tensor) -> bool:
    """Whether most boxes are upright and lie in their images."""
    return bool((_inside(found, sizes) & (found[:, 2:] > found[:, :2]).all(1)).double().mean() >= MOST)


def _inside(found: Tensor, sizes: Tensor) -> Tensor:
    """[K] for boxes [K, 4] and sizes [K, 2] as width, height."""
    limits = torch.cat([sizes, sizes], 1)
    return ((found >= -BORDER) & (found <= limits + BORDER)).all(1)


def _size(frame: Frame) -> Tensor:
    height, width = frame.size
    return torch.tensor([[float(width), float(height)]], dtype=torch.float64)


def _nothing(scored: Scored) -> str:
    images = f"nothing was found in any of {len(scored.kept):,} images"
    lower = sum(len(one.scores) for one in scored.returned if one.scores is not None)
    return f"{images}; {lower:,} scores lie below {scored.rules.score_threshold}" if lower else images


def _strangers(scored: Scored, found: set[int], true: set[int]) -> Iterator[str]:
    if found and true and not found & true:
        names = scored.frames[0].classes
        yield f"no class in common: predicted are {_listed(found, names)}; the data have {_listed(true, names)}"


def _classes(columns: Iterator[Tensor | None]) -> set[int]:
    return {int(label) for column in columns if column is not None for label in column.unique()}


def _listed(labels: set[int], names: Sequence[str]) -> str:
    shown = [names[label] if label < len(names) else str(label) for label in sorted(labels)[:_NAMED]]
    return ", ".join(shown) + (f" and {len(labels) - _NAMED} more" if len(labels) > _NAMED else "")


def _share(wrong: Tensor) -> str:
    """`37 of 120 (31 %)`."""
    return f"{int(wrong.sum()):,} of {len(wrong):,} ({wrong.double().mean():.0%})".replace("%)", " %)")
