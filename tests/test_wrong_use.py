"""Wrong use, as typed: one line on standard error that says what would be right, and an exit code that isn't 0."""

import json
from pathlib import Path

import pytest
import torch
from PIL import Image
from safetensors import safe_open
from safetensors.torch import save_file

import roibench.plugins.two_stage as two_stage
from roibench import cli

SHIPPED = Path(two_stage.__file__).parent / "weights" / "faster_rcnn-scenes.safetensors"

WEIGHTS = [
    ("no-such-file", "no-such-file"),
    ("folder", "folder"),
    ("empty.safetensors", "not a readable safetensors file"),
    ("half.safetensors", "not a readable safetensors file"),
    ("checkpoint.pt", "not a readable safetensors file"),
    ("no_header.safetensors", "want a file that `roibench train` wrote"),
    ("broken_header.safetensors", "want a file that `roibench train` wrote"),
    ("other_model.safetensors", "faster_rcnn_mobilenet"),
    ("other_shape.safetensors", "size mismatch for"),
    ("other_layers.safetensors", "Missing key"),
]

RUN = [
    (("--model", "wroks"), "did you mean 'works'"),
    (("--model", "works,nothing*"), "no model matches 'nothing*'"),
    (("--model", ""), "--model: want at least one"),
    (("--dataset", "square"), "did you mean 'squares'"),
    (("--dataset", ","), "--dataset: want at least one"),
    (("--dataset", "voc"), "want voc:PATH"),
    (("--dataset", "voc:no-such-folder"), "no-such-folder is no Pascal VOC folder"),
    (("--dataset", "coco:no-such-file"), "no-such-file"),
    (("--dataset", "folders:file"), "file holds no folders"),
    (("--dataset", "scenes@all"), "scenes has the splits train, val and test"),
    (("--dataset", "photos"), "is scored on boxes, labels; dataset 'photos' has image_label"),
    (("--device", "tpu"), "--device 'tpu': want cpu, cuda or cuda:N"),
    (("--device", "meta"), "--device 'meta': want cpu, cuda or cuda:N"),
    (("--device", "cuda:99"), "usable GPU; `roibench doctor` says"),
    (("--device", ""), "--device: want at least one"),
    (("--precision", "float8"), "--precision 'float8': want one of float32, bfloat16, float16"),
    (("--batch-size", "-1"), "--batch-size -1: want 1 or more"),
    (("--batch-size", "two"), "--batch-size 'two': want whole numbers"),
    (("--threads", "0"), "--threads 0: want 1 or more"),
    (("--images", "0"), "--images 0: want 1 or more"),
    (("--images", "few"), "--images 'few': want a whole number"),
    (("--rounds", "0"), "--rounds 0: want 1 or more"),
    (("--cell-timeout", "nan"), "--cell-timeout nan: want a number above 0"),
    (("--on-bad-data", "ignore"), "--on-bad-data 'ignore': want one of fail, skip, clip"),
    (("--out", "file"), "can't write file"),
    (("--out", "/proc/nowhere"), "can't write /proc/nowhere"),
    (("--model", "faster_rcnn"), "no weights for dataset 'squares'"),
    (("--weights", str(SHIPPED)), "is of model 'faster_rcnn', not of works: want --model faster_rcnn"),
    (("--model", "faster_rcnn,works", "--weights", str(SHIPPED)), "not of works: want --model faster_rcnn"),
    (("--model", "faster_rcnn", "--weights", str(SHIPPED)), "trained for classes"),
    (("--set", "white"), "--set white: want NAME=NUMBER,..."),
    (("--set", "white=300"), "--set white=300: model 'works': want a whole number from 0 to 256"),
    (("--set", "white=0.5"), "--set white=0.5: model 'works': want a whole number from 0 to 256"),
    (("--set", "proposals=5"), "--set proposals: model 'works' has no such knob; it has white"),
    (("--model", "*", "--set", "propsals=5"), "no knob matches 'propsals'; did you mean 'proposals'?"),
]

