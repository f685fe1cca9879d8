"""What files hold, as values: text in whatever encoding, numbers, yes and no. What is neither is never guessed at."""

import codecs
import math
import re
from pathlib import Path
from typing import Any

from roibench.datasets.bad_data import BadData

_WIDE = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
_NO, _YES = {"", "no", "n", "false", "f"}, {"yes", "y", "true", "t"}
_WHOLE = re.compile(r"([+-]?(?:0|[1-9][0-9]{0,99}))(?:\.0*)?")  # 007 is a name, not a number


def read_lines(file: Path, bad: BadData) -> list[tuple[int, str]]:
    """The lines of a text file that aren't blank, stripped, each with its number; a byte order mark isn't part of them.

    The encoding is UTF-8, or UTF-16 if the byte order mark tells so. A line in any other is reported and left out: an
    undeclared encoding can only be guessed, and a wrong guess is another file's name.
    """
    try:
        data = file.read_bytes()
        if data.startswith(_WIDE):
            data = data.decode("utf-16").encode()
    except (OSError, UnicodeDecodeError) as error:
        bad.report(file, f"can't be read: {error}")
        return []
    lines = []
    for number, line in enumerate(data.removeprefix(codecs.BOM_UTF8).splitlines(), start=1):
        try:
            text = line.decode().strip()
        except UnicodeDecodeError as error:
            bad.report(file, f"is not UTF-8: byte 0x{line[error.start]:02x}; save it as UTF-8", number)
            continue
        if "\0" in text:
            bad.report(file, "holds a zero byte: no text, or UTF-16 without its byte order mark", number)
        elif text:
            lines.append((number, text))
    return lines


def decode_xml(data: bytes) -> str:
    """The text of an XML file by its byte order mark, its declaration, or as UTF-8. Raises ValueError.

    expat knows four encodings; Python knows GBK, too.
    """
    if data.startswith(_WIDE):
        return data.decode("utf-16")
    data = data.removeprefix(codecs.BOM_UTF8)
    declared = re.match(rb"""\s*<\?xml[^>]*?encoding\s*=\s*["']([\w.:-]+)""", data)
    name = declared[1].decode() if declared else "utf-8"
    if name.lower().startswith(("utf-16", "utf16", "ucs-2", "utf-32")):
        name = "utf-8"  # the declaration could be read byte by byte, so it can't be true
    try:
        return data.decode(name)
    except LookupError as error:
        raise ValueError(f"declares an encoding that isn't known: {name}") from error
    except UnicodeError as error:
        reason = f"is not {name.upper()}" + ("" if declared else ", and declares no other encoding")
        raise ValueError(reason) from error


def number(value: object) -> float | None:
    """What JSON writes as a number, perhaps not finite; None for anything else, true and false among it."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        return float(value)
    except OverflowError:  # an integer beyond the largest float
        return math.inf if value > 0 else -math.inf


def whole(value: object) -> int | None:
    """A whole number: 64, 64.0 or their text; None for anything else."""
    if isinstance(value, str):
        written = _WHOLE.fullmatch(value.strip())
        return int(written[1]) if written else None
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    found = number(value)
    return int(found) if found is not None and found.is_integer() else None


def identity(value: object) -> str | None:
    """An id as text, the same for 1, 1.0 and "1"; None for what is neither a whole number nor text."""
    found = whole(value)
    return str(found) if found is not None else value if isinstance(value, str) else None


def flag(value: object) -> bool | None:
    """Yes or no: a boolean, 0 or 1, or a word; None for anything else."""
    if isinstance(value, bool):
        return value
    word = value.strip().lower() if isinstance(value, str) else ""
    if isinstance(value, str) and word in _NO | _YES:
        return word in _YES
    return {0: False, 1: True}.get(whole(value))


def brief(value: Any) -> str:
    """What was written, for an error's one line."""
    text = " ".join(repr(value).split())
    return text if len(text) <= 120 else f"{text[:100]}... ({len(text)} characters)"
