"""Claims are decided by records, and each verdict tells what it rests on."""

import numpy as np
import pytest
from claimed import NOISE, localizing, staged, turns
from typer.testing import CliRunner

from roibench import cli
from roibench.claim import ClaimError, Status, Verdict, every, faster, judge, keeps, more_accurate
from roibench.measure.pairs import accuracy_difference, mean_difference
from roibench.measure.record import Interval, Prefix, Stage
from roibench.registry import RegistrationError, Registry, installed
from roibench.report import markdown
from roibench.specs import ClaimSpec

AP = "coco_ap/AP"

PAIRS = (  # claims that one model is more accurate than another in a task
    ("distillation", "deit", "vit", "classification"),
    ("box_per_class", "localizer_per_class", "localizer", "localization"),
    ("heat_maps", "pose_heatmaps", "pose", "keypoints"),
    ("absolute_distances", "pose_l1", "pose", "keypoints"),
    ("remembered_maxima", "upsampling_max_unpool", "upsampling_bed_of_nails", "semantic_segmentation"),
    ("learned_way", "upsampling_transposed_4x4", "upsampling_bilinear", "semantic_segmentation"),
)


def test_a_difference_is_held_not_held_or_can_not_be_told(scored):
    records = [scored("good", 0.5), scored("level", 0.4999), scored("bad", 0.4)]
    for ours, theirs, status in (
        ("good", "bad", "held"),
        ("bad", "good", "not held"),
        ("good", "level", "can't be told"),
    ):
        assert more_accurate(records, ours, theirs, "detection").status == status
    figures = more_accurate(records, "good", "bad", "detection").figures
    assert figures.startswith("good - bad: AP 10.0 [") and "points (scenes, 500 images, cpu, float32" in figures
    assert "one training each, whose chance is not in the interval" in figures


def test_lower_may_be_better(scored):
    records = [scored(name, value, primary="depth/error", higher=False) for name, value in (("a", 0.1), ("b", 0.3))]
    assert more_accurate(records, "a", "b", "detection").status is Status.HELD
    assert more_accurate(records, "b", "a", "detection").status is Status.NOT_HELD


def test_several_trainings_are_in_the_interval(scored):
    """Trainings that lie further apart than the models do: what one of each seems to show can't be told."""
    ours = [scored("ours", ap, seed) for seed, ap in enumerate((0.50, 0.44, 0.56))]
    theirs = [scored("theirs", ap, seed) for seed, ap in enumerate((0.47, 0.41, 0.53))]
    assert more_accurate([ours[0], theirs[0]], "ours", "theirs", "detection").status is Status.HELD
    found = more_accurate([*ours, *theirs], "ours", "theirs", "detection")
    assert found.status is Status.CANNOT_TELL and "AP 3.0 [" in found.figures
    assert "3 and 3 trainings, Student's t" in found.figures
    alike = [scored(name, ap, seed) for name, ap in (("ours", 0.5), ("theirs", 0.47)) for seed in range(3)]
    assert more_accurate(alike, "ours", "theirs", "detection").status is Status.HELD


def test_of_the_same_weights_the_latest_record_counts(scored):
    again = scored("ours", 0.3)
    again = again.model_copy(update={"started": again.started.replace(year=2027)})
    for records in (
        [scored("ours", 0.5), again, scored("theirs", 0.4)],
        [again, scored("ours", 0.5), scored("theirs", 0.4)],
    ):
        found = more_accurate(records, "ours", "theirs", "detection")
        assert found.status is Status.NOT_HELD and "one training each" in found.figures


