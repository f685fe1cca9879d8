"""The words of a sentence, the same to whoever counts, learns or compares them."""

import re

_WORD = re.compile(r"\w+(?:['’-]\w+)*")  # noqa: RUF001 - either apostrophe


def words_of(sentence: str) -> list[str]:
    """In order, in lower case, without punctuation."""
    return _WORD.findall(sentence.lower())
