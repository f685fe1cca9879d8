"""Models of torchvision, transformers, timm and ultralytics: without a network, with random weights and files."""

import json
import sys
from types import ModuleType, SimpleNamespace

import pytest
import torch
import torchvision
from planned_cells import recorded

from roibench.assemble import ready_model
from roibench.dataset import DatasetInfo
from roibench.measure.checks import check_predictions
from roibench.measure.plan import Options, make_plan
from roibench.measure.rescore import rescore
from roibench.measure.run import Run
from roibench.model import listening
from roibench.outside.answers import label_table
from roibench.outside.sidecar import COCO_80, VOC
from roibench.outside.torchvision_models import tasks_of
from roibench.pytest_plugin import outcome
from roibench.registry import installed
from roibench.report.markdown import render
from roibench.report.write import write_report
from roibench.structures import Input
from roibench.task import Frame

COCO = DatasetInfo("coco", "val", COCO_80)
CPU = torch.device("cpu")


def images() -> list[Input]:
    generator = torch.Generator().manual_seed(0)
    sizes = ((60, 80), (90, 50))
    return [
        Input(f"{size}", torch.randint(0, 256, (3, *size), dtype=torch.uint8, generator=generator)) for size in sizes
    ]


def predicted(typed, info=COCO):
    """What a model gives of two images, checked as the harness checks it, through the stages that it declares."""
    registry, marked = installed(), set()
    spec = registry.model(typed)
    torch.manual_seed(0)
    model = ready_model(spec, info, None, CPU)
    listener = SimpleNamespace(enter=marked.add, exit=lambda name: None)
    with listening(listener):
        found = model.predict(images())
    assert marked == set(model.stages)
    frames = [Frame.of(one, info) for one in images()]
    check_predictions(found, frames, registry.fields, registry.needed_fields(spec.tasks))
    return spec, model, found


# ---- torchvision


@pytest.mark.parametrize(
    ("name", "tasks"),
    [
        ("ssdlite320_mobilenet_v3_large", ("detection",)),
        ("lraspp_mobilenet_v3_large", ("semantic_segmentation",)),
        ("squeezenet1_1", ("classification",)),
    ],
)
def test_torchvision_with_random_weights(name, tasks):
    spec, _, _ = predicted(f"torchvision:{name}:random")
    assert spec.tasks == tasks and spec.outside.random_weights and spec.name == f"torchvision:{name}"


def test_torchvisions_detectors_run_with_our_operators_on_request():
    spec = installed().model("torchvision:ssdlite320_mobilenet_v3_large:random")
    found = []
    for accelerated in (0, 1):
        torch.manual_seed(0)
        model = ready_model(spec.tuned({"accelerated": accelerated}), COCO, None, CPU)
        with torch.profiler.profile() as profile:
            found.append(model.predict(images()))
        ours = any("roibench" in event.key for event in profile.key_averages())
        assert ours == bool(accelerated)
    for one, other in zip(*found, strict=True):
        torch.testing.assert_close(one.get("boxes"), other.get("boxes"))


def test_every_model_of_single_images_has_its_tasks():
    found = {name: tasks_of(name) for name in torchvision.models.list_models()}
    assert found["maskrcnn_resnet50_fpn_v2"] == ("detection", "instance_segmentation")
    assert found["keypointrcnn_resnet50_fpn"] == ("detection", "keypoints")
    assert found["deeplabv3_resnet50"] == ("semantic_segmentation",) and found["vit_b_16"] == ("classification",)
    assert found["raft_large"] == found["r3d_18"] == found["quantized_resnet18"] == ()


