"""A cell's specification and its record: plain data, made in one place, read everywhere. Both are JSON on disk."""

import hashlib
from datetime import datetime
from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from roibench.datasets.bad_data import OnBadData
from roibench.datasets.reference import DatasetRef
from roibench.options import Precision

# 2 added `disturbance`, 3 `artefacts`, 4 `explains` and `passes`; 5 `plugins`, `plugins_hash`, and to each score its
# `score_threshold`, `max_detections` and `warnings`, and calls `interference` what was `disturbance`. Older records are
# still read.
SCHEMA_VERSION = 5


class _Data(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class CellSpec(_Data):
    """One cell: model x dataset x device x precision x batch size x threads, and how it is measured.

    dataset: a source such as `scenes` or `voc:PATH@test`; dataset_hash pins its content. weights: path of a file, None
    for those that the model ships for this dataset; weights_hash pins either, or what a model holds that finds its
    weights by itself. plugins_hash pins the files of all plugins, see Plugin; None: whichever there are. images: how
    many, from the first one on; None for all. rounds: timed passes over the images. budget_s: seconds that the timed
    rounds may take; a slower model is run on a prefix of the images. timeout_s: seconds after which the cell is given
    up.
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
    seed: int = 0
    budget_s: float = 120.0
    timeout_s: float = 900.0

    @property
    def id(self) -> str:
        """Short, stable name of the cell: what it is, and a digest of everything that it depends on."""
        digest = hashlib.sha256(self.model_dump_json().encode()).hexdigest()[:8]
        name = DatasetRef.parse(self.dataset).name
        return f"{self.model}-{name}-{self.device.replace(':', '')}-{self.precision}-{digest}"


class Interval(_Data):
    """A value and its 95 % confidence interval."""

    value: float
    low: float
    high: float


class Score(_Data):
    """One task's accuracy: values by name (AP, AP50, ...), and which of them ranks models.

    score_threshold and max_detections: how each image's detections were cut before they were scored; None: not cut.
    warnings: what is doubtful about the predictions that were scored, in words, with counts.
    """

    primary: str
    values: dict[str, Interval]
    score_threshold: float | None = None
    max_detections: int | None = None
    warnings: tuple[str, ...] = ()


class Latency(_Data):
    """Milliseconds per image: decoded image on the host -> final predictions on the host.

    One sample per timed call, divided by the batch size. The interval of the median resamples images and rounds.
    throughput: images per second over the whole timed span.
    """

    p50: Interval
    p90: float
    p99: float
    mean: float
    throughput: float
    samples: list[float]


class Stage(_Data):
    """A part of predict, from passes of their own: median milliseconds per image, and its share of their sum."""

    name: str
    milliseconds: float
    share: float


class Memory(_Data):
    """Mebibytes. On the CPU: resident memory of the cell's process before and at the peak of the timed rounds; on a
    GPU: what torch's allocator held."""

    before: float
    peak: float


class Interference(_Data):
    """What the machine did beside the timed rounds, from their beginning to their end; None: can't be known here.

    steal: share of the processors' time that a hypervisor gave to other guests. other_cores: how many cores other
    processes kept busy, on average. frequency_fall: the processor's clock at its lowest, against its highest, as a
    share lost. drift: by how much the last third of the rounds is slower than the first. warnings: what of this is too
    much for the times to be trusted, in words.
    """

    steal: float
    other_cores: float
    frequency_fall: float | None
    drift: float | None
    warnings: tuple[str, ...]


class Cost(_Data):
    """parameters: how many were learned. flops: floating-point operations per image, a multiply-add being two, averaged
    over counted_images. None: unknown, where a model shows no parameters or does nothing that can be counted. passes:
    of a model that explains another one, its flops over those of a prediction of that one: what an explanation costs,
    in forward passes.
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

    sha256: of all files of its packages, code and data. weights: SHA-256 of each file that its models name, as weights
    or in their config, whatever the format.
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


class Record(_Data):
    """What running one cell gave. status `failed` carries the error and nothing that was measured."""

    schema_version: int = SCHEMA_VERSION
    cell: CellSpec
    cell_id: str
    status: Literal["ok", "failed"]
    error: str | None = None
    started: datetime
    finished: datetime
    family: str | None = None
    explains: str | None = None
    images: int | None = None
    rounds: int | None = None
    scores: dict[str, Score] = {}
    latency: Latency | None = None
    interference: Interference | None = None
    stages: list[Stage] = []
    memory: Memory | None = None
    cost: Cost | None = None
    predictions: str | None = None
    predictions_sha256: str | None = None
    artefacts: list[Artefact] = []
    provenance: Provenance

    @model_validator(mode="before")
    @classmethod
    def _migrated(cls, data: Any) -> Any:
        """Until schema 4, one task's cut stood for all, and 0 stood for a cost that wasn't known."""
        if not isinstance(data, dict) or data.get("schema_version", SCHEMA_VERSION) > 4:
            return data
        cuts = ("score_threshold", "max_detections")
        cut = {name: data[name] for name in cuts if name in data}
        data = {name: value for name, value in data.items() if name not in cuts}
        if scores := data.get("scores"):
            first = next(iter(scores))
            data["scores"] = {**scores, first: {**scores[first], **cut}}
        if "disturbance" in data:
            data["interference"] = data.pop("disturbance")
        if cost := data.get("cost"):
            data["cost"] = {**cost, **{name: cost[name] or None for name in ("parameters", "flops")}}
        return data

    @model_validator(mode="after")
    def _whole(self) -> Self:
        """A cell that ran has been timed and scored; one that failed says why, and nothing else."""
        measured = self.images is not None and self.latency is not None and bool(self.scores)
        if self.status == "ok" and (not measured or self.error is not None):
            raise ValueError("an ok record has images, latency and scores, and no error")
        if self.status == "failed" and (measured or not self.error):
            raise ValueError("a failed record has an error, and nothing that was measured")
        return self
