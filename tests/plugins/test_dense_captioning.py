"""The captioner through the doors that everybody uses; its language model against plain loops."""

import itertools
from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
from coco_files import real

from roibench.assemble import build_model, ready_model
from roibench.dataset import DatasetInfo
from roibench.datasets.coco import open_coco
from roibench.datasets.scenes import open_scenes
from roibench.measure.cost import count_cost
from roibench.measure.score import score
from roibench.metrics.dense_captioning import KINDS
from roibench.plugins.two_stage.language import END, UNKNOWN, LanguageModel
from roibench.registry import installed
from roibench.task import Frame
from roibench.tasks.dense_captioning import DenseCaptionerContract
from roibench.weights import WeightsHeader, save_weights

SPEC = installed().models["dense_captioning"]
FEATURES, MOST = 5, 4
WORDS = ("a", "red", "star")


class TestDenseCaptioning(DenseCaptionerContract):
    model = "dense_captioning"


def speaker(seed: int = 0, words: tuple[str, ...] = WORDS) -> LanguageModel:
    """Untrained, and opinionated: its words aren't all equally likely."""
    torch.manual_seed(seed)
    model = LanguageModel(words, FEATURES, embedding=6, hidden=7).eval()
    torch.nn.init.normal_(model.logits.weight, std=2.0)
    return model


def regions(count: int) -> torch.Tensor:
    return torch.randn(count, FEATURES, generator=torch.Generator().manual_seed(1))


def likelihood(model: LanguageModel, region: torch.Tensor, ids: list[int]) -> float:
    """The log-probability of a sentence, word after word, without UNKNOWN; it may end for lack of space, too."""
    state, total, before = None, 0.0, END
    for word in ids:
        inputs = torch.cat([model.embedding(torch.tensor([before])), region[None]], 1)
        state = model.cell(inputs, state)
        logits = model.logits(state[0])[0]
        logits[UNKNOWN] = -torch.inf
        total += float(logits.log_softmax(-1)[word])
        before = word
    return total


def every_sentence(words: int) -> list[list[int]]:
    """All that can be said in MOST words, the end counted."""
    ids = range(UNKNOWN + 1, UNKNOWN + 1 + words)
    whole = [[*one, END] for length in range(MOST) for one in itertools.product(ids, repeat=length)]
    return whole + [list(one) for one in itertools.product(ids, repeat=MOST)]


def cut(ids: list[int]) -> list[int]:
    """Up to the first END, with it."""
    return ids[: ids.index(END) + 1] if END in ids else ids


@pytest.mark.parametrize("seed", range(5))
@torch.no_grad()
def test_a_beam_of_1_is_greedy(seed):
    model, shown = speaker(seed), regions(6)
    said, total = model.search(shown, 1, MOST)
    for region, ids, value in zip(shown, said.tolist(), total.tolist(), strict=True):
        greedy: list[int] = []
        while len(greedy) < MOST and END not in greedy:
            nexts = [word for word in range(2 + len(WORDS)) if word != UNKNOWN]
            greedy.append(max(nexts, key=lambda word: likelihood(model, region, [*greedy, word])))
        assert cut(ids) == greedy
        assert value == pytest.approx(likelihood(model, region, greedy), abs=1e-4)


@pytest.mark.parametrize("seed", range(20))
@torch.no_grad()
def test_a_wider_beam_is_never_less_likely_than_greedy(seed):
    """In a plain beam search two of a hundred of these lose the greedy sentence, and end with a worse one."""
    model, shown, most = speaker(seed, words=tuple(map(str, range(20)))), regions(50), 10
    torch.nn.init.normal_(model.embedding.weight, std=2.0)
    _, greedy = model.search(shown, 1, most)
    for beam in (2, 3, 10):
        said, total = model.search(shown, beam, most)
        assert (total >= greedy - 1e-4).all()
        for k in (0, 7):
            assert float(total[k]) == pytest.approx(likelihood(model, shown[k], cut(said[k].tolist())), abs=1e-3)


@torch.no_grad()
def test_a_beam_that_loses_nothing_finds_the_likeliest_sentence():
    model, shown = speaker(3), regions(6)
    said, _ = model.search(shown, 1000, MOST)
    for region, ids in zip(shown, said.tolist(), strict=True):
        assert cut(ids) == max(every_sentence(len(WORDS)), key=lambda one: likelihood(model, region, one))


@torch.no_grad()
def test_unknown_words_and_what_follows_the_end_are_never_said():
    model = speaker()
    model.logits.bias[UNKNOWN] = 1e3
    for beam in (1, 3):
        sentences = model.describe(regions(20), beam, MOST)
        assert all(set(one.split()) <= set(WORDS) for one in sentences)
        model.logits.bias[END] = 1e2
        assert model.describe(regions(20), beam, MOST) == [""] * 20
        model.logits.bias[END] = 0


@torch.no_grad()
def test_no_region_no_sentence():
    assert [speaker().describe(regions(0), beam, MOST) for beam in (1, 3)] == [[], []]


def test_the_loss_is_the_mean_over_words_and_ends():
    model, shown = speaker(), regions(3)
    sentences = ["A red star.", "star", "a blue star"]
    ids = [[2, 3, 4, END], [4, END], [2, UNKNOWN, 4, END]]
    total = 0.0
    for region, one in zip(shown, ids, strict=True):
        state, before = None, END
        for word in one:
            state = model.cell(torch.cat([model.embedding(torch.tensor([before])), region[None]], 1), state)
            total += F.cross_entropy(model.logits(state[0]), torch.tensor([word])).item()
            before = word
    assert model.loss(shown, sentences).item() == pytest.approx(total / 10, rel=1e-5)


