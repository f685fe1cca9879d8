"""torchvision's models by name: detection, instances, keypoints, semantic maps, classification. `torchvision:NAME`,
`torchvision:NAME:WEIGHTS`; WEIGHTS are a member of its enum, a file's state_dict, or `random`.
"""

from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import torch
import torchvision.models as zoo
from torch import Tensor, nn
from torchvision.transforms import functional as transforms

from roibench.dataset import DatasetInfo
from roibench.model import stage
from roibench.ops import accelerate_torchvision
from roibench.outside.answers import RANDOM, class_scores, detections, label_table, semantic_map
from roibench.outside.sidecar import COCO_91, IMAGENET
from roibench.outside.weights import RANDOM_WEIGHTS, load_state, split_weights
from roibench.registry import unknown
from roibench.specs import Knob, ModelSpec, Outside, Paper
from roibench.structures import Input, Prediction

TORCHVISION = Paper("TorchVision: PyTorch's Computer Vision library", 2016, "https://github.com/pytorch/vision")
KINDS = {  # the module that a builder is of -> its tasks
    "detection.mask_rcnn": ("detection", "instance_segmentation"),
    "detection.keypoint_rcnn": ("detection", "keypoints"),
    "detection": ("detection",),
    "segmentation": ("semantic_segmentation",),
    "video": (),
    "optical_flow": (),
    "quantization": (),
    "": ("classification",),
}
ACCELERATED = Knob("accelerated", 0, 0, 1, "1: with our operators in place of torchvision's")
# What a detector hands its tensors to, of those that it has; other tasks' models are exported whole.
DETECTORS_NETWORKS = (
    "network.backbone",
    "network.rpn.head",
    "network.head",
    "network.roi_heads.box_head",
    "network.roi_heads.box_predictor",
    "network.roi_heads.mask_head",
    "network.roi_heads.mask_predictor",
    "network.roi_heads.keypoint_head",
    "network.roi_heads.keypoint_predictor",
)
PARTS = ("transform", "backbone", "rpn", "roi_heads", "head", "classifier")  # stages of what has them


def open_source(rest: str) -> ModelSpec:
    """Raises ValueError: one line that names the source."""
    source = f"torchvision:{rest}"
    name, weights = split_weights(rest)
    tasks = {name: tasks_of(name) for name in zoo.list_models()}
    known = [name for name, found in tasks.items() if found]
    if name not in known:
        raise ValueError(f"model {source}: {unknown('torchvision model', name, known)}")
    enum = zoo.get_model_weights(name)
    members = [member.name for member in enum]
    file, chosen = None, None
    if weights in (None, "DEFAULT"):
        chosen = enum.DEFAULT if members else None
    elif weights in members:
        chosen = enum[weights]
    elif weights != RANDOM_WEIGHTS:
        file = Path(weights)
        if not file.is_file():
            want = ", ".join([*members, RANDOM_WEIGHTS])
            raise ValueError(f"model {source}: weights {weights!r}: want {want}, or a file of a state_dict")
    if chosen is not None:
        file = _downloaded(chosen, source)
    random = file is None
    preset = chosen or (enum.DEFAULT if members else None)
    classes = preset.meta["categories"] if preset else COCO_91 if "detection" in tasks[name] else IMAGENET
    own = _own(classes, None if random else load_state(file, source), tasks[name])
    return ModelSpec(
        f"torchvision:{name}",
        family="outside",
        tasks=tasks[name],
        build="roibench.outside.torchvision_models:build",
        paper=TORCHVISION,
        config={"name": name, "file": file and str(file), "classes": own, RANDOM: random}
        | {"preset": preset and preset.name},
        knobs=(ACCELERATED,) if "detection" in tasks[name] else (),
        pretrained_on=None if random or chosen is None else chosen.name.partition("_")[0],
        outside=Outside(
            source,
            classes=own,
            files=() if file is None else (file.resolve(),),
            settings={"weights": RANDOM_WEIGHTS if random else chosen.name if chosen else file.name},
            random_weights=random,
        ),
    )


def tasks_of(name: str) -> tuple[str, ...]:
    """What one of torchvision's models predicts, in our tasks' names; () for what isn't of a single image."""
    module = zoo.get_model_builder(name).__module__.removeprefix("torchvision.models.")
    return next(tasks for kind, tasks in KINDS.items() if module.startswith(kind))


def _downloaded(weights: Any, source: str) -> Path:
    """The weights' file in torch's cache, fetched if it isn't there yet."""
    file = Path(torch.hub.get_dir()) / "checkpoints" / Path(weights.url).name
    if not file.is_file():
        try:
            weights.get_state_dict(progress=False, check_hash=True)
        except Exception as error:  # of the network, in many forms
            name = source.split(":")[1]
            raise ValueError(
                f"model {source}: {weights.url} can't be fetched ({type(error).__name__}): want a network, "
                f"torchvision:{name}:FILE with a state_dict, or torchvision:{name}:{RANDOM_WEIGHTS} for speed alone"
            ) from error
    return file


def _own(classes: Sequence[str], state: Mapping[str, Tensor] | None, tasks: Sequence[str]) -> tuple[str, ...] | None:
    """The names of a model's outputs; None, the dataset's, where a state_dict has another number of them."""
    if state is None:
        return tuple(classes)
    return tuple(classes) if _outputs(state, tasks) in (None, len(classes)) else None


