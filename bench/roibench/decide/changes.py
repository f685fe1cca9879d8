"""What changed from an old set of records to a new one, model by model, and whether it is more than chance."""

import os
from collections.abc import Sequence
from enum import StrEnum
from itertools import zip_longest
from pathlib import PurePosixPath

from roibench.claim import difference_of_leads
from roibench.datasets.reference import DatasetRef
from roibench.decide.data import Data
from roibench.decide.record_sets import Origin, RecordSet
from roibench.measure.pairs import (
    accuracy_difference,
    latency_ratio,
    noise_floor,
    shared_images,
    unpaired_ratio,
    value_over,
)
from roibench.measure.record import Interval, Ok
from roibench.measure.setting import Setting, machine_of


class Verdict(StrEnum):
    """Of a change. EQUAL: to the last digit that a record has."""

    BETTER = "better"
    WORSE = "worse"
    EQUAL = "equal"
    CANNOT_TELL = "can't be told"
    NOT_COMPARED = "not compared"


class Change(Data):
    """Of what ranks a task, or of the time per image.

    old, new: the values; a fraction where the unit is %, milliseconds.
    change: new - old of what ranks, new / old of a time; None where they aren't compared.
    paired: by the same resamples of images, by the turns that both took together.
    count: how many images, or turns, the change rests on.
    noise_floor: a share; no smaller change in time is one.
    note: what must be known of it, or why there is none.
    """

    old: float | None
    new: float | None
    change: Interval | None
    paired: bool
    count: int
    verdict: Verdict
    noise_floor: float | None = None
    note: str = ""


class Accuracy(Change):
    task: str
    value: str
    unit: str
    higher_is_better: bool


class CellChange(Data):
    """A cell that is on both sides. place: the file that it is in, where there are several."""

    place: str
    model: str
    dataset: str
    setting: str
    old_cell: str
    new_cell: str
    accuracies: tuple[Accuracy, ...]
    time: Change


class Changes(Data):
    """old, new: where the records come from. only_old, only_new: models that the other side lacks, by dataset and
    setting. differing: what else differs between them, such as versions, by what it is: old and new.
    """

    old: Origin
    new: Origin
    cells: tuple[CellChange, ...]
    only_old: dict[str, tuple[str, ...]]
    only_new: dict[str, tuple[str, ...]]
    differing: dict[str, tuple[str, str]]


def changes(old: RecordSet, new: RecordSet, across_machines: bool = False) -> Changes:
    """Pairs the cells of both that are of the same model, knobs, dataset, device, precision, batch size and threads.

    Times of different machines are compared only if across_machines. Raises ValueError where nothing can be compared.
    """
    pairs, only_old, only_new = _paired(old, new)
    if not pairs:
        raise ValueError(f"{old.name} and {new.name} have no cell in common: of the same model, dataset and setting")
    cells = tuple(_cell(place, *pair, across_machines) for place, *pair in pairs)
    if all(one.verdict is Verdict.NOT_COMPARED for cell in cells for one in (*cell.accuracies, cell.time)):
        raise ValueError(f"nothing of {old.name} and {new.name} can be compared: {cells[0].time.note}")
    first, second = (versions([pair[side] for pair in pairs]) for side in (1, 2))
    differing = {name: (first[name], second[name]) for name in first if first[name] != second[name]}
    return Changes(
        old=old.origin,
        new=new.origin,
        cells=cells,
        only_old=_lone(only_old),
        only_new=_lone(only_new),
        differing=differing,
    )


def _paired(old: RecordSet, new: RecordSet) -> tuple[list[tuple[str, Ok, Ok]], list[Ok], list[Ok]]:
    """Of each place the cells that both sides have; and what one lacks."""
    sides = _by_key(old), _by_key(new)
    if len(old.files) == 1 or len(new.files) == 1:  # one file is held against all, whatever it is called
        sides = [_together(side) for side in sides]
    pairs, only_old, only_new = [], [], []
    for key in dict.fromkeys([*sides[0], *sides[1]]):
        first, second = (list(side.get(key, ())) for side in sides)
        for one in list(first):  # trainings of one model: those of the same weights
            same = [other for other in second if other.cell.weights_hash == one.cell.weights_hash]
            if same and len(first) + len(second) > 2:
                pairs.append((key[0], one, same[-1]))
                first.remove(one)
                second.remove(same[-1])
        for one, other in zip_longest(first, second):
            if one and other:
                pairs.append((key[0], one, other))
            else:
                (only_old if one else only_new).append(one or other)
    return pairs, only_old, only_new


def _by_key(source: RecordSet) -> dict[tuple[object, ...], list[Ok]]:
    found: dict[tuple[object, ...], list[Ok]] = {}
    above = os.path.commonpath([PurePosixPath(file).parent for file in source.files])
    for file, records in source.files.items():
        place = str(PurePosixPath(file).parent.relative_to(above))
        for record in records:
            if isinstance(record, Ok):
                cell = record.cell
                what = (cell.label, DatasetRef.parse(cell.dataset).label, cell.device, cell.precision)
                found.setdefault((place, *what, cell.batch_size, cell.threads), []).append(record)
    return found


def _together(side: dict[tuple[object, ...], list[Ok]]) -> dict[tuple[object, ...], list[Ok]]:
    found: dict[tuple[object, ...], list[Ok]] = {}
    for (_, *key), records in side.items():
        found.setdefault(("", *key), []).extend(records)
    return found


