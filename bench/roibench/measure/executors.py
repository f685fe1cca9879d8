"""Where a run's cells are measured: in turns on this machine, or on the machines of a cluster."""

from collections.abc import Callable, Iterator
from typing import Literal

from roibench.measure.record import Record
from roibench.measure.turns import TooSlow, measure_in_turns

Name = Literal["local", "ray"]
# Called as measure_in_turns is.
Executor = Callable[..., Iterator[Record | TooSlow]]


def executor(name: Name, address: str | None = None) -> Executor:
    """address: of a cluster; None: the one that this machine belongs to, see ray_executor.connect.

    Raises ValueError and MissingExtraError: one line.
    """
    if name == "local":
        if address is not None:
            raise ValueError(f"--address {address}: want --executor ray, too")
        return measure_in_turns
    from roibench.measure.ray_executor import connect, measure_on_cluster

    connect(address)
    return measure_on_cluster
