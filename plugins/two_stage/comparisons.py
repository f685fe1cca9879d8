"""What is said of detectors of two stages and of one, pair by pair; and of base networks, architectures and settings,
by the records of a study as that of Huang et al. 2017 (arXiv 1611.10012).

The study's records are those in which both the image's size and, where there are any, the number of proposals are set.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from itertools import product
from typing import NamedTuple

from roibench.claim import (
    Interval,
    Ok,
    Status,
    Verdict,
    accuracy_difference,
    beyond,
    difference_of_leads,
    every,
    faster,
    keeps,
    latency_ratio,
    more_accurate,
    ranking_value,
    shared_images,
    takes_at_most,
    with_interval,
)
from roibench.recipes import BASE_NETWORKS

PROPOSALS = {"proposals", "selective_search"}  # stages of what finds regions first
MANY, FEW = 150, 50  # proposals
WHOLE, HALF = 128, 64  # short_side


class Part(NamedTuple):
    """One comparison of many: which, in a few words, and what came out."""

    name: str
    verdict: Verdict


def all_pairs(records: Sequence[Ok]) -> Verdict:
    """Of all pairs of a detector that finds regions first and a single-stage one."""
    found = [record for record in records if "detection" in record.scores and record.cell.label == record.cell.model]
    two = _models(record for record in found if PROPOSALS & {stage.name for stage in record.stages})
    one = _models(record for record in found if record.family == "single_stage")
    pairs = [pair for pair in product(two, one) if _measured_together(found, *pair)]
    accuracies = [Part(" and ".join(pair), more_accurate(found, *pair, "detection")) for pair in pairs]
    speeds = [Part(" and ".join(pair), faster(found, *pair[::-1])) for pair in pairs]
    return every([_tally("the two-stage one is more accurate", accuracies), _tally("and slower", speeds)])


def architectures(records: Sequence[Ok]) -> Verdict:
    study = _study(records)
    faster_parts, accurate_parts = [], []
    for network in _networks():
        ours = study.get(("faster_rcnn", network, WHOLE, MANY))
        for name, proposals in (("rfcn", MANY), ("ssd", None)):
            theirs = study.get((name, network, WHOLE, proposals))
            if ours and theirs:
                labels, where = (theirs.cell.label, ours.cell.label), f"{name} on {network}"
                faster_parts.append(Part(where, faster(records, *labels)))
                accurate_parts.append(Part(where, more_accurate(records, *labels[::-1], "detection")))
    parts = [_tally("Faster R-CNN is slower", faster_parts), _tally("and more accurate", accurate_parts)]
    return every(parts)


def few_proposals_suffice(records: Sequence[Ok]) -> Verdict:
    study, as_fast, as_good = _study(records), [], []
    for network in _networks():
        few, many, rfcn = (
            study.get((name, network, WHOLE, count))
            for name, count in (("faster_rcnn", FEW), ("faster_rcnn", MANY), ("rfcn", MANY))
        )
        if few and many and rfcn:
            as_fast.append(Part(network, takes_at_most(records, few.cell.label, rfcn.cell.label, 1.1)))
            as_good.append(Part(network, keeps(records, few.cell.label, many.cell.label, "detection", 0.9)))
    words = f"with {FEW} proposals Faster R-CNN takes at most 1.1 times as long as R-FCN"
    return every([_tally(words, as_fast), _tally(f"it keeps 90 % of its AP with {MANY}", as_good)])


def base_network_matters_less(records: Sequence[Ok]) -> Verdict:
    """By the two base networks that were trained alike; which of them leads is told by Faster R-CNN."""
    study, parts = _study(records), []
    leads: dict[str, Interval] = {}
    for name, proposals in (("faster_rcnn", MANY), ("rfcn", MANY), ("ssd", None)):
        one, other = (study.get((name, network, WHOLE, proposals)) for network in BASE_NETWORKS)
        lead = accuracy_difference(one, other, "detection") if one and other else None
        if lead is not None:
            leads[name] = lead
    if "ssd" not in leads or len(leads) < 2:
        return Verdict(Status.NOT_MEASURED, "no records of ssd and of faster_rcnn or rfcn on both base networks")
    sign = -1 if next(iter(leads.values())).value < 0 else 1
    leads = {name: lead if sign > 0 else _negated(lead) for name, lead in leads.items()}
    first, second = list(BASE_NETWORKS)[::sign]
    for name in leads.keys() - {"ssd"}:
        found = difference_of_leads(leads[name], leads["ssd"])
        said = f"{with_interval(leads[name], '%')} for {name}, {with_interval(leads['ssd'], '%')} for ssd"
        figures = f"{first} - {second}: points of AP {said}; {with_interval(found, '%')} more"
        parts.append(Verdict(beyond(found, 0.0), figures))
    return every(sorted(parts, key=lambda part: part.figures))


def half_the_side(records: Sequence[Ok]) -> Verdict:
    study, quicker, worse = _study(records), [], []
    shares: list[tuple[float, float]] = []
    for (name, network, side, proposals), small in study.items():
        large = study.get((name, network, WHOLE, proposals))
        if side == HALF and large and proposals in (None, MANY):
            where, labels = f"{name} on {network}", (small.cell.label, large.cell.label)
            quicker.append(Part(where, faster(records, *labels)))
            worse.append(Part(where, more_accurate(records, *labels[::-1], "detection")))
            ratio, images = latency_ratio(small, large), shared_images(small, large, "detection")
            if ratio and images:
                aps = [ranking_value(one, "detection", images).value for one in (small, large)]
                shares.append((aps[0] / aps[1], ratio.value))
    parts = [_tally(f"{HALF} pixels are faster than {WHOLE}", quicker), _tally("and less accurate", worse)]
    if shares:
        ap, time = (100 * (1 - sum(column) / len(shares)) for column in zip(*shares, strict=True))
        parts.append(Verdict(Status.HELD, f"on average {ap:.1f} % of AP and {time:.1f} % of the time are lost"))
    return every(parts)


def _study(records: Sequence[Ok]) -> Mapping[tuple[str, str, int, int | None], Ok]:
    """The study's records by architecture, base network, short_side and proposals, the latest of each."""
    found = {}
    for record in sorted(records, key=lambda record: record.started):
        cell = record.cell
        network = next((name for name in BASE_NETWORKS if cell.model.endswith(f"_{name}")), "small_resnet")
        name = cell.model.removesuffix(f"_{network}")
        knobs = dict(cell.knobs)
        side, proposals = knobs.pop("short_side", None), knobs.pop("proposals", None)
        if name in ("faster_rcnn", "rfcn", "ssd") and side and (proposals or name == "ssd") and not knobs:
            found[name, network, side, proposals] = record
    return found


