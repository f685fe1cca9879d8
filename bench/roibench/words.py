"""The words of a sentence, the same to whoever counts, learns or compares them."""

import re

_WORD = re.compile(r"\w+(?:['\u2019-]\w+)*")  # hyphens and both apostrophes are part of a word


def words_of(sentence: str) -> list[str]:
    """In order, in lower case, without punctuation."""
    return _WORD.findall(sentence.lower())
