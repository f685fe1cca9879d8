"""The machines of a Ray cluster measure a run's cells, a group of them each: those that are compared, which are of one
dataset and one kind of device, take turns on one machine, and a machine has one group at a time.

A machine must have this package, the plugins and the data: cells are planned here, and fail where a dataset, weights or
a plugin have another hash. A group's records come as they are finished; if its machine is lost, another one measures
those that are missing.
"""

import os
import socket
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from roibench.datasets.reference import DatasetRef
from roibench.files import write_atomically
from roibench.measure.cell import PlannedCell
from roibench.measure.isolate import failed
from roibench.measure.record import Ok, Record
from roibench.measure.turns import Tell, TooSlow, Watch, measure_in_turns
from roibench.registry import Registry, installed
from roibench.sources import need
from roibench.weights import shipped_weights

MAX_LOSSES = 3  # machines that a group may lose before it is to blame
POLL_S, ANSWER_S = 2.0, 10.0


@dataclass
class _Group:
    """cells: those that have no record yet. losses: machines that were lost with it."""

    cells: list[PlannedCell]
    losses: int = 0

    @property
    def on_gpu(self) -> bool:
        return self.cells[0].spec.device.startswith("cuda")


class _Machine(NamedTuple):
    id: str
    name: str
    cpus: float
    gpus: float


class _Sent(NamedTuple):
    """What a machine gives back. files: content by path relative to the run's folder."""

    found: Record | TooSlow | None
    files: dict[str, bytes]
    told: str = ""


def connect(address: str | None) -> None:
    """To the cluster at HOST:PORT or ray://HOST:PORT; None: to the one that this machine belongs to.

    Raises MissingExtraError where Ray isn't installed, and ValueError where no cluster answers.
    """
    need("ray", "--executor ray")
    import ray

    if ray.is_initialized():
        return
    try:
        _reach(address)
        ray.init(address=address or "auto", log_to_driver=False)
    except (OSError, RuntimeError, ValueError) as error:
        raise ValueError(f"--address {address or '(none)'}: no Ray cluster answers: {error}") from error


def measure_on_cluster(
    cells: Sequence[PlannedCell],
    folder: Path,
    registry: Registry,
    watch: Watch,
    tell: Tell,
    debug: bool = False,
    max_ms: float | None = None,
) -> Iterator[Record | TooSlow]:
    """As measure_in_turns, on the cluster that this process is connected to.

    watch: is told nothing, for a cell that takes its machine down doesn't take down this process. Raises
    UnwritableError.
    """
    dispatch = _Dispatch(cells, folder, registry, tell, debug, max_ms)
    try:
        yield from dispatch.run()
    finally:
        dispatch.stop()


def _reach(address: str | None) -> None:
    """Raises OSError or ValueError in seconds, where Ray would try for minutes."""
    if address not in (None, "auto"):
        where = urlsplit(address if "://" in address else f"ray://{address}")
        if not where.hostname or not where.port:
            raise ValueError("want HOST:PORT or ray://HOST:PORT")
        socket.create_connection((where.hostname, where.port), timeout=ANSWER_S).close()


