"""What is said of explanations."""

from collections.abc import Sequence

from roibench.claim import Accuracy, Ok, Verdict, better, every, more_accurate

# From image labels alone: of the classifier that no box was shown to.
FROM_LABELS = Accuracy("cam@resnet_classifier", "attribution", "max_box_acc/MaxBoxAccV2")


def grad_cam(records: Sequence[Ok]) -> Verdict:
    """Around every model that it was measured around."""
    names = dict.fromkeys(record.cell.model.partition("@") for record in records)
    explained = [inner for outer, _, inner in names if outer == "grad_cam"]
    return every(more_accurate(records, f"grad_cam@{one}", f"center@{one}", "attribution") for one in explained)


def localizes_from_labels(records: Sequence[Ok]) -> Verdict:
    """All of them draw their boxes around what lies above the threshold that is best for the whole dataset."""
    others = (FROM_LABELS._replace(model=f"{name}@resnet_classifier") for name in ("center", "edges"))
    return every(better(records, FROM_LABELS, other) for other in others)


def boxes_localize_better(records: Sequence[Ok]) -> Verdict:
    """CAM has the better of it: any of its boxes may be right, and their threshold is chosen on the images that it is
    scored on. The localizer gives one box.
    """
    return better(records, Accuracy("localizer", "localization", "localization_accuracy/MaxBoxAccV2"), FROM_LABELS)