def test_the_interval_holds_the_truth_as_often_as_it_says(scored):
    """Models that are level, whose trainings and images both vary: images and trainings are drawn anew each time."""
    generator, held = np.random.default_rng(2), 0
    base = [scored("a", 0.5, seed) for seed in range(3)] + [scored("b", 0.5, seed) for seed in range(3)]

    def moved(record, by, noise):
        old = record.scores["detection"]
        values = {AP: old.values[AP].model_copy(update={"value": 0.5 + by})}
        new = old.model_copy(update={"values": values, "resampled": tuple(0.5 + by + noise)})
        return record.model_copy(update={"scores": {"detection": new}})

    for _ in range(400):
        of_images = 0.01 * generator.standard_normal(2)
        noise = 0.01 * generator.standard_normal((2, 300))
        trained = 0.01 * generator.standard_normal(6)
        drawn = [moved(one, of_images[i // 3] + trained[i], noise[i // 3]) for i, one in enumerate(base)]
        found = mean_difference(drawn[:3], drawn[3:], "detection", 500)
        held += found.low <= 0 <= found.high
    assert 0.93 <= held / 400 <= 0.99


def test_one_training_each_is_the_paired_difference(scored):
    one, other = scored("a", 0.5), scored("b", 0.45)
    assert mean_difference([one], [other], "detection", 500) == accuracy_difference(one, other, "detection")


def with_prefix(record, **values):
    """The record, which also knows what ranks over its first images: first_50=0.4."""
    score = record.scores["detection"]
    found = {
        int(name.removeprefix("first_")): Prefix(value=value, resampled=tuple(value + NOISE))
        for name, value in values.items()
    }
    return record.model_copy(update={"scores": {"detection": score.model_copy(update={"prefixes": found})}})


def test_accuracies_of_different_numbers_of_images_are_compared_over_those_that_both_have(scored):
    """What is worse over all of its images was better over the first fifty, or a hundred."""
    quick = with_prefix(scored("quick", 0.4), first_50=0.6, first_100=0.7)
    slow = scored("slow", 0.5, images=50)
    found = more_accurate([quick, slow], "quick", "slow", "detection")
    assert found.status is Status.HELD and "AP 10.0 [" in found.figures and "50 images, cpu" in found.figures
    found = keeps([quick, slow], "slow", "quick", "detection", 0.9)
    assert found.status is Status.NOT_HELD and "83.3 [" in found.figures and "50 images, cpu" in found.figures
    longer = with_prefix(scored("slow", 0.65, images=200), first_50=0.5, first_100=0.75)
    found = more_accurate([quick, longer, slow], "quick", "slow", "detection")
    assert found.status is Status.NOT_HELD and "AP -5.0 [" in found.figures and "100 images, cpu" in found.figures
    both = [with_prefix(scored("slow", 0.5, seed), first_50=0.1) for seed in range(2)]
    found = more_accurate([quick, *both, slow], "quick", "slow", "detection")
    assert (
        found.status is Status.NOT_HELD and "500 images, cpu" in found.figures and "1 and 2 training" in found.figures
    )


def test_times_are_compared_though_the_numbers_of_images_differ(scored):
    found = faster([scored("a", 0.5, turns=turns(10)), scored("b", 0.5, turns=turns(30), images=50)], "a", "b")
    assert found.status is Status.HELD


def test_what_was_not_measured_says_why(scored, record):
    assert more_accurate([], "a", "b", "detection") == Verdict(Status.NOT_MEASURED, "no record of a and b")
    few = [scored("a", 0.5), scored("b", 0.5, images=40)]
    assert "not measured alike on the same images" in more_accurate(few, "a", "b", "detection").figures
    old = more_accurate([record("a"), record("b")], "a", "b", "detection")
    assert old.status is Status.NOT_MEASURED and "before schema 7" in old.figures
    assert faster(few[:1] * 2, "a", "b").figures == "no record of b"
    apart = [scored("a", 0.5, turns=turns(10)), scored("b", 0.5, turns=turns(12, run="another"))]
    assert faster(apart, "a", "b") == Verdict(Status.NOT_MEASURED, "a and b took no turns together")


def test_times_are_paired_by_turns_and_judged_beyond_the_noise_floor(scored):
    records = [scored(name, 0.5, turns=turns(ms)) for name, ms in (("quick", 10), ("slow", 13), ("level", 10.1))]
    found = faster(records, "quick", "slow")
    assert found.status is Status.HELD and "quick takes 0.769 [0.7" in found.figures
    assert "paired over 20 turns, noise floor 2.0 %" in found.figures
    assert faster(records, "slow", "quick").status is Status.NOT_HELD
    assert faster(records, "quick", "level").status is Status.CANNOT_TELL


def test_a_claim_of_parts_is_as_its_weakest_part():
    held, not_held, cannot, unmeasured = (Verdict(one, one.name) for one in (
        Status.HELD, Status.NOT_HELD, Status.CANNOT_TELL, Status.NOT_MEASURED
    ))  # fmt: skip
    assert every([held, cannot, not_held, unmeasured]).status is Status.NOT_HELD
    assert every([held, cannot, unmeasured]).status is Status.NOT_MEASURED
    assert every([held, cannot]) == Verdict(Status.CANNOT_TELL, "HELD; CANNOT_TELL")
    assert every([held, held]).status is Status.HELD and every([]).status is Status.NOT_MEASURED


def suppressing(scored, score, found):
    """Faster R-CNN at several thresholds of suppression: {threshold: (AP, recall of objects near their like)}."""
    records = []
    for threshold, (ap, near) in found.items():
        one = scored("faster_rcnn", ap, knobs={"nms_iou": threshold})
        detection = one.scores["detection"]
        values = detection.values | {"neighbour_recall/near": score(near, near - 0.03, near + 0.03)}
        records.append(
            one.model_copy(update={"scores": {"detection": detection.model_copy(update={"values": values})}})
        )
    return records


@pytest.mark.parametrize(
    ("low", "high", "status"),
    [
        ((0.5, 0.6), (0.45, 0.7), Status.HELD),
        ((0.5, 0.6), (0.45, 0.62), Status.CANNOT_TELL),
        ((0.5, 0.7), (0.45, 0.6), Status.NOT_HELD),
        ((0.45, 0.6), (0.5, 0.7), Status.NOT_HELD),
    ],
)
def test_suppression_is_judged_by_ap_and_by_the_objects_near_their_like(scored, score, low, high, status):
    [found] = judge([installed().claims["suppression"]], suppressing(scored, score, {0.5: low, 0.7: high}))
    assert found.verdict.status is status, found.verdict.figures


def test_the_built_in_claims_are_judged_with_all_their_parts(scored, score):
    claims = installed().claims
    assert {"focal_loss", "two_stages", "grad_cam"} <= set(claims)
    detectors = [
        scored("retinanet", 0.45, turns=turns(9)),
        scored("retinanet_cross_entropy", 0.4),
        staged(scored("faster_rcnn", 0.5, turns=turns(10)), rpn=2, proposals=2, roi_align=3, box_head=1),
        scored("faster_rcnn_roi_pool", 0.45),
        staged(scored("rfcn", 0.45), score_maps=2, ps_roi_pool=0.1),
        staged(masked(scored, "mask_rcnn", 0.55, 0.5), backbone=6, regions=0.1, masks=0.5, joints=0.1),
        masked(scored, "mask_rcnn_roi_pool", 0.5, 0.4),
        scored("faster_rcnn", 0.48, turns=turns(8), knobs={"proposals": 50}),
        scored("faster_rcnn", 0.5, turns=turns(11), knobs={"proposals": 300}),
        *suppressing(scored, score, {0.5: (0.5, 0.6), 0.7: (0.45, 0.7)}),
    ]
    about = {"task": "attribution", "primary": "pointing_game/pointing"}
    explainers = [
        scored(f"{name}@{inner}", value, **about)
        for inner in ("fcn", "vit")
        for name, value in (("grad_cam", 0.9), ("center", 0.2))
    ]
    searched = [searching(scored, *one) for one in (("rcnn", 2000, 300), ("sppnet", 400, 300), ("fast_rcnn", 420, 310))]
    pairs = {(name, task): value for _, *names, task in PAIRS for name, value in zip(names, (0.6, 0.5), strict=True)}
    paired = [scored(name, value, task=task) for (name, task), value in pairs.items()]
    paired += [
        scored("fcn", 0.6, task="semantic_segmentation", turns=turns(8)),
        scored("fcn_full_resolution", 0.4, task="semantic_segmentation", turns=turns(12)),
        *(
            scored("sliding_window_segmenter", 0.4, task="semantic_segmentation", turns=turns(ms), knobs={"shared": k})
            for k, ms in ((1, 5), (0, 100))
        ),
    ]
    paired += [localizing(scored, *one) for one in (("localizer", 0.9), ("cam", 0.6), ("center", 0.2), ("edges", 0.5))]
    records = detectors + explainers + searched + paired
    of_few_models = [claim for claim in claims.values() if "comparisons:" not in claim.judge]
    found = {one.claim.name: one.verdict for one in judge(of_few_models, records)}
    assert {verdict.status for verdict in found.values()} == {Status.HELD}
    assert "faster_rcnn - retinanet: AP 5.0" in found["two_stages"].figures
    assert "retinanet takes 0.900" in found["two_stages"].figures
    assert all(
        f"grad_cam@{inner} - center@{inner}: pointing 70.0" in found["grad_cam"].figures for inner in ("fcn", "vit")
    )
    found = judge([claims["grad_cam"]], explainers[:3])
    assert found[0].verdict.status is Status.NOT_MEASURED and "no record of center@vit" in found[0].verdict.figures
    assert judge([claims["grad_cam"]], detectors)[0].verdict.status is Status.NOT_MEASURED
    page = markdown.claims(judge([claims["focal_loss"]], detectors))
    assert "| RetinaNet finds objects better with focal loss than with cross entropy. | held | retinanet - " in page


def tuned(scored, points, **others):
    """Faster R-CNN's records: by the number of proposals, AP and milliseconds."""
    return [
        scored("faster_rcnn", ap, turns=turns(ms), knobs={"proposals": count} | others)
        for count, (ap, ms) in points.items()
    ]


@pytest.mark.parametrize(("claim", "ours", "theirs", "task"), PAIRS)
def test_one_model_is_said_to_be_more_accurate_than_another(scored, claim, ours, theirs, task):
    for value, status in ((0.6, Status.HELD), (0.4, Status.NOT_HELD)):
        records = [scored(ours, value, task=task), scored(theirs, 0.5, task=task)]
        [found] = judge([installed().claims[claim]], records)
        assert found.verdict.status is status
        assert found.verdict.figures.startswith(f"{ours} - {theirs}: ")


@pytest.mark.parametrize(
    ("few", "status"),
    [
        ((0.49, 8), Status.HELD),
        ((0.40, 8), Status.NOT_HELD),  # too little is kept
        ((0.45, 8), Status.CANNOT_TELL),
        ((0.49, 20), Status.NOT_HELD),  # it takes longer
        ((0.49, 10.05), Status.CANNOT_TELL),  # within the noise floor
    ],
)
def test_fewer_proposals_are_judged_by_the_share_of_ap_and_by_time(scored, few, status):
    claim = installed().claims["fewer_proposals"]
    points = {10: (0.1, 1), 50: few, 100: (0.5, 9), 300: (0.5, 10)}
    verdict = judge([claim], tuned(scored, points))[0].verdict
    assert verdict.status is status, verdict.figures
    pair = "faster_rcnn proposals=50 {} faster_rcnn proposals=300 (scenes".format
    assert f"faster_rcnn proposals=50 has {200 * few[0]:.1f} [" in verdict.figures
    assert pair("takes {:.3g}").partition("{")[0] in verdict.figures
    assert "% of the AP of faster_rcnn proposals=300 (scenes, 500 images" in verdict.figures


def test_fewer_proposals_are_compared_where_all_else_is_the_same(scored):
    claim = installed().claims["fewer_proposals"]
    good, bad = {50: (0.49, 8), 300: (0.5, 10)}, {50: (0.30, 8), 300: (0.5, 10)}
    both = tuned(scored, good, short_side=128) + tuned(scored, bad, short_side=64)
    [found] = judge([claim], both)
    assert found.verdict.status is Status.NOT_HELD and "98.0 [" in found.verdict.figures
    apart = [both[0], both[3], scored("faster_rcnn", 0.5), *tuned(scored, {10: (0.4, 5), 300: (0.5, 9)})]
    assert judge([claim], apart)[0].verdict.status is Status.NOT_MEASURED


@pytest.mark.parametrize(("search", "status"), [(300, Status.HELD), (41, Status.CANNOT_TELL), (20, Status.NOT_HELD)])
def test_the_time_of_proposals_that_are_learned_is_that_of_their_two_stages(scored, search, status):
    records = [staged(scored("faster_rcnn", 0.5), rpn=2, proposals=2), searching(scored, "fast_rcnn", 400, search)]
    [found] = judge([installed().claims["learned_proposals"]], records)
    assert found.verdict.status is status, found.verdict.figures


@pytest.mark.parametrize(
    ("pooled", "status"), [(0.45, Status.HELD), (0.4999, Status.CANNOT_TELL), (0.55, Status.NOT_HELD)]
)
def test_roi_align_is_judged_by_the_box_ap_of_faster_rcnn(scored, pooled, status):
    records = [scored("faster_rcnn", 0.5), scored("faster_rcnn_roi_pool", pooled)]
    [found] = judge([installed().claims["roi_align"]], records)
    assert found.verdict.status is status, found.verdict.figures


@pytest.mark.parametrize(
    ("maps", "pool", "ap", "status"),
    [
        (2, 0.1, 0.45, Status.HELD),
        (2, 0.4, 0.45, Status.CANNOT_TELL),  # of 4 ms
        (2, 0.8, 0.45, Status.NOT_HELD),
        (3.9, 0.1, 0.45, Status.CANNOT_TELL),
        (6, 0.1, 0.45, Status.NOT_HELD),  # the maps take what pooling saves
        (2, 0.1, 0.55, Status.NOT_HELD),  # it costs no AP
    ],
)
def test_position_sensitive_maps_are_judged_by_the_time_of_regions_and_by_ap(scored, maps, pool, ap, status):
    records = [
        staged(scored("faster_rcnn", 0.5), backbone=6, roi_align=3, box_head=1),
        staged(scored("rfcn", ap), backbone=6, score_maps=maps, ps_roi_pool=pool),
    ]
    claim = installed().claims["position_sensitive"]
    verdict = judge([claim], records)[0].verdict
    assert verdict.status is status, verdict.figures
    assert f"box head take {4 / pool:#.3g} [" in verdict.figures and "faster_rcnn - rfcn: AP" in verdict.figures
    assert judge([claim], records[:1])[0].verdict.status is Status.NOT_MEASURED


def searching(scored, model, p50, search):
    """Of a detector that takes so many milliseconds, with selective search and without it."""
    stages = [
        Stage(name=name, milliseconds=value, share=value / p50)
        for name, value in (("selective_search", search), ("backbone", p50 - search))
    ]
    whole = Interval(value=p50, low=p50 * 0.99, high=p50 * 1.01)
    one = scored(model, 0.4)
    return one.model_copy(update={"stages": stages, "latency": one.latency.model_copy(update={"p50": whole})})


@pytest.mark.parametrize(
    ("rcnn", "sppnet", "fast", "status"),
    [
        ((2000, 300), (400, 300), (420, 300), Status.HELD),
        ((2000, 300), (400, 300), (600, 300), Status.NOT_HELD),
        ((1300, 300), (400, 300), (400, 300), Status.CANNOT_TELL),
        ((2000, 0), (200, 0), (100, 0), Status.CANNOT_TELL),
    ],
)
def test_convolutions_that_are_shared_are_judged_without_the_proposals(scored, rcnn, sppnet, fast, status):
    claim = installed().claims["shared_convolutions"]
    records = [searching(scored, *one) for one in (("rcnn", *rcnn), ("sppnet", *sppnet), ("fast_rcnn", *fast))]
    verdict = judge([claim], records)[0].verdict
    assert verdict.status is status, verdict.figures
    assert "times as long as sppnet (scenes, cpu" in verdict.figures
    assert judge([claim], records[1:])[0].verdict.status is Status.NOT_MEASURED


@pytest.mark.parametrize(("search", "status"), [(300, Status.HELD), (200, Status.CANNOT_TELL), (100, Status.NOT_HELD)])
def test_proposals_are_a_bottleneck_where_they_take_more_than_half(scored, search, status):
    claim = installed().claims["proposals_bottleneck"]
    verdict = judge([claim], [searching(scored, "fast_rcnn", 400, search)])[0].verdict
    assert verdict.status is status
    assert verdict.figures.startswith(f"selective search takes {search / 4:.1f} [")


def test_a_model_that_was_set_otherwise_is_another_one(scored):
    records = [scored("a", 0.5), scored("a", 0.1, knobs={"k": 1}), scored("b", 0.4)]
    found = more_accurate(records, "a", "b", "detection")
    assert found.status is Status.HELD and "one training each" in found.figures
    assert more_accurate(records, "b", "a k=1", "detection").status is Status.HELD


def test_a_share_needs_the_same_weights_and_resamples(scored, record):
    other = [scored("a", 0.5), scored("b", 0.5, training=1)]
    assert keeps(other, "a", "b", "detection", 0.9).status is Status.NOT_MEASURED
    old = keeps([record("a"), record("b")], "a", "b", "detection", 0.9)
    assert old.status is Status.NOT_MEASURED and "before schema 7" in old.figures
    nothing = [scored("a", 0.5), scored("b", 0.0)]
    assert keeps(nothing, "a", "b", "detection", 0.9).status is Status.NOT_MEASURED


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"name": "Focal loss"}, "name: want lower_case"),
        ({"statement": "no sentence"}, "statement: want a sentence, with its full stop"),
        ({"judge": "somewhere"}, 'judge: want "module:function"'),
    ],
)
def test_a_claim_that_is_wrong_is_refused_by_attribute(wrong, words):
    claim = ClaimSpec(**{"name": "mine", "statement": "It is so.", "judge": "a:b"} | wrong)
    with pytest.raises(RegistrationError, match=f"plugin 'mine', ClaimSpec .*: {words}"):
        Registry().add("mine", ClaimSpec, claim)