TRAIN = [
    (("retinanett",), "no model matches 'retinanett'"),
    (("works",), "has no recipe"),
    (("faster_rcnn", "--dataset", "scene"), "did you mean 'scenes'"),
    (
        ("faster_rcnn", "--dataset", "scenes@test"),
        "models are scored on this split; train on another, such as scenes@train",
    ),
    (("faster_rcnn", "--dataset", "photos"), "'photos' lacks boxes, labels"),
    (("faster_rcnn", "--precision", "float16"), "--precision 'float16': want float32 or bfloat16"),
    (("faster_rcnn", "--device", "tpu"), "--device 'tpu': want cpu"),
    (("faster_rcnn", "--device", "cuda:99"), "usable GPU"),
    (("faster_rcnn", "--epochs", "0"), "--epochs 0: want 1 or more"),
    (("hog_svm", "--dataset", "squares", "--batch-size", "2"), "isn't trained by gradients, and has none to choose"),
    (("faster_rcnn", "--threads", "0"), "--threads 0: want 1 or more"),
    (("faster_rcnn", "--workers", "-1"), "--workers -1: want 0 or more"),
    (("faster_rcnn", "--dataset", "voc:x", "--on-bad-data", "ignore"), "want one of fail, skip, clip"),
    (("faster_rcnn", "--dataset", "squares", "--out", "file"), "can't write file"),
    (("faster_rcnn", "--dataset", "squares", "--out", "folder"), "is no checkpoint of a training"),
]

PREDICT = [
    (("fastr_rcnn", "photo.png"), "did you mean 'faster_rcnn'"),
    (("faster_rcnn", "no-such.png"), "image no-such.png: missing"),
    (("faster_rcnn", "file"), "image file: can't be read"),
    (("faster_rcnn", "half.png"), "image half.png: can't be read"),
    (("faster_rcnn", "folder"), "image folder: can't be read"),
    (("faster_rcnn", "photo.png", "--out", "file"), "can't write file"),
    (("faster_rcnn", "photo.png", "--out", "."), "its drawing would replace photo.png"),
    (("faster_rcnn", "photo.png", "folder/photo.png"), "2 images would be drawn to out/photo.png"),
    (("faster_rcnn", "photo.png", "--device", "tpu"), "--device 'tpu': want cpu"),
    (("faster_rcnn", "photo.png", "--dataset", "scene"), "did you mean 'scenes'"),
    (("faster_rcnn", "photo.png", "--dataset", "squares"), "no weights for dataset 'squares'"),
]

CONVERT = [
    (("scenes", "yolov8"), "no format matches 'yolov8'; did you mean 'yolo'"),
    (("scene", "coco"), "did you mean 'scenes'"),
    (("photos", "yolo"), "can't be written as yolo: it has no boxes and no labels"),
]


