"""A run's journal, records.jsonl: appended and synced line by line, so that whatever was finished is safe.

Lines are {"event": "run", "key": ...}; {"event": "started", "cell_id": ...} when a cell becomes active, and "paused"
when it no longer is; {"event": "record", "record": {...}} and, at last, {"event": "finished"}. Who was active when a
run died is blamed for it. A line that a crash tore is left out when reading. One process at a time holds a run's
folder.
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
# A cell that was active this often when a run died takes runs down with it.
MAX_STARTS = 2


class Journal:
    """One run: its folder, what it has finished, and how often each cell was active when it died (starts)."""

    def __init__(self, folder: Path, lock: FileLock | None = None) -> None:
        self.folder = folder
        self._lock = lock
        self.records: dict[str, Record] = {}
        self.starts: Counter[str] = Counter()
        self._active: Counter[str] = Counter()
        self.key: str | None = None
        self.finished = False
        for line in read_lines(folder / FILE):
            self._take(line)
        self._blame()

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
                journal._append({"event": "resumed"})
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

    def pause(self, cell_id: str) -> None:
        self._append({"event": "paused", "cell_id": cell_id})

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
            case "resumed":
                self._blame()
            case "started":
                self._active[line["cell_id"]] += 1
            case "paused":
                self._active[line["cell_id"]] -= 1
            case "interrupted":  # of versions that didn't tell of pauses
                self._active.clear()
            case "record":
                record = read_record(line["record"])
                self.records[record.cell_id] = record
                self._active.pop(record.cell_id, None)
            case "finished":
                self.finished = True

    def _blame(self) -> None:
        """Whoever is still active when the lines end, or another process goes on, was so when the run died."""
        self.starts.update(cell_id for cell_id, active in self._active.items() if active > 0)
        self._active.clear()


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
    """The records of a records.jsonl, in order. The same cell may have been measured twice, as on two machines whose
    records were put together; a record that stands there twice is given once.
    """
    file = path if path.name == FILE else path / FILE
    records = [read_record(line["record"]) for line in read_lines(file) if line["event"] == "record"]
    return list({(record.cell_id, record.started): record for record in records}.values())
