"""What pages are made of in tests: records of made-up models, and one whose name is an attack."""

from roibench.measure.record import Ok

EVIL = '</script><script>alert("x")</script>{{ 7 * 7 }}'


def timed(record: Ok, milliseconds: float) -> Ok:
    """The record, of which each image takes so long."""
    bounds = {"value": milliseconds, "low": 0.9 * milliseconds, "high": 1.1 * milliseconds}
    p50 = record.latency.p50.model_copy(update=bounds)
    return record.model_copy(update={"latency": record.latency.model_copy(update={"p50": p50})})