def test_a_state_dict_of_a_file_is_loaded_and_hashed(tmp_path):
    torch.manual_seed(1)
    network = torchvision.models.get_model("mobilenet_v3_small", weights=None).eval()
    file = tmp_path / "mine.pth"
    torch.save({"state_dict": {f"module.{name}": value for name, value in network.state_dict().items()}}, file)
    spec, model, found = predicted(f"torchvision:mobilenet_v3_small:{file}", DatasetInfo("d", "v", ("tench", "hen")))
    assert torch.equal(model.network.classifier[3].bias, network.classifier[3].bias)
    assert not spec.outside.random_weights and spec.outside.files == (file,)
    preset = torchvision.models.get_model_weights("mobilenet_v3_small").DEFAULT.transforms()
    expected = network(preset(images()[0].image)[None]).softmax(1)[0]
    assert found[0].class_scores.tolist() == pytest.approx([expected[0].item(), expected[8].item()], rel=1e-4)


def test_a_state_dict_of_the_datasets_own_classes_needs_no_names(tmp_path):
    network = torchvision.models.get_model("squeezenet1_1", weights=None, num_classes=3)
    file = tmp_path / "mine.pth"
    torch.save(network.state_dict(), file)
    spec, _, found = predicted(f"torchvision:squeezenet1_1:{file}", DatasetInfo("d", "v", ("a", "b", "c")))
    assert spec.outside.classes is None and found[0].class_scores.sum().item() == pytest.approx(1, abs=1e-5)
    with pytest.raises(ValueError, match="doesn't fit"):
        predicted(f"torchvision:squeezenet1_1:{file}", DatasetInfo("d", "v", ("a", "b")))


def test_labels_of_torchvision_are_the_datasets():
    """The 91 that leave room for what COCO left out: 72 is a tv, which VOC calls tvmonitor."""
    spec = installed().model("torchvision:ssdlite320_mobilenet_v3_large:random")
    table = label_table({**spec.config, "random_weights": False}, DatasetInfo("voc", "val", VOC))
    assert table[72] == VOC.index("tvmonitor") and table[0] == -1 and len(table) == 91


@pytest.mark.parametrize(
    ("rest", "words"),
    [
        ("resnet19", "no torchvision model matches 'resnet19'; did you mean 'resnet18'"),
        ("raft_large", "no torchvision model matches 'raft_large'"),
        ("resnet18:V9", "weights 'V9': want IMAGENET1K_V1, random, or a file of a state_dict"),
        ("resnet18", r"can't be fetched \(URLError\): want a network, torchvision:resnet18:FILE with a state_dict, or"),
    ],
)
def test_torchvision_that_cannot_be_had(monkeypatch, tmp_path, rest, words):
    from urllib.error import URLError

    def no_network(*_, **__):
        raise URLError("no network")

    monkeypatch.setattr(torch.hub, "download_url_to_file", no_network)
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    with pytest.raises(ValueError, match=words):
        installed().model(f"torchvision:{rest}")


def test_a_file_that_is_no_state_dict(tmp_path):
    file = tmp_path / "mine.pth"
    file.write_bytes(b"nothing")
    with pytest.raises(ValueError, match=r"mine\.pth is no state_dict: "):
        installed().model(f"torchvision:resnet18:{file}")


def test_random_weights_are_timed_and_nothing_is_scored(third_party, tmp_path):
    options = Options(models=("torchvision:squeezenet1_1:random",), datasets=("photos",), threads=(1,), budget_s=1)
    run = Run(make_plan(options, third_party), tmp_path, third_party)
    record = recorded(run, run.plan.cells[0])
    assert record.status == "ok", record.error
    assert record.scores["classification"].values == {} and not record.is_scored and record.latency.p50.value > 0
    assert outcome(record).startswith("random weights, ")
    table = render([record])
    assert "accuracy: random weights: nobody trained" in table
    [row] = [line for line in table.splitlines() if line.startswith("| torchvision:squeezenet1_1 | outside |")]
    assert row.split(" | ")[2] == "random weights" and "\N{BLACK CIRCLE}" not in row
    assert [path.name for path in write_report([record], tmp_path)] == ["table.md", "table.csv"]  # nothing to plot
    run.finish()
    with pytest.raises(ValueError, match="for their speed alone: nothing was scored"):
        rescore(run.folder, third_party)


# ---- transformers


