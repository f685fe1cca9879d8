"""What a run pins and tells of models from outside: their files, their settings, whose classes are whose."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from roibench.dataset import DatasetInfo
from roibench.files import cached_hash
from roibench.measure.record import FromOutside
from roibench.outside.class_map import ClassMap, match_classes
from roibench.registry import unknown
from roibench.sources import CLASS_MAP
from roibench.specs import ModelSpec


def outside_hashes(spec: ModelSpec) -> dict[str, str]:
    """SHA-256 of each file that the model is made of, by its name; of several of one name, by as much of the path as
    tells them apart.
    """
    files = spec.learns.outside.files
    return {_shortest(file, files): cached_hash(file) for file in files}


def _shortest(file: Path, files: Sequence[Path]) -> str:
    others = [other.parts for other in files if other != file]
    count = next(n for n in range(1, len(file.parts) + 1) if all(file.parts[-n:] != parts[-n:] for parts in others))
    return Path(*file.parts[-count:]).as_posix()


def classes_of(spec: ModelSpec, info: DatasetInfo) -> ClassMap | None:
    """Whose classes are whose; None where the model has the dataset's. Raises ClassMapError where none of them is."""
    model = spec.learns
    if model.outside.classes is None or model.outside.random_weights:
        return None
    return match_classes(model.outside.classes, info.classes, model.config.get(CLASS_MAP, {}))


def from_outside(spec: ModelSpec, classes: ClassMap | None) -> FromOutside:
    """What the model's cells keep of it. classes: as classes_of gave them."""
    outside = spec.learns.outside
    return FromOutside(
        source=outside.source,
        files=outside_hashes(spec),
        settings=dict(outside.settings),
        classes={} if classes is None else classes.names,
        missing=() if classes is None else classes.missing,
        random_weights=outside.random_weights,
    )


def remarks(spec: ModelSpec, classes: ClassMap | None, dataset: str) -> list[str]:
    """What a person must know of the model before they believe its figures: a line each."""
    lines = [*spec.learns.outside.remarks, *([] if classes is None else classes.lines(dataset))]
    return [f"{spec.name}: {line}" for line in lines]


def check_class_map(table: Mapping[str, str | None], models: Sequence[ModelSpec], classes: Sequence[str]) -> None:
    """Raises ValueError for a line of --class-map that is about no model's class, or no dataset's.

    classes: of all of the run's datasets.
    """
    own = {name for spec in models if spec.learns.outside for name in spec.learns.outside.classes or ()}
    if not own:
        raise ValueError("--class-map: no model of this run brings classes of its own: want a model from outside")
    for mine, theirs in table.items():
        if mine not in own:
            raise ValueError(f"--class-map: {mine!r}: {unknown('class of the models', mine, own)}")
        if theirs is not None and theirs not in classes:
            raise ValueError(f"--class-map: {theirs!r}: {unknown('class of the dataset', theirs, classes)}")
