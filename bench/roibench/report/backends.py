"""Cells of other backends than torch: what they lose against it, and what must be known of them."""

from collections.abc import Iterable, Sequence

from roibench.measure.pairs import accuracy_difference
from roibench.measure.record import BackendRun, Interval, Ok
from roibench.measure.setting import Setting
from roibench.specs import TORCH


def lost_against_torch(record: Ok, others: Sequence[Ok], task: str) -> Interval | None:
    """How much worse the cell is in what ranks the task than the same one in torch, on the same images, paired;
    negative where it gained. None for a cell of torch's, and where the other isn't there, or either has no resamples.
    """
    if record.backend is None:
        return None
    in_torch = record.cell.model_copy(update={"backend": TORCH})
    found = [
        other
        for other in others
        if (other.cell.label, other.cell.weights_hash) == (in_torch.label, in_torch.weights_hash)
        and Setting.of(other).is_like(Setting.of(record))
        and task in other.scores
    ]
    value = record.scores[task].values.get(record.scores[task].primary)
    if not found or value is None:
        return None
    latest = max(found, key=lambda other: other.started)
    sides = (latest, record) if value.higher_is_better else (record, latest)
    return accuracy_difference(*sides, task)


def backend_notes(records: Iterable[Ok]) -> list[str]:
    """A line per backend and model, in the order of the records; [] where torch ran all."""
    lines = dict.fromkeys(
        f"{record.cell.label}: {_in_words(record.backend)}" for record in records if record.backend is not None
    )
    ending = ["Lost against torch: on the same images, paired; negative where it gained."] if lines else []
    return [*lines, *ending]


def _in_words(run: BackendRun) -> str:
    words = f"{run.version} runs {', '.join(run.networks)}; the rest is torch's and Python's."
    if run.tolerance is not None:
        allowed = f"{run.difference:.1g} of the largest magnitude (at most {run.tolerance:.1g})"
        words += f" Its outputs differ from torch's by {allowed}."
    if run.calibration is not None:
        of = run.calibration
        words += f" Calibrated on the first {of.images} images of {of.dataset}@{of.split}, which aren't scored."
    return words