@pytest.fixture(scope="module")
def hub_folder(tmp_path_factory):
    """Tiny networks of transformers, with random weights, as their authors save theirs."""
    transformers = pytest.importorskip("transformers", reason="the extra [hf] isn't installed")
    names = {"id2label": dict(enumerate(COCO_80)), "label2id": {name: i for i, name in enumerate(COCO_80)}}
    small = {"num_hidden_layers": 1, "num_attention_heads": 2, "hidden_size": 16, "intermediate_size": 16}
    backbone = transformers.ResNetConfig(
        embedding_size=8, hidden_sizes=[8, 8, 16, 16], depths=[1] * 4, layer_type="basic", out_features=["stage4"]
    )
    detr = transformers.DetrConfig(
        backbone_config=backbone,
        d_model=16,
        encoder_layers=1,
        decoder_layers=1,
        encoder_attention_heads=2,
        decoder_attention_heads=2,
        encoder_ffn_dim=16,
        decoder_ffn_dim=16,
        num_queries=7,
        **names,
    )
    yolos = transformers.YolosConfig(image_size=[64, 64], patch_size=16, num_detection_tokens=7, **small, **names)
    vit = transformers.ViTConfig(image_size=32, patch_size=16, **small, **names)
    segformer = transformers.SegformerConfig(
        num_encoder_blocks=2,
        depths=[1, 1],
        sr_ratios=[2, 1],
        hidden_sizes=[8, 16],
        patch_sizes=[7, 3],
        strides=[4, 2],
        num_attention_heads=[1, 2],
        mlp_ratios=[2, 2],
        decoder_hidden_size=16,
        **names,
    )
    side = {"height": 64, "width": 64}
    made = {
        "detr": (transformers.DetrForObjectDetection, detr, transformers.DetrImageProcessor(
            size={"shortest_edge": 64, "longest_edge": 96})),
        "yolos": (transformers.YolosForObjectDetection, yolos, transformers.YolosImageProcessor(size=side)),
        "vit": (transformers.ViTForImageClassification, vit, transformers.ViTImageProcessor(
            size={"height": 32, "width": 32})),
        "segformer": (transformers.SegformerForSemanticSegmentation, segformer, transformers.SegformerImageProcessor(
            size=side)),
    }  # fmt: skip
    folder = tmp_path_factory.mktemp("hub")
    for name, (network, config, processor) in made.items():
        torch.manual_seed(7)
        network(config).save_pretrained(folder / name)
        processor.save_pretrained(folder / name)
    return folder


@pytest.mark.parametrize(
    ("name", "task"),
    [
        ("detr", "detection"),
        ("yolos", "detection"),
        ("vit", "classification"),
        ("segformer", "semantic_segmentation"),
    ],
)
def test_transformers_of_a_folder(hub_folder, name, task):
    spec, model, _ = predicted(f"hf:{hub_folder / name}")
    assert spec.tasks == (task,) and spec.name == f"hf:{name}" and not spec.outside.random_weights
    assert {file.name for file in spec.outside.files} >= {
        "config.json",
        "model.safetensors",
        "preprocessor_config.json",
    }
    random, other, _ = predicted(f"hf:{hub_folder / name}:random")
    assert random.outside.random_weights
    saved, drawn = (one.network.state_dict() for one in (model, other))
    assert saved.keys() == drawn.keys() and any(not torch.equal(saved[key], drawn[key]) for key in saved)


def test_boxes_of_transformers_are_in_pixels_of_the_image_and_the_datasets_classes(hub_folder, monkeypatch):
    monkeypatch.setattr("roibench.outside.hub.SCORE_THRESHOLD", 0.0)
    _, model, found = predicted(f"hf:{hub_folder / 'detr'}", DatasetInfo("voc", "val", VOC))
    fed = model.processor(images=[one.image for one in images()], return_tensors="pt")
    raw = model.network(**fed)
    limits = [(80, 60), (50, 90)]
    for index, (width, height) in enumerate(limits):
        best, own = raw.logits[index].softmax(-1)[:, :-1].max(-1)
        x, y, w, h = raw.pred_boxes[index].unbind(-1)
        boxes = torch.stack([(x - w / 2) * width, (y - h / 2) * height, (x + w / 2) * width, (y + h / 2) * height], 1)
        boxes = boxes.clamp(min=0).minimum(torch.tensor([width, height] * 2))
        expected = [
            (score, model.table[label], box)
            for score, label, box in sorted(zip(best.tolist(), own.tolist(), boxes.tolist(), strict=True), reverse=True)
            if model.table[label] >= 0
        ]
        assert found[index].labels.tolist() == [label for _, label, _ in expected]
        assert torch.allclose(found[index].boxes, torch.tensor([box for *_, box in expected]).reshape(-1, 4), atol=1e-3)