@pytest.mark.parametrize(
    ("path", "words"), [("math:sqrt", "TypeError: "), ("builtins:list", "want a Verdict, got list")]
)
def test_a_judge_that_fails_is_named(path, words):
    with pytest.raises(ClaimError, match=f"claim 'mine', {path}: {words}"):
        judge([ClaimSpec("mine", "It is so.", path)], [])


def test_a_third_party_claims_by_the_same_door(third_party, scored):
    claim = third_party.claims["ramps"]
    assert third_party.origin["ClaimSpec", "ramps"] == "depth_plugin"
    about = {"task": "depth", "primary": "depth_error/abs_rel", "higher": False}
    [found] = judge([claim], [scored("ramp", 0.1, **about), scored("upright", 0.4, **about)])
    assert found.verdict.status is Status.HELD


def test_the_command_prints_every_claim_of_a_run(third_party, tmp_path, scored):
    with (tmp_path / "records.jsonl").open("w") as file:
        for record in (scored("retinanet", 0.45), scored("retinanet_cross_entropy", 0.4)):
            file.write(f'{{"event": "record", "record": {record.model_dump_json()}}}\n')
    result = CliRunner().invoke(cli.app, ["claims", str(tmp_path)])
    assert result.exit_code == 0, result.output
    for words in (*(claim.statement for claim in third_party.claims.values()), "AP 5.0 [", "no record of faster_rcnn"):
        assert words in result.output


