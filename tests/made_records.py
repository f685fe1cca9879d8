"""Records made by hand: what a run would have given."""

from datetime import UTC, datetime
from types import MappingProxyType
from zlib import crc32

import numpy as np
import pytest
from claimed import NOISE

from roibench.measure.record import (
    CellSpec,
    Cost,
    Failed,
    Interference,
    Interval,
    Latency,
    Memory,
    Ok,
    Provenance,
    Score,
    ScoreValue,
    Stage,
    Turns,
)

NAMES = ("AP", "AP50", "AP75", "APsmall", "APmedium", "APlarge", "AR1", "AR10", "AR100")
THEN = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
MACHINE = Provenance(
    roibench="0.1.0",
    torch="2.14.1",
    torchvision="0.29.2",
    python="3.11.7",
    commit="0123456789abcdef0123456789abcdef01234567",
    dirty=False,
    platform="Linux-6.1-x86_64",
    cpu="Intel(R) Xeon(R) Processor @ 2.60GHz",
    cores=2,
    simd_level="v4",
    gpu=None,
    driver=None,
    cuda=None,
)


def around(value: float, width: float = 0.05) -> Interval:
    return Interval(value=value, low=value * (1 - width), high=value * (1 + width))


@pytest.fixture(scope="session")
def score():
    """score(value, low, high, ...) -> ScoreValue: a fraction that is better the higher, unless told otherwise."""

    def make(value: float, low: float | None = None, high: float | None = None, **declared) -> ScoreValue:
        plain = {"unit": "%", "higher_is_better": True, "shown": False, "plotted": False}
        bounds = {"low": value if low is None else low, "high": value if high is None else high}
        return ScoreValue(value=value, **bounds, **(plain | declared))

    return make


@pytest.fixture(scope="session")
def record(score):
    """record(model, ap, p50, ...) -> of a cell that ran on Scenes; scores=... instead of ap for other tasks."""

    def make(
        model: str,
        ap: float | None = 0.4,
        p50: float = 20.0,
        *,
        family: str = "single_stage",
        images: int = 500,
        scores: dict[str, Score] | None = None,
        provenance: Provenance = MACHINE,
        turns: Turns | None = None,
        **cell,
    ) -> Ok:
        spec = CellSpec(**{"model": model, "dataset": "scenes", "dataset_hash": "5c" * 32, "threads": 2} | cell)
        if scores is None:
            values = {
                f"coco_ap/{name}": score(**around((ap or 0) * 0.9**i).model_dump(), shown=name in ("AP50", "AP75"))
                for i, name in enumerate(NAMES)
            }
            scores = {"detection": Score(primary="coco_ap/AP", values={} if ap is None else values)}
        return Ok(
            cell=spec,
            cell_id=spec.id,
            started=THEN,
            finished=THEN,
            family=family,
            images=images,
            rounds=1,
            scores=scores,
            latency=Latency(
                p50=around(p50, 0.02),
                p90=p50 * 1.3,
                p99=p50 * 1.8,
                mean=p50 * 1.05,
                throughput=950 / p50,
                samples=[p50],
                turns=turns,
            ),
            stages=[
                Stage(name="preprocess", milliseconds=p50 * 0.05, share=0.05),
                Stage(name="backbone", milliseconds=p50 * 0.6, share=0.6),
                Stage(name="head", milliseconds=p50 * 0.25, share=0.25),
                Stage(name="postprocess", milliseconds=p50 * 0.1, share=0.1),
            ],
            memory=Memory(before=310.0, peak=310.0 + 4 * p50),
            cost=Cost(parameters=int(p50 * 1e6), flops=p50 * 1e8, counted_images=20),
            interference=Interference(steal=0.0, other_cores=0.0, frequency_fall=None, warnings=()),
            predictions=f"predictions/{spec.id}.npz",
            predictions_sha256="0" * 64,
            per_image=f"per_image/{spec.id}.csv",
            per_image_sha256="0" * 64,
            artefacts=[],
            provenance=provenance,
        )

    return make


@pytest.fixture(scope="session")
def failed():
    """failed(model, error) -> of a cell that didn't run to its end."""

    def make(model: str, error: str = "RuntimeError: out of memory", **cell) -> Failed:
        spec = CellSpec(**{"model": model, "dataset": "scenes", "dataset_hash": "5c" * 32, "threads": 2} | cell)
        return Failed(cell=spec, cell_id=spec.id, error=error, started=THEN, finished=THEN, provenance=MACHINE)

    return make


@pytest.fixture(scope="session")
def fifteen(record):
    """Fifteen models whose points crowd, as they do."""
    names = (
        *("rcnn", "sppnet", "fast_rcnn", "faster_rcnn", "rfcn", "mask_rcnn", "yolo", "ssd", "retinanet", "centernet"),
        *("fcos", "detr", "deformable_detr", "faster_rcnn_fpn", "ssd_lite_mobilenet"),
    )
    return [
        record(name, ap=0.30 + 0.02 * (7 * i % 15), p50=6.0 * 1.18 ** (4 * i % 15) * (40 if name == "rcnn" else 1))
        for i, name in enumerate(names)
    ]


@pytest.fixture(scope="module")
def scored(record, score):
    """scored(model, ap, training): a record with resamples, of the weights of that training.

    others: values by METRIC/VALUE that tables show beside what ranks.
    """

    def make(
        model,
        ap,
        training=0,
        task="detection",
        primary="coco_ap/AP",
        higher=True,
        own=0.005,
        turns=None,
        others=MappingProxyType({}),
        **cell,
    ):
        generator = np.random.default_rng(crc32(f"{model} {training}".encode()))

        def resampled(value):
            return tuple(value + NOISE + own * generator.standard_normal(1000))

        scores = {
            task: Score(
                primary=primary,
                resampled=resampled(ap),
                values={primary: score(ap, ap - 0.04, ap + 0.04, higher_is_better=higher)}
                | {
                    key: score(value, value - 0.04, value + 0.04, shown=True, resampled=resampled(value))
                    for key, value in others.items()
                },
            )
        }
        return record(model, scores=scores, turns=turns, **{"weights_hash": f"{training:064x}"} | cell)

    return make
