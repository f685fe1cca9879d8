"""Images that a backend calibrates with: of another split than the one that is scored."""

from dataclasses import replace

from roibench.backend import BackendError
from roibench.dataset import Dataset
from roibench.datasets.reference import DatasetRef, open_dataset
from roibench.measure.inputs import Inputs
from roibench.measure.record import Calibration, CellSpec
from roibench.registry import Registry
from roibench.task import Task

IMAGES = 64
SPLITS = ("train", "val", "test")  # the first that isn't scored


def calibration_inputs(
    spec: CellSpec, scored: Dataset, tasks: tuple[Task, ...], registry: Registry
) -> tuple[Inputs, Calibration]:
    """The first IMAGES of it. Raises BackendError where the dataset has no other split."""
    reference, reasons = DatasetRef.parse(spec.dataset), []
    for split in SPLITS:
        if split == scored.info.split:
            continue
        try:
            data = open_dataset(str(replace(reference, split=split)), registry, on_bad_data=spec.on_bad_data)
        except (ValueError, OSError) as error:
            reasons.append(f"{split}: {' '.join(str(error).split())}")
            continue
        if data.hash == scored.hash:
            reasons.append(f"{split}: has the same images")
            continue
        images = min(IMAGES, len(data))
        return Inputs(data, images, tasks), Calibration(
            dataset=replace(reference, split=None).label, split=split, images=images
        )
    want = f"want another split of {spec.dataset} than {scored.info.split!r} to calibrate on"
    raise BackendError(f"{want}; {'; '.join(reasons)}"[:400])