def test_sentences_of_one_word_and_of_none_and_no_sentence_have_a_loss():
    model = speaker()
    assert model.loss(regions(2), ["star", ""]) > 0
    assert model.loss(regions(0), []) == 0


def test_a_model_without_words_says_nothing_and_learns_nothing():
    silent = speaker(words=())
    assert silent.describe(regions(2), 3, MOST) == ["", ""]
    with pytest.raises(ValueError, match="the captions have no words to learn: want a dataset whose vocabulary"):
        silent.loss(regions(1), ["a star"])


def test_it_learns_what_it_is_shown_by_heart():
    model, shown = speaker().train(), regions(3)
    sentences = ["a red star", "star", "a star red a"]
    optimizer = torch.optim.Adam(model.parameters(), lr=0.05)
    for _ in range(100):
        optimizer.zero_grad()
        model.loss(shown, sentences).backward()
        optimizer.step()
    with torch.no_grad():
        for beam in (1, 3):
            assert model.describe(shown, beam, 6) == sentences


def test_words_are_those_of_the_vocabulary_each_once_whatever_their_writing():
    info = DatasetInfo("mixed", "train", (), vocabulary=("A", "star.", "a", "left of", "don't", "..."))
    assert build_model(SPEC, info).language.words == ("a", "star", "left", "of", "don't")


def test_words_come_back_from_a_file_of_weights(tmp_path):
    """The vocabulary of another split is another one, and `roibench predict` knows none at all."""
    info = replace(DenseCaptionerContract.info, vocabulary=("wörd", "a", "zebra"))
    model = build_model(SPEC, info, DenseCaptionerContract.overrides).eval()
    header = WeightsHeader(
        model=SPEC.name,
        dataset="d",
        data_hash="",
        classes=info.classes,
        config={},
        recipe={},
        seed=0,
        precision="float32",
        threads=1,
        roibench="",
        torch="",
    )
    save_weights(tmp_path / "w.safetensors", model.state_dict(), header)
    for vocabulary in ((), ("other", "words", "and", "more", "of", "them")):
        spec = replace(SPEC, config=dict(DenseCaptionerContract.overrides))
        loaded = ready_model(
            spec, replace(info, vocabulary=vocabulary), tmp_path / "w.safetensors", torch.device("cpu")
        )
        assert loaded.language.words == ("wörd", "a", "zebra")
        assert loaded.language.embedding.weight.shape == model.language.embedding.weight.shape
        [found] = loaded.predict(DenseCaptionerContract.noise((128, 128)))
        assert {word for one in found.captions for word in one.split()} <= {"wörd", "a", "zebra"}


def test_an_image_learned_by_heart_is_described_again():
    """Boxes, sentences and what they belong to go together; two regions alike differ in their surroundings alone."""
    torch.manual_seed(0)
    info = replace(DenseCaptionerContract.info, vocabulary=("a", "disc", "left", "right", "of", "ring"))
    model = build_model(SPEC, info, {"beam": 3}).train()
    [image] = DenseCaptionerContract.noise((96, 160))
    image.image[:, 12:40, 8:50] = image.image[:, 50:78, 90:132]
    target = DenseCaptionerContract.regions(
        (8, 12, 50, 40, "a disc left of a ring"), (90, 50, 132, 78, "a ring right of a disc")
    )
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
    for _ in range(6):
        for _ in range(25):
            optimizer.zero_grad()
            sum(model.losses([image], [target]).values()).backward()
            optimizer.step()
        [found] = model.eval().predict([image])
        model.train()
        got = score_of([found], [target], [image], info)
        if got["mAP"] > 0.9:
            return
    pytest.fail(f"{got}; {found.captions}")


def score_of(predictions, targets, inputs, info) -> dict[str, float]:
    task, frames = installed().tasks["dense_captioning"], [Frame.of(one, info) for one in inputs]
    values = score(task, predictions, targets, frames, installed()).values
    return {key.partition("/")[2]: one.value for key, one in values.items()}


def test_its_operations_can_be_counted():
    info = DenseCaptionerContract.info
    model = build_model(SPEC, info, DenseCaptionerContract.overrides).eval()
    assert count_cost(model, [DenseCaptionerContract.noise((96, 160))]).flops > 1e6


def test_scenes_are_scored_word_by_word():
    val = open_scenes(None, "val")
    torch.manual_seed(0)
    model = build_model(SPEC, val.info, {"score_threshold": 0.3}).eval()
    samples = [val[i] for i in range(3)]
    found = model.predict([one.input for one in samples])
    got = score_of(found, [one.target for one in samples], [one.input for one in samples], val.info)
    assert set(got) <= {"mAP", "box_AP", *KINDS} and 0 <= got["mAP"] <= got["box_AP"] < 0.5


def test_captions_of_whole_photographs_are_learned_and_scored():
    folder = real("coco_free", "coco_mini")
    train, val = (
        open_captions(folder / "annotations" / f"captions_{name}2017.json", folder / f"{name}2017")
        for name in ("train", "val")
    )
    assert train.info.vocabulary != val.info.vocabulary
    torch.manual_seed(0)
    model = build_model(SPEC, train.info).train()
    sample = train[0]
    losses = model.losses([sample.input], [sample.target])
    sum(losses.values()).backward()
    assert losses["language"] > 0
    scored = build_model(SPEC, val.info)
    scored.load_state_dict(model.state_dict())
    samples = [val[i] for i in range(2)]
    inputs, targets = [one.input for one in samples], [one.target for one in samples]
    got = score_of(scored.eval().predict(inputs), targets, inputs, val.info)
    assert set(got) == {"mAP", "box_AP"}


def open_captions(file, images):
    with pytest.warns(UserWarning, match="left out"):  # most of the photographs that the file lists aren't there
        return open_coco(f"{file}:{images}", "any", on_bad_data="skip")