def _outputs(state: Mapping[str, Tensor], tasks: Sequence[str]) -> int | None:
    """How many classes a state_dict's last layer tells apart; None where it can't be told."""
    if "detection" in tasks:
        layer = state.get("roi_heads.box_predictor.cls_score.bias")
        return None if layer is None else len(layer)
    biases = [value for name, value in state.items() if name.endswith(".bias") and not name.startswith("aux")]
    return len(biases[-1]) if biases else None


class Network(nn.Module):
    """torchvision's network, fed and read as its authors do it."""

    def __init__(self, network: nn.Module, table: Sequence[int], info: DatasetInfo) -> None:
        super().__init__()
        self.network, self.table, self.info = network, table, info
        self.networks: tuple[str, ...] = ("network",)
        self.stages = ("preprocess", *self._watched(), "network", "postprocess")

    def _watched(self) -> tuple[str, ...]:
        """Parts whose forward is a stage of its own."""
        parts = [name for name in PARTS if isinstance(getattr(self.network, name, None), nn.Module)]
        for name in parts:
            _as_stage(getattr(self.network, name), name)
        return tuple(parts)

    @property
    def device(self) -> torch.device:
        return next(self.parameters()).device

    def fit(self, data: object, trainer: object) -> None:
        raise TypeError("torchvision's models have the weights of others; they learn nothing here")


def _has(module: nn.Module, dotted: str) -> bool:
    owner, _, name = dotted.rpartition(".")
    try:
        return getattr(module.get_submodule(owner), name, None) is not None
    except AttributeError:
        return False


def _as_stage(module: nn.Module, name: str) -> None:
    running: list[stage] = []
    module.register_forward_pre_hook(lambda *_: running.append(stage(name).__enter__()))
    module.register_forward_hook(lambda *_: running.pop().__exit__())


class Detector(Network):
    """accelerated: our operators run in place of torchvision's."""

    def __init__(self, network: nn.Module, table: Sequence[int], info: DatasetInfo, accelerated: bool) -> None:
        super().__init__(network, table, info)
        self.networks = tuple(name for name in DETECTORS_NETWORKS if _has(self, name))
        self.accelerated = accelerated

    @torch.inference_mode()
    def predict(self, inputs: Sequence[Input]) -> list[Prediction]:
        with stage("preprocess"):
            images = [one.image.to(self.device).float() / 255 for one in inputs]
        with accelerate_torchvision() if self.accelerated else nullcontext(), stage("network"):
            found = self.network(images)
        with stage("postprocess"):
            return [self._answer(one) for one in found]

    def _answer(self, found: Mapping[str, Tensor]) -> Prediction:
        more = {}
        if "masks" in found:
            more["masks"] = found["masks"][:, 0] > 0.5
        if "keypoints" in found:
            points = found["keypoints"].float().clone()
            points[..., 2] = found["keypoints_scores"]
            more["keypoints"] = points
        return detections(found["boxes"], found["scores"], found["labels"], self.table, **more)


class Segmenter(Network):
    """Resized as torchvision's weights want it, the shorter side to 520 pixels."""

    @torch.inference_mode()
    def predict(self, inputs: Sequence[Input]) -> list[Prediction]:
        found = []
        for one in inputs:
            with stage("preprocess"):
                pixels = _normalised(transforms.resize(one.image.to(self.device), [520], antialias=True))
            with stage("network"):
                logits = self.network(pixels[None])["out"]
            with stage("postprocess"):
                size = one.image.shape[1:]
                full = nn.functional.interpolate(logits.float(), size, mode="bilinear", align_corners=False)
                found.append(semantic_map(full[0].argmax(0), self.table))
        return found


class Classifier(Network):
    """transform: as the weights' authors evaluate them."""

    def __init__(self, network: nn.Module, table: Sequence[int], info: DatasetInfo, transform: Callable) -> None:
        super().__init__(network, table, info)
        self.transform = transform

    @torch.inference_mode()
    def predict(self, inputs: Sequence[Input]) -> list[Prediction]:
        with stage("preprocess"):
            batch = torch.stack([self.transform(one.image.to(self.device)) for one in inputs])
        with stage("network"):
            logits = self.network(batch)
        with stage("postprocess"):
            probabilities = logits.float().softmax(1).cpu()
            return [class_scores(one, self.table, len(self.info.classes)) for one in probabilities]


def _normalised(image: Tensor) -> Tensor:
    return transforms.normalize(image.float() / 255, (0.485, 0.456, 0.406), (0.229, 0.224, 0.225))


def build(info: DatasetInfo, config: Mapping[str, Any]) -> Network:
    name, tasks, own = config["name"], tasks_of(config["name"]), config["classes"]
    table = label_table(config, info)
    if own is None:  # a state_dict of the dataset's own classes; torchvision's detectors count the background as 0
        table = table if tasks == ("classification",) else [-1, *table]
    options = {"weights": None} | ({} if tasks == ("classification",) else {"weights_backbone": None})
    network = zoo.get_model(name, **options, num_classes=len(table))
    if config["file"] is not None:
        load_state(Path(config["file"]), f"torchvision:{name}", network)
    if "detection" in tasks:
        if "keypoints" in tasks and len(info.joints) not in (0, 17):
            raise ValueError(f"it finds COCO's 17 joints, the dataset has {len(info.joints)}")
        return Detector(network, table, info, bool(config.get(ACCELERATED.name)))
    if "semantic_segmentation" in tasks:
        return Segmenter(network, table, info)
    preset = zoo.get_model_weights(name)[config["preset"]]
    return Classifier(network, table, info, preset.transforms())
