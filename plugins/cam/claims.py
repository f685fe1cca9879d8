"""What is said of explanations."""

from collections.abc import Sequence

from roibench.claim import Ok, Verdict, every, more_accurate


def grad_cam(records: Sequence[Ok]) -> Verdict:
    """Around every model that it was measured around."""
    names = dict.fromkeys(record.cell.model.partition("@") for record in records)
    explained = [inner for outer, _, inner in names if outer == "grad_cam"]
    return every(more_accurate(records, f"grad_cam@{one}", f"center@{one}", "attribution") for one in explained)
