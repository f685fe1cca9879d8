"""What is said of two-stage detectors."""

from collections.abc import Iterator, Sequence

from roibench.claim import (
    Interval,
    Ok,
    Status,
    Verdict,
    beyond,
    every,
    faster,
    gains_more,
    keeps,
    more_accurate,
    with_interval,
)

SEARCH = "selective_search"  # the stage


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


def proposals_bottleneck(records: Sequence[Ok]) -> Verdict:
    return every(
        Verdict(beyond(share, 0.5), f"selective search takes {figures}")
        for share, figures in _shares(records, "fast_rcnn", SEARCH)
    )


def shared_convolutions(records: Sequence[Ok]) -> Verdict:
    """The times of all stages but the proposals' are compared, with the medians' intervals in proportion."""
    parts = []
    for slow in _of(records, "rcnn"):
        for record in (*_of(records, "sppnet"), *_of(records, "fast_rcnn")):
            if _where(record) == _where(slow):
                ours, theirs = _without_search(record), _without_search(slow)
                ratio = _divided(theirs, ours)
                names = f"rcnn takes {with_interval(ratio)} times as long as {record.cell.label}"
                parts.append(Verdict(beyond(ratio, 10.0), f"without proposals {names} ({_where(record)})"))
    why = "no records of rcnn and of sppnet or fast_rcnn in one setting"
    return every(parts) if parts else Verdict(Status.NOT_MEASURED, why)


def learned_proposals(records: Sequence[Ok]) -> Verdict:
    words = "selective search takes {} times as long as the RPN"
    return _saves(records, ("fast_rcnn", SEARCH), ("faster_rcnn", "rpn", "proposals"), 10.0, words)


def roi_align(records: Sequence[Ok]) -> Verdict:
    return more_accurate(records, "faster_rcnn", "faster_rcnn_roi_pool", "detection")


def position_sensitive(records: Sequence[Ok]) -> Verdict:
    """Score maps are made once per image, but instead of what the box head does: both ways are told."""
    head = ("faster_rcnn", "roi_align", "box_head")
    words = "RoI align and the box head take {} times as long as"
    return every(
        [
            _saves(records, head, ("rfcn", "ps_roi_pool"), 10.0, f"{words} PS-RoI pool"),
            _saves(records, head, ("rfcn", "score_maps", "ps_roi_pool"), 1.0, f"{words} it with the score maps"),
            more_accurate(records, "faster_rcnn", "rfcn", "detection"),
        ]
    )


def multi_task(records: Sequence[Ok]) -> Verdict:
    return more_accurate(records, "mask_rcnn", "faster_rcnn", "detection")


def masks_gain_more(records: Sequence[Ok]) -> Verdict:
    return gains_more(records, "mask_rcnn", "mask_rcnn_roi_pool", "instance_segmentation", "detection")


def mask_branches(records: Sequence[Ok]) -> Verdict:
    return every(
        Verdict(beyond(share, 0.2, higher=False), f"masks and joints take {figures}")
        for share, figures in _shares(records, "mask_rcnn", "regions", "masks", "joints")
    )


def suppression(records: Sequence[Ok]) -> Verdict:
    """Intervals of the recalls that lie apart: no resamples of it are kept."""
    low, high = (_of(records, f"faster_rcnn nms_iou={threshold}") for threshold in (0.5, 0.7))
    parts = [more_accurate(records, "faster_rcnn nms_iou=0.5", "faster_rcnn nms_iou=0.7", "detection")]
    for ours, theirs in ((one, other) for one in high for other in low if _where(one) == _where(other)):
        near = [record.scores["detection"].values.get("neighbour_recall/near") for record in (ours, theirs)]
        if None in near:
            continue
        status = Status.CANNOT_TELL
        if near[0].low > near[1].high or near[0].high < near[1].low:
            status = Status.HELD if near[0].value > near[1].value else Status.NOT_HELD
        found, before = (with_interval(one, "%") for one in near)
        figures = (
            f"of objects near their like {found} % are found, at 0.5 {before} % ({_where(ours)}, {ours.images} images)"
        )
        parts.append(Verdict(status, figures))
    return every(parts)


def _saves(records: Sequence[Ok], slow: Sequence[str], quick: Sequence[str], times: float, words: str) -> Verdict:
    """Stages of one model take more than so many times as long as those of another. Each is a model, and its stages.

    A stage has no interval of its own: that of all of predict, in proportion, stands for it.
    """
    parts = []
    for ours in _of(records, quick[0]):
        for theirs in _of(records, slow[0]):
            if _where(ours) == _where(theirs):
                ratio = _divided(_time_of(theirs, *slow[1:]), _time_of(ours, *quick[1:]))
                figures = f"{words.format(with_interval(ratio))} ({_where(ours)})"
                parts.append(Verdict(beyond(ratio, times), figures))
    why = f"no records of {quick[0]} and {slow[0]} in one setting"
    return every(parts) if parts else Verdict(Status.NOT_MEASURED, why)


def _of(records: Sequence[Ok], model: str) -> list[Ok]:
    return [record for record in records if record.cell.label == model]


def _shares(records: Sequence[Ok], model: str, *stages: str) -> Iterator[tuple[Interval, str]]:
    """How much of a model's time some stages take, and that in words."""
    for record in _of(records, model):
        whole, part = record.latency.p50, _time_of(record, *stages).value
        share = Interval(value=part / whole.value, low=part / whole.high, high=part / whole.low)
        yield share, f"{with_interval(share, '%')} % of {model}'s time ({_where(record)})"


def _where(record: Ok) -> str:
    cell = record.cell
    return f"{cell.dataset}, {cell.device}, {cell.precision}, {cell.threads} threads"


def _without_search(record: Ok) -> Interval:
    """Milliseconds per image of all other stages."""
    return _time_of(record, *(stage.name for stage in record.stages if stage.name != SEARCH))


def _time_of(record: Ok, *stages: str) -> Interval:
    """Milliseconds of some stages per image."""
    value = sum(stage.milliseconds for stage in record.stages if stage.name in stages)
    whole = record.latency.p50
    return Interval(value=value, low=value * whole.low / whole.value, high=value * whole.high / whole.value)


def _divided(dividend: Interval, divisor: Interval) -> Interval:
    """With the widest interval that the two allow."""
    return Interval(
        value=dividend.value / divisor.value, low=dividend.low / divisor.high, high=dividend.high / divisor.low
    )
