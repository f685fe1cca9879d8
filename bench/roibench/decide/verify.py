"""A published record, measured again here: reproduced within its interval, or what differs."""

from collections.abc import Callable
from enum import StrEnum
from pathlib import Path

from roibench.datasets.reference import DatasetRef, found_from, open_dataset
from roibench.decide.changes import Change, Verdict, time_change, versions
from roibench.decide.data import Data
from roibench.decide.record_sets import Origin, RecordSet
from roibench.measure.plan import Plan, make_plan
from roibench.measure.record import Interval, Ok
from roibench.measure.run import Run
from roibench.options import Options
from roibench.registry import Registry

# A published cell is measured on as many images as it was, however slow this machine is.
_NO_BUDGET_S = 1e6


class Outcome(StrEnum):
    REPRODUCED = "reproduced"
    DIFFERS = "differs"
    NOT_COMPARED = "not compared"


class Value(Data):
    """What ranks a task, or is shown beside it: as published, with its interval, and here."""

    task: str
    value: str
    unit: str
    published: Interval
    here: float | None
    outcome: Outcome


class Verification(Data):
    """same_predictions: to the last bit. time: published and here. differing: what isn't as it was, by what it is: then
    and here. warnings: of what disturbed the times here. run: the folder of the record that was made here; None where
    the data differ, and nothing was measured.
    """

    cell: str
    model: str
    dataset: str
    published: Origin
    values: tuple[Value, ...]
    time: Change | None
    same_predictions: bool
    differing: dict[str, tuple[str, str]]
    warnings: tuple[str, ...] = ()
    run: str | None

    @property
    def outcome(self) -> Outcome:
        """Whether accuracies, and times where they can be compared, lie where they were published."""
        if self.run is None:
            return Outcome.DIFFERS
        wrong = any(one.outcome is not Outcome.REPRODUCED for one in self.values)
        return Outcome.DIFFERS if wrong or self.time_outcome is Outcome.DIFFERS else Outcome.REPRODUCED

    @property
    def time_outcome(self) -> Outcome:
        if self.time is None or self.time.verdict is Verdict.NOT_COMPARED:
            return Outcome.NOT_COMPARED
        return Outcome.DIFFERS if self.time.verdict in (Verdict.BETTER, Verdict.WORSE) else Outcome.REPRODUCED


def selected(source: RecordSet, cell: str | None) -> Ok:
    """The record of a cell: its id, or what tables call its model. Raises ValueError where that is none, or several."""
    found = [one for one in source.ran if cell in (None, one.cell_id, one.cell.label, one.cell.model)]
    exact = [one for one in found if cell in (one.cell_id, one.cell.label)]
    found = exact or found
    if not found:
        raise ValueError(f"{source.name}: no cell {cell!r} that ran; there are: {_listed(source.ran, True)}")
    if len(found) > 1:
        several = len({one.cell.label for one in found}) < len(found)
        raise ValueError(f"{source.name}: name one of its cells by --cell: {_listed(found, not several)}")
    return found[0]


def _listed(records: list[Ok], labels: bool) -> str:
    return ", ".join(dict.fromkeys(one.cell.label if labels else one.cell_id for one in records))


def verify(record: Ok, source: RecordSet, out: Path, registry: Registry, tell: Callable[[str], None]) -> Verification:
    """Measures the cell again: the same images, rounds, knobs, device, precision, batch size and threads.

    Raises ValueError where it can't be run here, and RuntimeError where it fails.
    """
    near = source.folder or Path()
    dataset = found_from(record.cell.dataset, near)
    data = open_dataset(dataset, registry, on_bad_data=record.cell.on_bad_data)
    about = {
        "cell": record.cell_id,
        "model": record.cell.label,
        "dataset": DatasetRef.parse(record.cell.dataset).label,
        "published": RecordSet(source.name, {"": (record,)}, None).origin,
    }
    if data.hash != record.cell.dataset_hash:
        differing = {"data": (record.cell.dataset_hash[:12], data.hash[:12])}
        return Verification(**about, values=(), time=None, same_predictions=False, differing=differing, run=None)
    run = Run(_plan(record, dataset, near, registry), out, registry)
    try:
        [here] = [*run.records] or list(run.measure(run.plan.cells, tell))
    finally:
        run.finish()
    if not isinstance(here, Ok):
        raise RuntimeError(f"{record.cell_id} ran when it was published, and fails here: {here.error}")
    return Verification(
        **about,
        values=tuple(_values(record, here)),
        time=time_change(record, here),
        same_predictions=here.predictions_sha256 == record.predictions_sha256,
        differing=_differing(record, here),
        warnings=here.interference.warnings if here.interference else (),
        run=str(run.folder),
    )


def _plan(record: Ok, dataset: str, near: Path, registry: Registry) -> Plan:
    cell = record.cell
    weights = Path(cell.weights) if cell.weights else None
    if weights and not weights.exists():
        places = (place / weights for place in (near.resolve(), *near.resolve().parents))
        weights = next((place for place in places if place.exists()), weights)
    options = Options(
        models=(cell.model,),
        datasets=(dataset,),
        devices=(cell.device,),
        precisions=(cell.precision,),
        batch_sizes=(cell.batch_size,),
        threads=(cell.threads,),
        images=record.images,
        rounds=cell.rounds,
        backends=(cell.backend,),
        knobs={name: (value,) for name, value in cell.knobs.items()},
        weights=weights,
        on_bad_data=cell.on_bad_data,
        budget_s=_NO_BUDGET_S,
        timeout_s=cell.timeout_s,
    )
    return make_plan(options, registry)


def _values(record: Ok, here: Ok) -> list[Value]:
    found = []
    for task, score in record.scores.items():
        for key, value in score.values.items():
            if key != score.primary and not value.shown:
                continue
            again = here.scores[task].values.get(key) if task in here.scores else None
            inside = again is not None and value.low <= again.value <= value.high
            found.append(
                Value(
                    task=task,
                    value=key,
                    unit=value.unit,
                    published=Interval(value=value.value, low=value.low, high=value.high),
                    here=again and again.value,
                    outcome=Outcome.REPRODUCED if inside else Outcome.DIFFERS,
                )
            )
    return found


def _differing(record: Ok, here: Ok) -> dict[str, tuple[str, str]]:
    def told(one: Ok) -> dict[str, str]:
        made = one.provenance
        commit = f"{(made.commit or 'unknown')[:10]}{', modified' if made.dirty else ''}"
        found = versions([one]) | {"commit": commit, "weights": (one.cell.weights_hash or "none")[:12]}
        return found | {f"plugin {plugin.name}": plugin.sha256[:12] for plugin in made.plugins}

    then, now = told(record), told(here)
    shared = [name for name in then if name in now]  # a plugin that was not there then, or isn't now, was not asked
    return {name: (then[name], now[name]) for name in shared if then[name] != now[name]}