class _Dispatch:
    """Hands groups to machines, and takes what these give."""

    def __init__(
        self,
        cells: Sequence[PlannedCell],
        folder: Path,
        registry: Registry,
        tell: Tell,
        debug: bool,
        max_ms: float | None,
    ) -> None:
        self.folder, self.registry, self.tell, self.arguments = folder, registry, tell, (debug, max_ms)
        groups: dict[tuple[str, str], list[PlannedCell]] = {}
        for cell in cells:
            groups.setdefault((cell.spec.dataset, cell.spec.device.partition(":")[0]), []).append(cell)
        self.waiting = deque(map(_Group, groups.values()))
        self.running: dict[Any, tuple[_Group, _Machine]] = {}
        self.lost: set[str] = set()

    def run(self) -> Iterator[Record | TooSlow]:
        import ray

        while self.waiting or self.running:
            yield from self._hand_out()
            if self.running:
                ready, _ = ray.wait(list(self.running), num_returns=1, timeout=POLL_S)
                for stream in ready:
                    yield from self._take(stream)

    def stop(self) -> None:
        import ray

        for stream in self.running:
            ray.cancel(stream, force=True)

    def _hand_out(self) -> Iterator[Record]:
        """Each free machine gets a group that fits it; the cells of one that fits none fail."""
        machines = self._machines()
        busy = {machine.id for _, machine in self.running.values()}
        for group in list(self.waiting):
            fitting = [one for one in machines if one.cpus >= 1 and (one.gpus >= 1 or not group.on_gpu)]
            if not fitting:
                self.waiting.remove(group)
                want = "a GPU" if group.on_gpu else "a processor"
                yield from self._fail(group, f"no machine of the cluster has {want}")
            # Machines with a GPU are for those that need one, as long as there are others.
            free = sorted((one for one in fitting if one.id not in busy), key=lambda one: one.gpus)
            if free:
                self.waiting.remove(group)
                busy.add(free[0].id)
                self.running[self._send(group, free[0])] = group, free[0]

    def _machines(self) -> list[_Machine]:
        import ray

        return [
            _Machine(
                node["NodeID"],
                node["NodeManagerHostname"],
                node["Resources"].get("CPU", 0),
                node["Resources"].get("GPU", 0),
            )
            for node in ray.nodes()
            if node["Alive"] and node["NodeID"] not in self.lost
        ]

    def _send(self, group: _Group, machine: _Machine) -> Any:
        """All of the machine's processors are asked for, so that nothing else that Ray runs disturbs."""
        import ray
        from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

        self.tell(f"{machine.name}: {', '.join(cell.id for cell in group.cells)}")
        remote = ray.remote(
            num_cpus=machine.cpus,
            num_gpus=machine.gpus if group.on_gpu else 0,
            max_retries=0,
            num_returns="streaming",
            scheduling_strategy=NodeAffinitySchedulingStrategy(machine.id, soft=False),
        )(_measure)
        return remote.remote(group.cells, str(Path.cwd()), *self.arguments)

    def _take(self, stream: Any) -> Iterator[Record | TooSlow]:
        import ray
        from ray.exceptions import RayError, RayTaskError

        group, machine = self.running[stream]
        try:
            sent: _Sent = ray.get(next(stream))
        except StopIteration:
            del self.running[stream]
            if group.cells:
                yield from self._fail(group, f"{machine.name} ended without a word about it")
            return
        except RayTaskError as error:
            del self.running[stream]
            yield from self._fail(group, f"{machine.name}: {error.cause}")
            return
        except RayError as error:
            del self.running[stream]
            self.lost.add(machine.id)
            yield from self._lose(group, f"{machine.name} was lost ({type(error).__name__})")
            return
        if sent.told:
            self.tell(f"{machine.name}: {sent.told}")
        if sent.found is not None:
            for name, content in sent.files.items():
                write_atomically(self.folder / name, content)
            group.cells = [cell for cell in group.cells if cell.id != sent.found.cell_id]
            yield sent.found

    def _lose(self, group: _Group, why: str) -> Iterator[Record]:
        group.losses += 1
        if group.losses == MAX_LOSSES:
            yield from self._fail(group, f"{why}, as {MAX_LOSSES - 1} machines before it")
        elif group.cells:
            self.tell(f"{why}: {', '.join(cell.id for cell in group.cells)} run again")
            self.waiting.append(group)

    def _fail(self, group: _Group, error: str) -> Iterator[Record]:
        for cell in group.cells:
            yield failed(cell.spec, error, self.registry)
        group.cells = []


def _measure(cells: Sequence[PlannedCell], working_folder: str, debug: bool, max_ms: float | None) -> Iterator[_Sent]:
    """On a machine of the cluster."""
    if Path(working_folder).is_dir():
        os.chdir(working_folder)  # relative paths mean what they meant where they were typed
    registry, told = installed(), deque[str]()
    with TemporaryDirectory(prefix="roibench-") as name:
        folder = Path(name)
        placed = [_placed(cell, registry) for cell in cells]
        for found in measure_in_turns(placed, folder, registry, _Unwatched(), told.append, debug, max_ms):
            files = _files(found, folder)
            yield _Sent(found, {file: (folder / file).read_bytes() for file in files}, "; ".join(told))
            told.clear()


def _placed(cell: PlannedCell, registry: Registry) -> PlannedCell:
    """Shipped weights lie where this machine's plugin does."""
    if cell.weights is None or cell.spec.weights is not None:
        return cell
    own = shipped_weights(cell.model.learns, DatasetRef.parse(cell.spec.dataset).name, registry)
    return replace(cell, weights=own or cell.weights)


def _files(found: Record | TooSlow, folder: Path) -> list[str]:
    if not isinstance(found, Ok):
        return []
    names = [found.predictions, found.per_image, *(one.file for one in found.artefacts)]
    return [name for name in names if name and (folder / name).is_file()]


class _Unwatched:
    def start(self, cell_id: str) -> None: ...
    def pause(self, cell_id: str) -> None: ...
