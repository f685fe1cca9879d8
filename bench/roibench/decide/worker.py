"""A cell of some version of this project, measured step by step: a program that runs with that version's packages.

It is started as `python -P worker.py FD`, is asked on the connection FD, and answers there ("reply", ...) or ("error",
one line). It keeps to what every version that measures in turns has; all that it sends is plain data.
"""

import os
import pickle
import signal
import sys
from dataclasses import replace
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

ENOUGH_S = 1e6  # a budget that no cell exhausts: how many images it is timed on is decided for all sides alike


class Worker:
    def __init__(self) -> None:
        from roibench.registry import installed

        self.registry = installed()

    def plan(self, typed: dict[str, Any], file: str) -> dict[str, Any]:
        """Keeps the cells that a run of these options has, and tells of each what it is. typed: by flag."""
        from roibench.datasets.reference import DatasetRef, split_list
        from roibench.measure.plan import make_plan
        from roibench.options import Options

        datasets = typed.get("--dataset")
        split = {} if datasets is None else {"--dataset": split_list(datasets, self.registry.datasets)}
        plan = make_plan(Options(**typed | split), self.registry)
        Path(file).write_bytes(pickle.dumps(plan.cells))
        told = []
        for cell in plan.cells:
            spec = cell.spec
            what = (spec.label, DatasetRef.parse(spec.dataset).label, spec.device, spec.precision)
            told.append({"key": (*what, spec.batch_size, spec.threads), "timeout_s": spec.timeout_s})
        return {"cells": told, "max_ms": plan.max_ms}

    def prepare(self, file: str, index: int, folder: str) -> None:
        from roibench.measure.cell import Measurement

        cell = pickle.loads(Path(file).read_bytes())[index]
        self.measurement = Measurement(cell, Path(folder), self.registry, lambda _: None)
        self.measurement.prepare()

    def warm_up(self) -> tuple[float, int]:
        """Seconds per image, and on how many images this side alone would be timed."""
        pace = self.measurement.warm_up()
        return float(pace.seconds), len(self.measurement.inputs)

    def settle(self, images: int) -> int:
        """How many turns there are of so many images."""
        one = self.measurement
        spec = one.cell.spec.model_copy(update={"images": images, "budget_s": ENOUGH_S})
        one.cell = replace(one.cell, spec=spec)
        one.prepared = replace(one.prepared, cell=one.cell, inputs=one.prepared.inputs.first(images))
        return int(one.warm_up().turns)

    def take_turn(self, turn: int) -> float:
        return float(self.measurement.take_turn(turn))

    def cell_id(self) -> str:
        return self.measurement.cell.id

    def finish(self, turns: dict[str, Any]) -> str:
        """The record, as JSON."""
        from roibench.measure.record import Turns

        self.measurement.observe()
        return self.measurement.finish(Turns(**turns)).model_dump_json()


def main() -> None:
    pipe = Connection(int(sys.argv[1]))
    os.dup2(2, 1)  # what a model prints is no result
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # who started this decides
    try:
        worker = Worker()
        while True:
            step, arguments = pipe.recv()
            pipe.send(("reply", getattr(worker, step)(*arguments)))
    except EOFError:
        return
    except Exception as error:
        pipe.send(("error", f"{type(error).__name__}: {' '.join(str(error).split())}"))


if __name__ == "__main__":
    main()
