"""Records as a file that others made: read whole or refused, with the line that is wrong; and written."""

import json
from collections.abc import Iterable
from typing import Any

from pydantic import ValidationError

from roibench.measure.record import Record, read_record


def parse_records(text: str, where: str) -> list[Record]:
    """The records of a records.jsonl's text, in order, each once: a run's journal, or a record per line.

    Raises ValueError, which names `where` and the line, for a line that is torn, or of a schema or shape that isn't
    known. A journal's torn line is none where the run went on after it: what it would have told was measured again.
    """
    lines = text.splitlines()
    found: dict[tuple[object, ...], Record] = {}
    for number, (line, after) in enumerate(zip(lines, [*lines[1:], ""], strict=True), 1):
        if not line.strip():
            continue
        try:
            content = json.loads(line)
        except json.JSONDecodeError:
            if _event(after) == "resumed":
                continue
            raise ValueError(f"{where}:{number}: a truncated or broken line, want one of JSON") from None
        try:
            record = _record(content)
        except ValueError as error:
            raise ValueError(f"{where}:{number}: {_first(error)}") from error
        if record is not None:
            found.setdefault((record.cell_id, record.started), record)
    return list(found.values())


def written_records(records: Iterable[Record]) -> bytes:
    """A records.jsonl of today's schema."""
    lines = ({"event": "record", "record": record.model_dump(mode="json")} for record in records)
    return "".join(json.dumps(line) + "\n" for line in lines).encode()


def _record(content: Any) -> Record | None:
    """None for a journal's other events."""
    if not isinstance(content, dict) or not content.keys() & {"event", "cell"}:
        raise ValueError("no record and no line of a run's journal")
    if "event" in content and content["event"] != "record":
        return None
    return read_record(content.get("record", {}) if "event" in content else content)


def _event(line: str) -> object:
    try:
        return json.loads(line).get("event")
    except (json.JSONDecodeError, AttributeError):
        return None


def _first(error: ValueError) -> str:
    """pydantic's first complaint, in a line."""
    if not isinstance(error, ValidationError):
        return str(error)
    one = error.errors()[0]
    return f"a record whose {'.'.join(map(str, one['loc']))} is wrong: {one['msg']}"
