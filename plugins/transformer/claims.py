"""What is said of transformers."""

from collections.abc import Sequence

from roibench.claim import Ok, Verdict, more_accurate


def distillation(records: Sequence[Ok]) -> Verdict:
    """The two differ in the distillation token, its head, and where that one's labels come from."""
    return more_accurate(records, "deit", "vit", "classification")