@pytest.fixture(scope="module")
def desk(tmp_path_factory) -> Path:
    """A folder with everything that the calls above name."""
    desk = tmp_path_factory.mktemp("desk")
    (desk / "folder").mkdir()
    (desk / "folder" / "checkpoint.pt").write_text("no checkpoint")
    (desk / "file").write_text("text")
    Image.new("RGB", (64, 48)).save(desk / "photo.png")
    (desk / "half.png").write_bytes((desk / "photo.png").read_bytes()[:60])
    shipped = SHIPPED.read_bytes()
    (desk / "empty.safetensors").write_bytes(b"")
    (desk / "half.safetensors").write_bytes(shipped[: len(shipped) // 2])
    torch.save({"run": "x"}, desk / "checkpoint.pt")
    with safe_open(SHIPPED, framework="pt") as file:
        header, state = file.metadata()["roibench"], {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    first = next(iter(state))
    rest = {name: value for name, value in state.items() if name != first}
    other = json.dumps(json.loads(header) | {"model": "faster_rcnn_mobilenet"})
    save_file(state, desk / "no_header.safetensors")
    save_file(state, desk / "broken_header.safetensors", {"roibench": '{"model": "faster_rcnn"}'})
    save_file(state, desk / "other_model.safetensors", {"roibench": other})
    save_file(rest | {first: torch.zeros(3)}, desk / "other_shape.safetensors", {"roibench": header})
    save_file(rest, desk / "other_layers.safetensors", {"roibench": header})
    return desk


@pytest.fixture
def typed(desk, third_party, monkeypatch, capfd):
    """Types a command in the folder; returns its exit code and what it printed on standard error."""

    def type_(*arguments: str) -> tuple[int, str]:
        monkeypatch.chdir(desk)
        monkeypatch.setattr("sys.argv", ["roibench", *arguments])
        with pytest.raises(SystemExit) as stop:
            cli.main()
        return stop.value.code, capfd.readouterr().err

    return type_


def one_line(printed: tuple[int, str], code: int, words: str) -> None:
    found, errors = printed
    assert found == code and words in errors, errors
    assert len(errors.strip().splitlines()) == 1 and "Traceback" not in errors, errors


@pytest.mark.parametrize(("arguments", "words"), RUN)
def test_run(typed, arguments, words):
    defaults = {"--model": "works", "--dataset": "squares", "--images": "2", "--out": "runs"}
    given = dict(zip(arguments[::2], arguments[1::2], strict=True))
    if given.get("--dataset", "squares") != "squares":
        defaults["--model"] = "faster_rcnn"
    one_line(typed("run", *(word for pair in (defaults | given).items() for word in pair)), 4, words)


@pytest.mark.parametrize(("file", "words"), WEIGHTS)
def test_weights_that_can_not_be_loaded(typed, file, words):
    one_line(typed("run", "--model", "faster_rcnn", "--images", "2", "--out", "runs", "--weights", file), 4, words)
    one_line(typed("predict", "faster_rcnn", "photo.png", "--out", "out", "--weights", file), 2, words)


@pytest.mark.parametrize(("arguments", "words"), TRAIN)
def test_train(typed, arguments, words):
    one_line(typed("train", *arguments), 2, words)


@pytest.mark.parametrize(("arguments", "words"), PREDICT)
def test_predict(typed, arguments, words):
    one_line(typed("predict", "--out", "out", *arguments), 2, words)


@pytest.mark.parametrize(("arguments", "words"), CONVERT)
def test_convert(typed, arguments, words):
    one_line(typed("convert", *arguments, "out"), 2, words)


def test_debug_shows_the_traceback_wherever_it_stands(typed, desk, monkeypatch):
    code, errors = typed("run", "--model", "wroks", "--out", "runs", "--debug")
    assert code == 3 and "registry.py" in errors and "UnknownNameError" in errors
    monkeypatch.setattr("sys.argv", ["roibench", "train", "works", "--debug"])
    with pytest.raises(ValueError, match="has no recipe"):
        cli.main()


def test_what_was_predicted_before_a_broken_image_is_kept(typed, desk):
    code, _ = typed("predict", "faster_rcnn", "photo.png", "file", "--out", "kept")
    assert code == 2 and (desk / "kept" / "photo.png").exists()
    [line] = (desk / "kept" / "predictions.jsonl").read_text().splitlines()
    assert json.loads(line)["image"] == "photo.png"


@pytest.mark.parametrize(
    ("model", "words"),
    [
        ("labels_beyond", "model 'labels_beyond': image white.png: labels[0] is 5; want 0 to 0"),
        ("nan_scores", "model 'nan_scores': image white.png: scores[0] is nan"),
        ("uneven", "1 boxes, 3 scores, 1 labels; want equally many"),
        ("a_dict", "image white.png: predict returned a dict"),
        ("too_few", "predict returned 0 predictions for 1 images"),
        ("raises", "model 'raises': image white.png: ArithmeticError: no squares today"),
    ],
)
def test_what_can_not_be_predicted_is_named(typed, desk, model, words):
    white = Image.new("RGB", (48, 40))
    white.paste((255, 255, 255), (8, 8, 24, 24))
    white.save(desk / "white.png")
    one_line(typed("predict", model, "white.png", "--dataset", "squares", "--out", "w"), 2, words)


def test_a_model_that_learns_nothing_predicts_without_weights(third_party, desk, monkeypatch, capsys):
    white = Image.new("RGB", (48, 40))
    white.paste((255, 255, 255), (8, 8, 24, 24))
    white.save(desk / "white.png")
    monkeypatch.chdir(desk)
    monkeypatch.setattr("sys.argv", ["roibench", "predict", "works", "white.png", "--dataset", "squares", "--out", "w"])
    with pytest.raises(SystemExit) as stop:
        cli.main()
    assert stop.value.code == 0 and "1 objects" in capsys.readouterr().out
