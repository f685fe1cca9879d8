"""Monocular depth, as a third party would add it: a task with its metric, a dataset, two models."""

from roibench.hookspecs import hookimpl
from roibench.specs import ClaimSpec, DatasetSpec, MetricSpec, ModelSpec, Paper, Value


@hookimpl
def register_tasks(register):
    from depth_plugin.task import Depth

    register(Depth())


@hookimpl
def register_metrics(register):
    values = (
        Value("abs_rel", unit="", higher_is_better=False, ranks=True),
        Value("rmse", unit="m", higher_is_better=False, shown=True),
        Value("delta1", shown=True),
    )
    register(MetricSpec("depth_error", "depth", "depth_plugin.metric:depth_error", values))


@hookimpl
def register_datasets(register):
    register(
        DatasetSpec("ramps", open="depth_plugin.ramps:Ramps", fields=("depth",), description="12 ramps, boxes on them")
    )


@hookimpl
def register_models(register):
    for name, nearest, farthest in (("ramp", 2.0, 8.0), ("upright", 4.0, 4.0)):
        register(
            ModelSpec(
                name,
                family="planes",
                tasks=("depth",),
                build="depth_plugin.planes:build",
                paper=Paper("None", 2026, "https://example.org"),
                config={"nearest": nearest, "farthest": farthest},
            )
        )


@hookimpl
def register_claims(register):
    register(ClaimSpec("ramps", "A ramp fits ramps better than a wall.", judge="depth_plugin.claims:ramps"))
