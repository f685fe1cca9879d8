"""untrained:NAME: a registered model as it is initialised, for what it costs before anybody has trained it."""

from dataclasses import replace

from roibench.registry import UnknownNameError, installed
from roibench.specs import ModelSpec, Outside


def open_source(rest: str) -> ModelSpec:
    """The registered model of this name with random weights. Raises ValueError for any other."""
    try:
        spec = installed().model(rest)
    except UnknownNameError as error:
        raise ValueError(f"model untrained:{rest}: {error}") from error
    if spec.outside is not None or spec.inner is not None:
        raise ValueError(f"model untrained:{rest}: want the name of a registered model, such as untrained:fcn")
    source = f"untrained:{rest}"
    return replace(spec, name=source, warm_start=None, weights={}, outside=Outside(source, random_weights=True))
