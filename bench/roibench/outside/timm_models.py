"""timm's classifiers by name: `timm:NAME`, `timm:NAME:FILE`, `timm:NAME:random`."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from textwrap import shorten
from typing import Any

import torch
from torch import nn
from torchvision.transforms.functional import to_pil_image

from roibench.dataset import DatasetInfo
from roibench.model import stage
from roibench.outside.answers import RANDOM, class_scores, label_table
from roibench.outside.sidecar import IMAGENET
from roibench.outside.weights import RANDOM_WEIGHTS, load_state, split_weights
from roibench.registry import unknown
from roibench.sources import need
from roibench.specs import ModelSpec, Outside, Paper
from roibench.structures import Input, Prediction

TIMM = Paper("PyTorch Image Models", 2019, "https://github.com/huggingface/pytorch-image-models")


def open_source(rest: str) -> ModelSpec:
    """Raises ValueError: one line that names the source."""
    source = f"timm:{rest}"
    library = f"timm {need('timm', f'model {source}')}"
    import timm

    name, weights = split_weights(rest)
    if not timm.is_model(name):
        raise ValueError(f"model {source}: {unknown('timm model', name, timm.list_models())}")
    random = weights == RANDOM_WEIGHTS
    file = None if random else _cached(name, source) if weights is None else Path(weights)
    if file is not None and not file.is_file():
        raise ValueError(f"model {source}: no file {file}: want a state_dict, or {RANDOM_WEIGHTS}")
    declared = timm.get_pretrained_cfg(name)
    outputs = _outputs(load_state(file, source)) if file else declared.num_classes if declared else len(IMAGENET)
    classes = IMAGENET if outputs == len(IMAGENET) else None
    return ModelSpec(
        f"timm:{name}",
        family="outside",
        tasks=("classification",),
        build="roibench.outside.timm_models:build",
        paper=TIMM,
        config={"name": name, "file": file and str(file), "classes": classes, RANDOM: random, "outputs": outputs},
        pretrained_on="ImageNet" if weights is None else None,
        outside=Outside(
            source,
            classes=classes,
            files=() if file is None else (file.resolve(),),
            settings={"library": library},
            random_weights=random,
        ),
    )


def _cached(name: str, source: str) -> Path:
    """The file of a name's own weights, fetched where it isn't there yet."""
    import timm
    from huggingface_hub import hf_hub_download

    found = timm.get_pretrained_cfg(name)
    try:
        if found is None or not found.hf_hub_id:
            raise ValueError("timm has no weights of the hub for it")
        hub = found.hf_hub_id if "/" in found.hf_hub_id and not found.hf_hub_id.endswith("/") else f"timm/{name}"
        return Path(hf_hub_download(hub, "model.safetensors"))
    except Exception as error:  # of the network, in many forms
        raise ValueError(
            f"model {source}: its weights can't be fetched ({shorten(' '.join(str(error).split()), 160)}): want a "
            f"network, timm:{name}:FILE with a state_dict, or timm:{name}:{RANDOM_WEIGHTS} for speed alone"
        ) from error


def _outputs(state: Mapping[str, torch.Tensor]) -> int:
    """How many classes a state_dict's last layer tells apart."""
    return len([value for name, value in state.items() if name.endswith(".bias")][-1])


class TimmClassifier(nn.Module):
    """transform: as timm evaluates the weights, on Pillow's images."""

    stages = ("preprocess", "network", "postprocess")
    networks = ("network",)

    def __init__(self, network: nn.Module, transform: Any, table: Sequence[int], classes: int) -> None:
        super().__init__()
        self.network, self.transform, self.table, self.classes = network, transform, table, classes

    def fit(self, data: object, trainer: object) -> None:
        raise TypeError("timm's models have the weights of others; they learn nothing here")

    @torch.inference_mode()
    def predict(self, inputs: Sequence[Input]) -> list[Prediction]:
        with stage("preprocess"):
            batch = torch.stack([self.transform(to_pil_image(one.image)) for one in inputs])
            batch = batch.to(next(self.parameters()).device)
        with stage("network"):
            logits = self.network(batch)
        with stage("postprocess"):
            probabilities = logits.float().softmax(1).cpu()
            return [class_scores(one, self.table, self.classes) for one in probabilities]


def build(info: DatasetInfo, config: Mapping[str, Any]) -> TimmClassifier:
    import timm

    outputs = config["outputs"]
    if config["classes"] is None and outputs != len(info.classes):
        raise ValueError(f"its file tells {outputs} classes apart, the dataset has {len(info.classes)}")
    network = timm.create_model(config["name"], pretrained=False, num_classes=outputs)
    if config["file"] is not None:
        load_state(Path(config["file"]), f"timm:{config['name']}", network)
    transform = timm.data.create_transform(**timm.data.resolve_model_data_config(network), is_training=False)
    return TimmClassifier(network.eval(), transform, label_table(config, info), len(info.classes))
