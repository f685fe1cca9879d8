"""Dissection of a generator in which it is known what each unit does, and the command around it."""

import pytest
import torch
import torch.nn.functional as F
from sklearn.metrics import mutual_info_score
from torch import nn
from typer.testing import CliRunner

from roibench import cli
from roibench.assemble import build_model
from roibench.datasets.reference import open_dataset
from roibench.plugins.generation.dissection import Judges, dissect
from roibench.plugins.generation.dissection_report import markdown, sheets
from roibench.plugins.generation.intervention import light_up, random_quarters, silence
from roibench.plugins.generation.lens import Lens
from roibench.plugins.generation.unit_agreement import agreement, find_thresholds, information_quality, iou
from roibench.registry import installed
from roibench.weights import WeightsHeader, save_weights, shipped_weights

UNITS, DRAWS = 24, 4
CLASSES = ("red", "green", "never")


class Planted(nn.Module):
    """Unit 5 draws a red square, unit 9 a green one, each in half of the pictures; the others are noise.

    strength: of what any unit does; 0: every picture is black.
    """

    def __init__(self, strength=1.0):
        super().__init__()
        self.strength = strength
        self.layers = nn.ModuleList([nn.Identity()])

    def latents(self, names):
        found = []
        for name in names:
            generator = torch.Generator().manual_seed(int(name.partition("-")[2]) + 1000 * name.startswith("second"))
            maps = torch.randn(UNITS, 8, 8, generator=generator).relu()
            for unit in (5, 9):
                maps[unit] = 0
                shown, top, left = torch.randint(0, 4, (3,), generator=generator).tolist()
                if shown < 2:
                    maps[unit, top : top + 4, left : left + 4] = 4
            found.append(self.strength * maps)
        return torch.stack(found)

    def pictures(self, latents):
        maps = F.interpolate(self.layers[0](latents), (32, 32), mode="bilinear")
        red, green = ((maps[:, unit] > 2).to(torch.uint8) * 255 for unit in (5, 9))
        return torch.stack([red, green, torch.zeros_like(red)], 1)


def segment(pictures):
    """Where both are, red."""
    red, green = (pictures[:, channel] > 128 for channel in (0, 1))
    return torch.where(red, 1, torch.where(green, 2, 0)).to(torch.uint8)


def all_of(pictures):
    return torch.ones(len(pictures), dtype=torch.bool).numpy()


def dissected(strength=1.0, confident=all_of, samples=60):
    return dissect(Lens(Planted(strength), segment, 0), 3, confident, samples, units=1, draws=DRAWS)


@pytest.fixture(scope="module")
def found():
    return dissected()


JUDGES = Judges("somebody", dissected(samples=8).recognised, None)


def test_the_unit_that_is_a_class_is_found(found):
    assert found.matches.keys() == {0, 1}, "what is never shown is not looked into"
    for label, unit, least in ((0, 5, 0.9), (1, 9, 0.5)):  # of green, some lies behind red
        best, second, _ = found.matches[label]
        assert best.unit == unit and best.iou.low > least > 0.3 > second.iou.value
        assert best.iou.value == pytest.approx(found.iou[unit, label])


def test_a_class_goes_and_comes_with_its_unit_and_not_with_others(found):
    red, green = found.interventions
    for one in (red, green):
        assert one.off.own.value > 0.8 and one.on.own.low > 0.3
        assert one.off.difference.low > 0.5 and one.on.difference.low > 0.3
        assert abs(one.off.random.value) < 0.3 and abs(one.on.random.value) < 0.1
    assert red.off.own.value == 1 and red.off.most <= 0.0, "no draw holds unit 5: noise does nothing"
    as_it_is, off, random = red.off_pictures
    assert as_it_is[0].any() and not off[0].any() and torch.equal(random, as_it_is)
    as_it_is, on, random = red.on_pictures
    assert not as_it_is[0].any() and on[0].any() and torch.equal(random, as_it_is)


def test_it_is_the_same_every_time(found):
    again = dissected()
    assert torch.equal(again.thresholds, found.thresholds) and again.interventions[0].off == found.interventions[0].off