def _cell(place: str, old: Ok, new: Ok, across_machines: bool) -> CellChange:
    setting = Setting.of(new)
    return CellChange(
        place=place,
        model=new.cell.label,
        dataset=DatasetRef.parse(new.cell.dataset).label,
        setting=", ".join(setting.parts[1:-1]),
        old_cell=old.cell_id,
        new_cell=new.cell_id,
        accuracies=tuple(_accuracy(old, new, task) for task in new.scores if task in old.scores),
        time=time_change(old, new, across_machines),
    )


def _accuracy(old: Ok, new: Ok, task: str) -> Accuracy:
    score = new.scores[task]
    declared = score.values.get(score.primary) or old.scores[task].values.get(old.scores[task].primary)
    about = {
        "task": task,
        "value": score.primary,
        "unit": declared.unit if declared else "",
        "higher_is_better": declared.higher_is_better if declared else True,
    }
    images = shared_images(new, old, task)
    values = [images and (found := value_over(one, task, images)) and found.value for one in (old, new)]
    about |= {"old": values[0], "new": values[1], "count": images or 0}
    if old.cell.dataset_hash != new.cell.dataset_hash:
        return _uncompared(about, f"other data: {old.cell.dataset_hash[:8]}, now {new.cell.dataset_hash[:8]}")
    if old.scores[task].primary != score.primary:
        return _uncompared(about, f"ranked by {old.scores[task].primary}, now by {score.primary}")
    if images is None:
        why = f"on {old.images} and {new.images} images, of which no common number is recorded"
        return _uncompared(about, why)
    if None in values:
        return _uncompared(about, "undefined")
    found, paired = accuracy_difference(new, old, task), True
    if found is None:
        found, paired = difference_of_leads(_interval(new, task), _interval(old, task)), False
    if values[0] == values[1] and (not paired or found.low == found.high):
        verdict = Verdict.EQUAL
    elif found.low <= 0 <= found.high:
        verdict = Verdict.CANNOT_TELL
    else:
        verdict = Verdict.BETTER if (found.low > 0) == about["higher_is_better"] else Verdict.WORSE
    note = "" if paired else "not paired: a record of before schema 7 has no resamples"
    return Accuracy(**about, change=found, paired=paired, verdict=verdict, note=note)


def _interval(record: Ok, task: str) -> Interval:
    return record.scores[task].values[record.scores[task].primary]


def _uncompared(about: dict[str, object], why: str) -> Accuracy:
    return Accuracy(**about, change=None, paired=False, verdict=Verdict.NOT_COMPARED, note=why)


def time_change(old: Ok, new: Ok, across_machines: bool = False) -> Change:
    """Of the time per image; NOT_COMPARED, with the reason, where it can't be."""
    about = {"old": old.latency.p50.value, "new": new.latency.p50.value}
    if old == new:
        note = "the same record on both sides"
        return Change(**about, change=None, paired=False, count=0, verdict=Verdict.EQUAL, note=note)
    machines = machine_of(old), machine_of(new)
    found, notes = latency_ratio(new, old), []
    paired = found is not None
    if old.cell.dataset_hash != new.cell.dataset_hash:
        why = f"other data: {old.cell.dataset_hash[:8]}, now {new.cell.dataset_hash[:8]}"
    elif machines[0] != machines[1] and not across_machines:
        why = f"other machine: {machines[0]}, now {machines[1]}; --across-machines compares times all the same"
    else:
        found = found or unpaired_ratio(new, old)
        why = "" if found else "a record of before schema 7 has no turns"
    if why or found is None:
        return Change(**about, change=None, paired=False, count=0, verdict=Verdict.NOT_COMPARED, note=why)
    if machines[0] != machines[1]:
        notes.append(f"other machine: {machines[0]}, now {machines[1]}")
    if old.images != new.images:
        notes.append(f"timed on {old.images} images, now {new.images}")
    turns = min(len(one.latency.turns.medians) for one in (old, new))
    floor = max(
        (one for one in map(noise_floor, (old.latency.turns, new.latency.turns)) if one is not None), default=None
    )
    if floor is None and not paired:
        notes.append("no noise floor (A/A) is known")
    return Change(
        **about,
        change=found,
        paired=paired,
        count=turns,
        verdict=_verdict(found, 0.0 if paired and floor is None else floor),
        noise_floor=floor,
        note="; ".join(notes),
    )


def _verdict(ratio: Interval, floor: float | None) -> Verdict:
    """Of a time. Beyond the noise floor, too; where none is known, nothing can be told."""
    if floor is not None and ratio.low > 1 and ratio.value - 1 > floor:
        return Verdict.WORSE
    if floor is not None and ratio.high < 1 and 1 / ratio.value - 1 > floor:
        return Verdict.BETTER
    return Verdict.CANNOT_TELL


def _lone(records: Sequence[Ok]) -> dict[str, tuple[str, ...]]:
    found: dict[str, tuple[str, ...]] = {}
    for record in records:
        where = ", ".join([DatasetRef.parse(record.cell.dataset).label, *Setting.of(record).parts[1:-1]])
        found[where] = (*found.get(where, ()), record.cell.label)
    return found


def versions(records: Sequence[Ok]) -> dict[str, str]:
    """What figures depend on beside this project's code, in words; of several records all that occur."""
    made = [record.provenance for record in records]
    found = {
        "machine": map(machine_of, records),
        "SIMD level": (one.simd_level for one in made),
        "torch": (one.torch for one in made),
        "torchvision": (one.torchvision for one in made),
        "Python": (one.python for one in made),
        "GPU": (one.gpu or "none" for one in made),
        "driver": (one.driver or "none" for one in made),
        "system": (one.platform for one in made),
        "RoIBench": (one.roibench for one in made),
    }
    return {name: " and ".join(sorted(set(values))) for name, values in found.items()}
