"""What is said of two-stage detectors."""

from collections.abc import Sequence

from roibench.claim import Ok, Status, Verdict, every, faster, keeps, more_accurate


def two_stages(records: Sequence[Ok]) -> Verdict:
    accuracy = more_accurate(records, "faster_rcnn", "retinanet", "detection")
    return every([accuracy, faster(records, "retinanet", "faster_rcnn")])


def fewer_proposals(records: Sequence[Ok]) -> Verdict:
    """The most proposals that were set, against the fewest that are at least a sixth of them; whatever else was set of
    the model, the same for both.
    """
    labels: dict[tuple[object, ...], dict[float, str]] = {}
    for record in records:
        knobs = dict(record.cell.knobs)
        if record.cell.model == "faster_rcnn" and (proposals := knobs.pop("proposals", None)):
            labels.setdefault(tuple(knobs.items()), {})[proposals] = record.cell.label
    parts = []
    for by_proposals in labels.values():
        most = max(by_proposals)
        few = min(proposals for proposals in by_proposals if proposals >= most / 6)
        if few < most:
            pair = by_proposals[few], by_proposals[most]
            parts += [keeps(records, *pair, "detection", share=0.9), faster(records, *pair)]
    why = "no records of faster_rcnn with several numbers of proposals, the fewest at least a sixth of the most"
    return every(parts) if parts else Verdict(Status.NOT_MEASURED, why)
