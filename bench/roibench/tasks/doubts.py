"""What tasks share of their doubts: counting, and naming classes."""

from collections.abc import Iterable, Iterator, Sequence

from torch import Tensor

from roibench.task import Scored

_NAMED = 4  # classes that a sentence lists


def share(wrong: Tensor) -> str:
    """`37 of 120 (31 %)`, of a mask."""
    return f"{int(wrong.sum()):,} of {len(wrong):,} ({wrong.double().mean():.0%})".replace("%)", " %)")


def nothing_found(scored: Scored) -> str:
    images = f"nothing was found in any of {len(scored.kept):,} images"
    lower = sum(len(one.scores) for one in scored.returned if one.scores is not None)
    return f"{images}; {lower:,} scores lie below {scored.task.score_threshold}" if lower else images


def no_class_in_common(scored: Scored, found: set[int], true: set[int]) -> Iterator[str]:
    if found and true and not found & true:
        names = scored.frames[0].classes
        yield f"no class in common: predicted are {_listed(found, names)}; the data have {_listed(true, names)}"


def classes_of(columns: Iterable[Tensor | None]) -> set[int]:
    return {int(label) for column in columns if column is not None for label in column.unique()}


def _listed(labels: set[int], names: Sequence[str]) -> str:
    shown = [names[label] if label < len(names) else str(label) for label in sorted(labels)[:_NAMED]]
    return ", ".join(shown) + (f" and {len(labels) - _NAMED} more" if len(labels) > _NAMED else "")
