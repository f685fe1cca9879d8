"""A cell's specification and its record: plain data, made in one place, read everywhere. Both are JSON on disk."""

import hashlib
import re
from collections.abc import Mapping
from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter

from roibench.datasets.bad_data import OnBadData
from roibench.datasets.reference import DatasetRef
from roibench.measure.migrate import SCHEMA_VERSION, migrated
from roibench.options import Precision
from roibench.specs import TORCH, Point


class _Data(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class FromOutside(_Data):
    """What pins a model that no plugin registered by name (roibench.specs.Outside).

    source: as typed.
    files: SHA-256 of each file that it is made of, weights of any format, by the file's name.
    settings: how it is fed and decoded, as read or guessed.
    classes: its own names -> the dataset's, None for one that was left out; empty where it has the dataset's.
    missing: the dataset's classes that it can't find.
    random_weights: nobody trained it: nothing was scored.
    """

    source: str
    files: dict[str, str] = {}
    settings: dict[str, Any] = {}
    classes: dict[str, str | None] = {}
    missing: tuple[str, ...] = ()
    random_weights: bool = False

    @property
    def unscored(self) -> str | None:
        """Why it is measured for its speed alone, in a word or two; None where its accuracy means something."""
        if self.random_weights:
            return "random weights"
        return "other classes" if self.classes and not any(self.classes.values()) else None


class CellSpec(_Data):
    """One cell: model x backend x dataset x device x precision x batch size x threads, and how it is measured.

    dataset: a source such as `scenes` or `voc:PATH@test`.
    dataset_hash: pins its content.
    weights: path of a file, None for those that the model ships for this dataset.
    weights_hash: pins either, or what a model holds that finds its weights by itself.
    plugins_hash: pins the files of all plugins, see Plugin; None: whichever there are.
    images: how many, from the first one on; None for all.
    rounds: timed passes over the images, at least.
    outside: of a model from outside, what it is; None for a registered one.
    knobs: what was set of the model's, by name, in the order in which it declares them.
    backend: what runs the model's networks.
    budget_s: seconds that the timed rounds may take; a slower model is run on the first images alone.
    timeout_s: seconds after which the cell is given up.
    """

    model: str
    dataset: str
    dataset_hash: str
    device: str = "cpu"
    precision: Precision = "float32"
    batch_size: int = Field(1, ge=1)
    threads: int = Field(ge=1)
    images: int | None = Field(None, ge=1)
    rounds: int = Field(1, ge=1)
    weights: str | None = None
    weights_hash: str | None = None
    plugins_hash: str | None = None
    on_bad_data: OnBadData = "fail"
    knobs: dict[str, int | float] = {}
    outside: FromOutside | None = None
    backend: str = TORCH
    seed: int = 0
    budget_s: float = 120.0
    timeout_s: float = 900.0

    @property
    def id(self) -> str:
        """Short, stable name of the cell: what it is, and a digest of everything that it depends on."""
        # Cells of before there were knobs, models from outside, or backends, keep their names.
        unset = {name for name in ("knobs", "outside") if not getattr(self, name)}
        unset |= {"backend"} if self.backend == TORCH else set()
        digest = hashlib.sha256(self.model_dump_json(exclude=unset).encode()).hexdigest()[:8]
        name = DatasetRef.parse(self.dataset).name
        knobs = "".join(f"-{knob}{value}" for knob, value in self.knobs.items())
        model = re.sub(r"[^\w.@-]+", "-", self.model)
        backend = "" if self.backend == TORCH else f"-{self.backend}"
        return f"{model}{knobs}{backend}-{name}-{self.device.replace(':', '')}-{self.precision}-{digest}"

    @property
    def label(self) -> str:
        """The model and what was set of it, as reports and claims name it: `faster_rcnn proposals=50 backend=onnx`."""
        backend = [] if self.backend == TORCH else [f"backend={self.backend}"]
        return " ".join([self.model, *(f"{name}={value}" for name, value in self.knobs.items()), *backend])

    @property
    def is_plain(self) -> bool:
        """The model as it is registered, run by torch."""
        return not self.knobs and self.backend == TORCH

    @property
    def typed_model(self) -> str:
        """What opens it again: its name, or its source."""
        return self.model if self.outside is None else f"{self._around}{self.outside.source}"

    @property
    def _around(self) -> str:
        """Of WRAPPER@SCHEME:REST, the wrapper and its @."""
        return self.model[: self.model.partition(":")[0].rfind("@") + 1]


class Interval(_Data):
    """A value and its 95 % confidence interval."""

    value: float
    low: float
    high: float


class ScoreValue(Interval):
    """A metric's value, and what the metric declared of it (roibench.specs.Value).

    resampled: in each resample of the images, of a value that tables show beside what ranks; the latter's are the
        score's. Not in records of before schema 9.
    """

    unit: str
    higher_is_better: bool
    shown: bool
    plotted: bool
    point: Point | None = None
    resampled: tuple[float | None, ...] = Field((), repr=False)


class Prefix(_Data):
    """A value over the first images; the one that ranks, where a record holds it. resampled: as in Score."""

    value: float
    resampled: tuple[float | None, ...]


class Score(_Data):
    """One task's accuracy: values by METRIC/VALUE (coco_ap/AP), and which of them ranks models.

    score_threshold and max_detections: how each image's detections were cut before they were scored; None: not cut.
    warnings: what is doubtful about the predictions that were scored, in words, with counts.
    resampled: the value that ranks in each resample of the images: cells that were scored on the same ones are compared
        resample by resample. Not in records of before schema 7.
    prefixes: by a number of first images, so that cells of different numbers are compared over the same ones: those of
        roibench.measure.prefixes. Not in records of before schema 8.
    """

    primary: str
    values: dict[str, ScoreValue]
    score_threshold: float | None = None
    max_detections: int | None = None
    warnings: tuple[str, ...] = ()
    resampled: tuple[float | None, ...] = ()
    prefixes: dict[int, Prefix] = {}


class Turns(_Data):
    """How a cell was timed in turns with others (roibench.measure.turns), and what makes it comparable.

    run: stands for the cells that took turns with each other or, in groups, with one reference cell.
    group: the number of the one that was alive together.
    medians: milliseconds per image, of each turn.
    reference_cell: the id of the cell that was alive twice; None where its second process didn't live.
    reference: the medians of that process in the same turns.
    noise_floor: the upper 95 % bound of how far two measurements of the same cell lie apart (A/A), as a share; None
        where the reference cell wasn't measured twice.
    """

    run: str
    group: int
    medians: tuple[float, ...]
    reference_cell: str | None
    reference: tuple[float, ...]
    noise_floor: float | None


class Latency(_Data):
    """Milliseconds per image: decoded image on the host -> final predictions on the host.

    One sample per timed call, divided by the batch size. The interval of the median is over turns; in records of before
    schema 7, which have none, it is a bootstrap over images and rounds.
    throughput: images per second over the whole timed span.
    cpu: processor time, user and system, of all threads, per image; None before schema 7.
    """

    p50: Interval
    p90: float
    p99: float
    mean: float
    throughput: float
    samples: list[float]
    cpu: float | None = None
    turns: Turns | None = None


class Stage(_Data):
    """A part of predict, from passes of their own: median milliseconds per image, and its share of their sum."""

    name: str
    milliseconds: float
    share: float


class Memory(_Data):
    """Mebibytes. On the CPU: resident memory of the cell's process, on a GPU: what torch's allocator held.

    Pages of the libraries' code are left out: how many come with one model depends on what ran before it.

    before: when the dataset was open and the model not yet there; before schema 7, when the timed rounds began.
    peak: of a pass of its own, before anything was timed; before schema 7, of the timed rounds. Of another backend than
        torch it holds what exporting and compiling took.
    """

    before: float
    peak: float

    @property
    def taken(self) -> float:
        """By the model and its predictions."""
        return self.peak - self.before


class Energy(_Data):
    """Joules per image, above what the chips take at rest, over the timed turns.

    joules: over all turns, with an interval over these.
    idle_watts: at rest, before the turns.
    counters: what counted.
    turns: joules per image of each.
    """

    joules: Interval
    idle_watts: float
    counters: tuple[str, ...]
    turns: list[float]


class Interference(_Data):
    """What the machine did beside the timed rounds, from their beginning to their end; None: can't be known here.

    steal: share of the processors' time that a hypervisor gave to other guests.
    other_cores: how many cores other processes kept busy, on average.
    frequency_fall: the processor's clock at its lowest, against its highest, as a share lost.
    drift: before schema 7, by how much the last third of the rounds is slower than the first.
    warnings: what of this is too much for the times to be trusted, in words.
    """

    steal: float
    other_cores: float
    frequency_fall: float | None
    drift: float | None = None
    warnings: tuple[str, ...]


class Cost(_Data):
    """What a prediction takes beside time. None: unknown, where a model shows nothing that can be counted.

    parameters: trainable ones.
    flops: floating-point operations per image, a multiply-add being two, averaged over counted_images.
    passes: of a model around another one, its flops over those of a prediction of the one inside.
    """

    parameters: int | None
    flops: float | None
    counted_images: int
    passes: float | None = None


class Artefact(_Data):
    """Something to look at: file is relative to the run's folder."""

    name: str
    file: str
    sha256: str


class Plugin(_Data):
    """A plugin as it was loaded. distribution, version: what it was installed from, None if that isn't known.

    sha256: of all files of its packages, code and data.
    weights: SHA-256 of each file that its models name, as weights or in their config, whatever the format.
    """

    name: str
    distribution: str | None
    version: str | None
    sha256: str
    weights: dict[str, str] = {}


class Provenance(_Data):
    """Where and with what a record was made. plugins: all that were loaded."""

    roibench: str
    torch: str
    torchvision: str
    python: str
    commit: str | None
    dirty: bool | None
    platform: str
    cpu: str
    cores: int
    simd_level: str
    gpu: str | None
    driver: str | None
    cuda: str | None
    plugins: tuple[Plugin, ...] = ()


class Calibration(_Data):
    """Images that a backend was calibrated with, none of them scored: the first ones of another split."""

    dataset: str
    split: str
    images: int


class BackendRun(_Data):
    """What ran a model's networks in torch's place.

    version: of what ran them, such as `onnxruntime 1.32.0`.
    networks: which ones, by the model's names; all else is torch's and Python's.
    seconds: that it took to export, compile and calibrate, before anything was timed.
    difference: the largest between its outputs and torch's on the first images, as a share of the output's largest
        magnitude.
    tolerance: how large it might be; None where it isn't to be torch's result (int8).
    calibration: None for what needs none.
    """

    version: str
    networks: tuple[str, ...]
    seconds: float
    difference: float
    tolerance: float | None
    calibration: Calibration | None = None


class _CellRecord(_Data):
    """What every record holds of its cell."""

    schema_version: int = SCHEMA_VERSION
    cell: CellSpec
    cell_id: str
    started: datetime
    finished: datetime
    provenance: Provenance


class Ok(_CellRecord):
    """What a cell that ran gave.

    Files are relative to the run's folder.

    epochs: of the training that gave the weights; None where it isn't known.
    pretrained_on: the data that this training's start had learned from.
    predictions: what was timed and scored.
    energy: None where nothing counts it.
    per_image: each image's own values and what it costs (roibench.metric.Result). Records of before schema 2 have
        no interference, those of before 6 no per_image.
    backend: None where torch ran everything, as in records of before schema 11.
    """

    status: Literal["ok"] = "ok"
    family: str
    epochs: int | None = None
    pretrained_on: str | None = None
    images: int
    rounds: int
    scores: dict[str, Score] = Field(min_length=1)
    latency: Latency
    interference: Interference | None
    stages: list[Stage]
    memory: Memory
    cost: Cost
    energy: Energy | None = None
    predictions: str
    predictions_sha256: str
    per_image: str | None
    per_image_sha256: str | None
    artefacts: list[Artefact]
    backend: BackendRun | None = None

    @property
    def unscored(self) -> str | None:
        """Why it was measured for its speed alone, see FromOutside; None where it was scored."""
        return None if self.cell.outside is None else self.cell.outside.unscored

    @property
    def is_scored(self) -> bool:
        return self.unscored is None


class Failed(_CellRecord):
    """A cell that gave nothing, and why."""

    status: Literal["failed"] = "failed"
    error: str = Field(min_length=1)


Record = Annotated[Ok | Failed, Field(discriminator="status")]
RECORD: TypeAdapter[Ok | Failed] = TypeAdapter(Record)


def read_record(line: Mapping[str, Any]) -> Record:
    """A record as records.jsonl holds it, of this schema or an older one."""
    return RECORD.validate_python(migrated(line))