@pytest.mark.parametrize(("masks", "status"), [(0.5, Status.HELD), (3.8, Status.CANNOT_TELL), (6, Status.NOT_HELD)])
def test_masks_and_joints_are_judged_by_their_share_of_the_time(scored, masks, status):
    record = staged(scored("mask_rcnn", 0.5, turns=turns(10)), backbone=6, regions=0.1, masks=masks, joints=0.1)
    [found] = judge([installed().claims["mask_branches"]], [record])
    assert found.verdict.status is status and "% of mask_rcnn's time" in found.verdict.figures


@pytest.mark.parametrize(("ap", "status"), [(0.55, Status.HELD), (0.45, Status.NOT_HELD)])
def test_masks_are_judged_by_what_they_do_for_boxes(scored, ap, status):
    [found] = judge([installed().claims["multi_task"]], [scored("mask_rcnn", ap), scored("faster_rcnn", 0.5)])
    assert found.verdict.status is status


def masked(scored, model, boxes, masks):
    """A record of both tasks."""
    own = scored(model, boxes)
    other = scored(model, masks, task="instance_segmentation", primary="coco_mask_ap/AP")
    return own.model_copy(update={"scores": {**own.scores, **other.scores}})


@pytest.mark.parametrize(
    ("boxes", "masks", "status"),
    [(0.48, 0.3, Status.HELD), (0.48, 0.38, Status.CANNOT_TELL), (0.3, 0.39, Status.NOT_HELD)],
)
def test_gains_of_masks_are_held_against_those_of_boxes(scored, boxes, masks, status):
    records = [masked(scored, "mask_rcnn", 0.5, 0.4), masked(scored, "mask_rcnn_roi_pool", boxes, masks)]
    claim = installed().claims["masks_gain_more"]
    [found] = judge([claim], records)
    assert found.verdict.status is status, found.verdict.figures
    assert judge([claim], records[:1])[0].verdict.status is Status.NOT_MEASURED


@pytest.mark.parametrize(("shared", "status"), [(5, "held"), (20, "not held")])
def test_running_convolutionally_must_take_less_than_a_tenth(scored, shared, status):
    records = [
        scored("sliding_window_segmenter", 0.4, task="semantic_segmentation", turns=turns(ms), knobs={"shared": k})
        for k, ms in ((1, shared), (0, 100))
    ]
    [found] = judge([installed().claims["convolutional"]], records)
    assert found.verdict.status == status