def test_transformers_that_cannot_be_had(hub_folder, tmp_path, monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    (tmp_path / "text").mkdir()
    config = {"model_type": "bert", "architectures": ["BertForMaskedLM"]}
    (tmp_path / "text" / "config.json").write_text(json.dumps(config))
    for rest, words in {
        "./nothing": "no folder ./nothing",
        f"{tmp_path}": "want a network for a model of the hub, or a folder with config.json",
        f"{tmp_path / 'text'}": "architecture BertForMaskedLM: want one that ends in ForObjectDetection",
        "facebook/no-such-detr": "want a network for a model of the hub",
    }.items():
        with pytest.raises(ValueError) as caught:
            installed().model(f"hf:{rest}")
        assert words in str(caught.value) and "\n" not in str(caught.value)


# ---- timm


def test_timm_by_name_and_of_a_file(tmp_path):
    timm = pytest.importorskip("timm", reason="the extra [timm] isn't installed")
    info = DatasetInfo("d", "v", ("tench", "hen"))
    spec, model, _ = predicted("timm:resnet10t:random", info)
    assert spec.tasks == ("classification",) and spec.outside.random_weights and len(model.table) == 1000
    torch.manual_seed(1)
    file = tmp_path / "mine.pth"
    torch.save(timm.create_model("resnet10t", num_classes=2).state_dict(), file)
    spec, model, found = predicted(f"timm:resnet10t:{file}", info)
    assert spec.outside.files == (file,) and spec.outside.classes is None
    assert found[0].class_scores.sum().item() == pytest.approx(1, abs=1e-5)
    with pytest.raises(ValueError, match="its file tells 2 classes apart, the dataset has 80"):
        predicted(f"timm:resnet10t:{file}")
    with pytest.raises(ValueError, match="no timm model matches 'resnet10x'; did you mean"):
        installed().model("timm:resnet10x")


# ---- ultralytics, whose package isn't ours to install: its interface, as documented


def test_ultralytics_where_it_is_installed(tmp_path, monkeypatch):
    asked = {}

    class YOLO:
        task, names = "detect", {0: "person", 62: "tvmonitor"}

        def __init__(self, file):
            asked["file"] = file

        def predict(self, arrays, **options):
            asked.update(options, array=arrays[0])
            boxes = SimpleNamespace(
                xyxy=torch.tensor([[1.0, 2, 3, 4]] * 2), conf=torch.tensor([0.5, 0.9]), cls=torch.tensor([0.0, 1.0])
            )
            return [SimpleNamespace(boxes=boxes)] * len(arrays)

    package = ModuleType("ultralytics")
    package.YOLO, package.__spec__ = YOLO, SimpleNamespace()
    monkeypatch.setitem(sys.modules, "ultralytics", package)
    file = tmp_path / "best.pt"
    file.write_bytes(b"weights")
    spec, _, found = predicted(f"ultralytics:{file}")
    assert spec.name == "ultralytics:best.pt" and spec.outside.files == (file,)
    assert found[0].labels.tolist() == [COCO_80.index("tv"), 0] and asked["conf"] == 0.05
    assert (asked["array"][..., ::-1] == images()[0].image.permute(1, 2, 0).numpy()).all()
    with pytest.raises(ValueError, match=r"no file none\.pt: want a checkpoint"):
        installed().model("ultralytics:none.pt")
