"""A run's journal, records.jsonl: appended and synced line by line, so that whatever was finished is safe.

Lines are {"event": "run", "key": ...}, {"event": "started", "cell_id": ...}, {"event": "record", "record": {...}} and,
at last, {"event": "finished"}; {"event": "interrupted", "cell_id": ...} takes a start back. A line that a crash tore is
left out when reading. One process at a time holds a run's folder.
"""

import itertools
import json
import os
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Self

from filelock import FileLock

from roibench.files import hold, writing
from roibench.measure.record import Record, read_record

FILE = "records.jsonl"
# A cell that was started this often and never finished takes the run down with it.
MAX_STARTS = 2


class Journal:
    """One run: its folder, what it has finished, and how often each cell was started."""

    def __init__(self, folder: Path, lock: FileLock | None = None) -> None:
        self.folder = folder
        self._lock = lock
        self.records: dict[str, Record] = {}
        self.starts: Counter[str] = Counter()
        self.key: str | None = None
        self.finished = False
        for line in read_lines(folder / FILE):
            self._take(line)

    @classmethod
    def open(cls, root: Path, key: str) -> Self:
        """Goes on with root's latest run if that has this key and wasn't finished; begins a new one else.

        key: stands for all that must be equal: cells, commit, hashes, machine. Raises BusyError if another process is
        at work on that run, UnwritableError if root can't be written into.
        """
        runs = sorted(path.parent for path in root.glob(f"*/{FILE}"))
        if runs and _goes_on(read_lines(runs[-1] / FILE), key):
            journal = cls(runs[-1], hold(runs[-1]))  # read only now that nobody else writes
            if not journal.finished:
                return journal
            journal.close()
        stamp = datetime.now(UTC).strftime("%Y%m%d-%H%M%S")
        with writing(root):
            root.mkdir(parents=True, exist_ok=True)
            folder = root / stamp
            for suffix in itertools.count(1):
                try:
                    folder.mkdir()
                    break
                except FileExistsError:
                    folder = root / f"{stamp}-{suffix}"
        journal = cls(folder, hold(folder))
        journal._append({"event": "run", "key": key, "time": stamp})
        return journal

    def start(self, cell_id: str) -> None:
        self._append({"event": "started", "cell_id": cell_id})

    def interrupt(self, cell_id: str) -> None:
        """Takes the cell's last start back: it didn't end for a fault of the cell's."""
        self._append({"event": "interrupted", "cell_id": cell_id})

    def add(self, record: Record) -> None:
        self._append({"event": "record", "record": record.model_dump(mode="json")})

    def finish(self) -> None:
        self._append({"event": "finished"})

    def close(self) -> None:
        """Lets go of the folder, for another process or journal to go on."""
        if self._lock is not None:
            self._lock.release()

    def _append(self, line: dict[str, Any]) -> None:
        path = self.folder / FILE
        with writing(path), path.open("ab+") as file:
            if file.tell():  # a line that a crash tore is ended, so that it spoils no other
                file.seek(-1, os.SEEK_END)
                if file.read(1) != b"\n":
                    file.write(b"\n")
            file.write(json.dumps(line).encode() + b"\n")
            file.flush()
            os.fsync(file.fileno())
        self._take(line)

    def _take(self, line: dict[str, Any]) -> None:
        match line["event"]:
            case "run":
                self.key = line["key"]
            case "started":
                self.starts[line["cell_id"]] += 1
            case "interrupted":
                self.starts[line["cell_id"]] = max(0, self.starts[line["cell_id"]] - 1)
            case "record":
                record = read_record(line["record"])
                self.records[record.cell_id] = record
            case "finished":
                self.finished = True


def read_lines(path: Path) -> list[dict[str, Any]]:
    """The journal's lines, without any that a crash tore."""
    lines = []
    if path.exists():
        for text in path.read_text(errors="replace").splitlines():
            try:
                lines.append(json.loads(text))
            except json.JSONDecodeError:
                continue
    return lines


def _goes_on(lines: list[dict[str, Any]], key: str) -> bool:
    """Whether these are an unfinished run's of this key; its records, perhaps of an older schema, aren't looked at."""
    events = {line["event"]: line for line in lines}
    return "run" in events and events["run"]["key"] == key and "finished" not in events


def read_records(path: Path) -> list[Record]:
    """The records of a records.jsonl, in order, the last one of each cell."""
    return list(Journal(path.parent if path.name == FILE else path).records.values())