def _networks() -> tuple[str, ...]:
    return ("small_resnet", *BASE_NETWORKS)


def _models(records: Iterable[Ok]) -> list[str]:
    return list(dict.fromkeys(record.cell.model for record in records))


def _measured_together(records: Sequence[Ok], *models: str) -> bool:
    first, second = ([record for record in records if record.cell.model == name] for name in models)
    return any(latency_ratio(*pair) for pair in product(first, second))


def _negated(found: Interval) -> Interval:
    return Interval(value=-found.value, low=-found.high, high=-found.low)


def _tally(words: str, parts: Sequence[Part]) -> Verdict:
    """Holds if all parts do; in figures, how many do, and which of the others do what."""
    if not parts:
        return Verdict(Status.NOT_MEASURED, f"{words}: no such records")
    counts = Counter(part.verdict.status for part in parts)
    figures = f"{words} in {counts[Status.HELD]} of {len(parts)}"
    others = {status: _names(parts, status) for status in Status if status is not Status.HELD and counts[status]}
    told = "; ".join(f"{status}: {names}" for status, names in others.items())
    return Verdict(every(part.verdict for part in parts).status, f"{figures} ({told})" if told else figures)


def _names(parts: Sequence[Part], status: Status) -> str:
    return ", ".join(part.name for part in parts if part.verdict.status is status)
