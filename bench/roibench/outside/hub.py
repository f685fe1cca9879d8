"""Models of the transformers library, from the Hugging Face hub or a folder: `hf:facebook/detr-resnet-50`, `hf:FOLDER`,
`hf:FOLDER:random`. Detectors (DETR, RT-DETR, YOLOS, D-FINE, ...), semantic maps (Mask2Former, SegFormer, ...), and
classifiers.
"""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from textwrap import shorten
from typing import Any, NamedTuple

import torch
from torch import nn

from roibench.dataset import DatasetInfo
from roibench.model import stage
from roibench.outside.answers import RANDOM, class_scores, detections, label_table, semantic_map
from roibench.outside.weights import RANDOM_WEIGHTS
from roibench.sources import need
from roibench.specs import ModelSpec, Outside, Paper
from roibench.structures import Input, Prediction
from roibench.tasks.objects import SCORE_THRESHOLD

TRANSFORMERS = Paper(
    "Transformers: State-of-the-Art Natural Language Processing", 2020, "https://arxiv.org/abs/1910.03771"
)
FILES = ("*.json", "*.safetensors", "*.bin")


class Kind(NamedTuple):
    """task: in our names. auto: transformers' class that opens such a model. endings: of its architectures' names."""

    task: str
    auto: str
    endings: tuple[str, ...]


KINDS = (
    Kind("detection", "AutoModelForObjectDetection", ("ForObjectDetection",)),
    Kind("semantic_segmentation", "AutoModelForUniversalSegmentation", ("ForUniversalSegmentation",)),
    Kind("semantic_segmentation", "AutoModelForSemanticSegmentation", ("ForSemanticSegmentation",)),
    Kind("classification", "AutoModelForImageClassification", ("ForImageClassification", "WithTeacher")),
)


def open_source(rest: str) -> ModelSpec:
    """Raises ValueError: one line that names the source."""
    source = f"hf:{rest}"
    library = f"transformers {need('transformers', f'model {source}')}"
    name = rest.removesuffix(f":{RANDOM_WEIGHTS}")
    random = name != rest
    folder = _folder(name, source, random)
    config = _read(lambda: _transformers().AutoConfig.from_pretrained(folder), source)
    kind = _kind(config, source)
    labels = config.id2label or {}
    classes = tuple(str(labels[index]) for index in sorted(labels, key=int))
    files = sorted(file.resolve() for pattern in FILES for file in folder.glob(pattern))
    return ModelSpec(
        f"hf:{(Path(name).name if Path(name).is_dir() else name).replace('@', ':')}",
        family="outside",
        tasks=(kind.task,),
        build="roibench.outside.hub:build",
        paper=TRANSFORMERS,
        config={"folder": str(folder), "kind": KINDS.index(kind), "classes": classes, RANDOM: random, "source": source},
        outside=Outside(
            source,
            classes=classes,
            files=tuple(files),
            settings={"architecture": config.architectures[0], "library": library},
            random_weights=random,
        ),
    )


def _transformers() -> Any:
    import transformers

    transformers.utils.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()
    return transformers


def _folder(name: str, source: str, random: bool) -> Path:
    """Where the model's files are: the given folder, or the hub's copy, fetched where it isn't there yet."""
    if Path(name).is_dir():
        return Path(name).resolve()
    if name.startswith((".", "/", "~")) or name.count("/") > 1:
        raise ValueError(f"model {source}: no folder {name}")
    from huggingface_hub import snapshot_download

    name, _, revision = name.partition("@")
    wanted = ["*.json"] if random else ["*.json", "*.safetensors"]
    options = {"revision": revision or None, "allow_patterns": wanted}
    try:
        return Path(snapshot_download(name, local_files_only=True, **options))
    except Exception:  # not there, or not whole
        return Path(_read(lambda: snapshot_download(name, **options), source))


def _read(read: Callable[[], Any], source: str) -> Any:
    try:
        return read()
    except Exception as error:  # of the network, of JSON, of what isn't installed
        text = shorten(" ".join(str(error).split()), 240)
        raise ValueError(
            f"model {source}: {type(error).__name__}: {text}; want a network for a model of the hub, or a folder with "
            "config.json, preprocessor_config.json and model.safetensors"
        ) from error


def _kind(config: Any, source: str) -> Kind:
    architectures = getattr(config, "architectures", None) or ["none"]
    for kind in KINDS:
        if architectures[0].endswith(kind.endings):
            return kind
    # Mask2Former and MaskFormer name no purpose: MaskFormerForInstanceSegmentation gives semantic maps, too.
    if architectures[0].startswith(("MaskFormer", "OneFormer", "Mask2Former", "Eomt")):
        return KINDS[1]
    wanted = ", ".join(kind.endings[0] for kind in KINDS)
    raise ValueError(f"model {source}: architecture {architectures[0]}: want one that ends in {wanted}")


class HubModel(nn.Module):
    """network: transformers' own. processor: its images' preparation, and what its outputs mean."""

    stages = ("preprocess", "network", "postprocess")

    def __init__(self, network: nn.Module, processor: Any, kind: Kind, table: Sequence[int], info: DatasetInfo) -> None:
        super().__init__()
        self.network, self.processor, self.kind, self.table, self.info = network, processor, kind, table, info

    def fit(self, data: object, trainer: object) -> None:
        raise TypeError("transformers' models have the weights of others; they learn nothing here")

    @torch.inference_mode()
    def predict(self, inputs: Sequence[Input]) -> list[Prediction]:
        device = next(self.parameters()).device
        sizes = [tuple(one.image.shape[1:]) for one in inputs]
        with stage("preprocess"):
            images = [one.image.to(device) for one in inputs]
            fed = self.processor(images=images, return_tensors="pt", input_data_format="channels_first").to(device)
            fed = {name: value for name, value in fed.items() if name in ("pixel_values", "pixel_mask", "task_inputs")}
        with stage("network"):
            found = self.network(**fed)
        with stage("postprocess"):
            return self._answers(found, sizes)

    def _answers(self, found: Any, sizes: Sequence[tuple[int, int]]) -> list[Prediction]:
        if self.kind.task == "classification":
            probabilities = found.logits.float().softmax(1).cpu()
            return [class_scores(one, self.table, len(self.info.classes)) for one in probabilities]
        if self.kind.task == "semantic_segmentation":
            maps = self.processor.post_process_semantic_segmentation(found, target_sizes=list(sizes))
            return [semantic_map(one, self.table) for one in maps]
        objects = self.processor.post_process_object_detection(
            found, threshold=SCORE_THRESHOLD, target_sizes=torch.tensor(sizes)
        )
        predictions = []
        for one, (height, width) in zip(objects, sizes, strict=True):
            limit = one["boxes"].new_tensor((width, height, width, height))
            boxes = torch.minimum(one["boxes"].clamp(min=0), limit)
            predictions.append(detections(boxes, one["scores"], one["labels"], self.table))
        return predictions


def build(info: DatasetInfo, config: Mapping[str, Any]) -> HubModel:
    library, folder, source, kind = _transformers(), config["folder"], config["source"], KINDS[config["kind"]]
    auto = getattr(library, kind.auto)
    if config[RANDOM]:
        network = _read(lambda: auto.from_config(library.AutoConfig.from_pretrained(folder)), source)
    else:
        network = _read(lambda: auto.from_pretrained(folder, local_files_only=True, dtype=torch.float32), source)
    processor = _read(lambda: library.AutoImageProcessor.from_pretrained(folder, local_files_only=True), source)
    return HubModel(network.eval(), processor, kind, label_table(config, info), info)