def test_what_is_not_recognised_is_said_and_not_intervened_in():
    def few(pictures):
        hits = all_of(pictures)
        hits[: len(hits) // 2 + 1] = False
        return hits

    found = dissected(confident=few)
    assert found.interventions is None and found.recognised.value < 0.5 and found.matches
    page = markdown("planted", found, JUDGES, CLASSES)
    assert "Fewer than 50% of the pictures are recognised." in page and "| off: its units |" not in page
    assert sheets(found, CLASSES).keys() == {"pictures.png", "units.png"}


def test_a_black_generator_has_no_classes_and_no_nan():
    found = dissected(strength=0.0)
    assert found.matches == {} and found.interventions == [] and (found.iou == 0).all()
    assert torch.isfinite(found.thresholds).all()
    page = markdown("black", found, JUDGES, CLASSES)
    assert "No class is shown by enough pictures." in page and "nan" not in page
    assert "Shown by fewer than 20 pictures: red, green, never." in page
    assert sheets(found, CLASSES).keys() == {"pictures.png"}


def test_the_page_has_what_was_found(found):
    page = markdown("planted", found, JUDGES, CLASSES)
    assert f"{(found.iou >= 0.05).any(1).sum()} of 24 units have an IoU of 5% or more with a class." in page
    assert "| red |" in page and "5: " in page and f"{DRAWS} draws of as many random ones" in page
    assert "Shown by fewer than 20 pictures: never." in page
    drawn = sheets(found, CLASSES)
    assert drawn.keys() == {"pictures.png", "units.png", "interventions.png"}
    assert drawn["units.png"].width > 12 * 128 and drawn["interventions.png"].width > 6 * 128


def test_information_quality_is_scikit_learns_mutual_information_over_joint_entropy():
    generator = torch.Generator().manual_seed(0)
    for _ in range(10):
        first = torch.rand(200, generator=generator) < 0.3
        second = first ^ (torch.rand(200, generator=generator) < 0.2)
        counts = [one.sum().double() for one in (first & second, first, second)]
        joint = torch.bincount(2 * first.long() + second.long(), minlength=4) / 200
        expected = mutual_info_score(first.numpy(), second.numpy()) / float(torch.special.entr(joint).sum())
        assert float(information_quality(*counts, torch.tensor(200.0))) == pytest.approx(expected, rel=1e-5)
    same = torch.tensor(60.0)
    assert float(information_quality(same, same, same, torch.tensor(200.0))) == pytest.approx(1)
    none = torch.tensor(0.0)
    assert float(information_quality(none, none, none, torch.tensor(200.0))) == 0


def test_thresholds_are_about_the_best_there_are():
    """Almost: 64 levels against every value of a unit's pixels, one by one."""
    seen = Lens(Planted(), segment, 0).watch([f"first-{index}" for index in range(30)])
    values = F.interpolate(seen.maps[:, 5:6], (32, 32), mode="bilinear").flatten()
    true = seen.classes.flatten() == 1
    total = torch.tensor(float(len(true)), dtype=torch.float64)

    def quality(level):
        fires = values > level
        counts = [one.sum().double() for one in (fires & true, fires, true)]
        return float(information_quality(*counts, total))

    chosen = find_thresholds(seen, 3)[5, 0]
    assert quality(chosen) >= 0.9 * max(map(quality, values.unique()))


def test_agreement_counts_pixels():
    seen = Lens(Planted(), segment, 0).watch(["first-0", "first-1"])
    both, either = agreement(seen, torch.full((UNITS, 3), 2.0))
    fires = F.interpolate(seen.maps, (32, 32), mode="bilinear")[1, 5] > 2
    true = seen.classes[1] == 1
    assert both[1, 5, 0] == (fires & true).sum() and either[1, 5, 0] == (fires | true).sum()
    assert iou(both, either).shape == (UNITS, 3) and iou(both, either)[5, 2] == 0


def test_edits_change_the_units_and_places_that_they_name():
    maps, places = torch.rand(2, 4, 6, 6), random_quarters(3, (6, 6), torch.Generator().manual_seed(0))
    assert places.sum((1, 2)).tolist() == [9, 9, 9]
    off = silence([1, 3])(maps.clone(), slice(0, 2))
    assert not off[:, [1, 3]].any() and torch.equal(off[:, [0, 2]], maps[:, [0, 2]])
    on = light_up([2], torch.tensor([0.0, 0.0, 7.0, 0.0]), places)(maps.clone(), slice(1, 3))
    assert torch.equal(on == 7, places[1:, None] & (torch.arange(4) == 2)[:, None, None])
    assert torch.equal(on[on != 7], maps[on != 7])


def test_a_lens_leaves_no_hook_behind_whatever_happens():
    planted = Planted()

    def fail(maps, which):
        raise KeyError("stop")

    with pytest.raises(KeyError):
        Lens(planted, segment, 0).look(["first-0"], fail)
    assert not planted.layers[0]._forward_hooks


def test_more_units_than_there_are_is_a_mistake():
    with pytest.raises(ValueError, match="--units 25: want 1 to 24, which the layer has"):
        dissect(Lens(Planted(), segment, 0), 3, all_of, 4, units=25, draws=1)


def command(*words):
    return CliRunner().invoke(cli.app, ["gan-dissection", *map(str, words)])


@pytest.fixture(scope="module")
def untrained(tmp_path_factory):
    """A file of weights of a generator that has learned nothing."""
    registry, info = installed(), open_dataset("icons", installed()).info
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("gan") / "gan-icons.safetensors"
    known = {"data_hash": "", "config": {}, "recipe": {}, "seed": 0, "threads": 1, "roibench": "0", "torch": "0"}
    header = WeightsHeader(model="gan", dataset="icons", classes=info.classes, precision="float32", **known)
    save_weights(path, build_model(registry.models["gan"], info).state_dict(), header)
    return path


def test_the_command_says_that_noise_is_not_recognised(tmp_path, untrained):
    registry = installed()
    segmenter = shipped_weights(registry.models["fcn"], "scenes", registry)
    typed = ("--weights", untrained, "--segmenter-weights", segmenter, "--samples", 8, "--out", tmp_path)
    done = command(*typed, "--layer", 3)
    assert done.exit_code == 0, done.output
    page = (tmp_path / "dissection.md").read_text()
    assert page.startswith("# gan on icons, layer 3: 96 units of 16 x 16") and page in done.output
    assert "fcn, trained on scenes, says; its mean IoU there is" in page
    assert "Fewer than 50% of the pictures are recognised." in page and (tmp_path / "pictures.png").is_file()
    for words, problem in (
        (("--layer", 5), "--layer 5: want 1 to 4, which 'gan' has"),
        (("--samples", 0), "--samples 0: want 1 or more"),
        (("--segmenter", "retinanet"), "--segmenter 'retinanet': want a model of semantic_segmentation"),
    ):
        wrong = command(*typed, *words)
        assert isinstance(wrong.exception, ValueError) and problem in str(wrong.exception)


def test_what_has_no_layers_to_look_into_is_named(tmp_path):
    wrong = command("resnet_classifier", "--out", tmp_path)
    assert isinstance(wrong.exception, ValueError)
    assert "model 'resnet_classifier' can't be looked into: it has no layers, latents, pictures" in str(wrong.exception)
