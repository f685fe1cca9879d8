"""Detectors and classifiers in a file: ONNX, by ONNX Runtime or OpenVINO; also what OpenVINO itself writes."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from roibench.dataset import DatasetInfo
from roibench.model import stage
from roibench.outside.answers import class_scores, detections, label_table
from roibench.outside.callables import resolve_code
from roibench.outside.frozen import Frozen
from roibench.outside.onnx_file import Session, open_session
from roibench.outside.onnx_guess import guess, session_run
from roibench.outside.onnx_layouts import Found, LayoutError, decode, suppressed
from roibench.outside.preprocess import feed
from roibench.outside.sidecar import Sidecar, read_sidecar
from roibench.sources import need
from roibench.specs import ModelSpec, Outside, Paper
from roibench.structures import Input, Prediction

ONNX = Paper("Open Neural Network Exchange", 2017, "https://onnx.ai")
ENDINGS = {"onnxruntime": (".onnx", ".ort"), "openvino": (".onnx", ".xml")}
SIDECARS = (".yaml", ".yml")


def open_onnx(rest: str) -> ModelSpec:
    return _open("onnx", "onnxruntime", rest)


def open_openvino(rest: str) -> ModelSpec:
    return _open("openvino", "openvino", rest)


def _open(scheme: str, runtime: str, rest: str) -> ModelSpec:
    """rest: the model's file, with its sidecar FILE.yaml beside it or without; or a sidecar that names its `file`.

    Raises ValueError: one line that names the source.
    """
    source = f"{scheme}:{rest}"
    try:
        file, beside = _files(Path(rest), ENDINGS[runtime])
        given = read_sidecar(beside) if beside.is_file() else Sidecar()
        session = open_session(file, runtime, torch.device("cpu"))
        version = need(runtime, source)
        found = guess(given, session, str(beside))
        code = [] if given.decode is None else [resolve_code(given.decode, beside.parent).file]
    except ValueError as error:
        raise ValueError(f"model {source}: {error}") from error
    sidecar, is_classifier = found.sidecar, found.sidecar.layout == "classifier"
    settings = sidecar.model_dump(mode="json", exclude={"classes", "name", "file"}, exclude_none=True)
    return ModelSpec(
        f"{scheme}:{sidecar.name or file.name}",
        family="outside",
        tasks=("classification",) if is_classifier else ("detection",),
        build="roibench.outside.onnx_models:build",
        paper=ONNX,
        config={"file": str(file), "sidecar": sidecar, "beside": str(beside), "runtime": runtime}
        | {"classes": sidecar.classes},
        outside=Outside(
            source,
            classes=sidecar.classes,
            files=tuple(one.resolve() for one in (file, *_external(file), beside, *code) if one and one.is_file()),
            settings=settings | {"runtime": f"{runtime} {version}"},
            remarks=found.remarks,
        ),
    )


def _files(given: Path, endings: Sequence[str]) -> tuple[Path, Path]:
    """The model's file, and where its sidecar is or would be."""
    if given.suffix in SIDECARS:
        named = read_sidecar(given).file
        if named is None:
            raise ValueError(f"sidecar {given}: want `file`, the model's, where the sidecar itself is opened")
        return given.parent / named, given
    if given.suffix not in endings:
        raise ValueError(f"want a file {' or '.join(endings)}, or a sidecar .yaml, got {given.name!r}")
    return given, given.with_name(f"{given.name}.yaml")


def _external(file: Path) -> list[Path]:
    """What holds the weights of a graph that is too large for one file, as exporters name it."""
    names = (file.with_suffix(".bin"),) if file.suffix == ".xml" else (Path(f"{file}.data"), Path(f"{file}_data"))
    return [name for name in names if name.is_file()]


class OnnxModel(Frozen):
    """A session, fed and decoded as its sidecar says. table: of each own class the dataset's index, or -1."""

    stages = ("preprocess", "network", "postprocess")

    def __init__(self, config: Mapping[str, Any], table: Sequence[int], classes: int) -> None:
        self.sidecar: Sidecar = config["sidecar"]
        self.file, self.beside, self.runtime = Path(config["file"]), Path(config["beside"]), config["runtime"]
        self.table, self.classes = table, classes
        decoder = self.sidecar.decode
        self.decoder = None if decoder is None else resolve_code(decoder, self.beside.parent).value
        self.session: Session | None = None

    def place(self, device: torch.device) -> None:
        self.session = open_session(self.file, self.runtime, device)
        self.device_type = device.type

    def predict(self, inputs: Sequence[Input]) -> list[Prediction]:
        if self.session is None:
            self.place(torch.device("cpu"))
        if torch.is_autocast_enabled(self.device_type):
            raise ValueError(f"{self.file.name} has its file's own precision: want --precision float32")
        with stage("preprocess"):
            batches = self._batches([one.image for one in inputs])
        found: list[Prediction] = []
        for batch, placed in batches:
            with stage("network"):
                outputs = session_run(self.session, batch, str(self.file))
            with stage("postprocess"):
                for index, place in enumerate(placed):
                    found.append(self._answer(self._of(outputs, index), place))
        return found

    def _batches(self, images: Sequence[Tensor]) -> list[tuple[np.ndarray, list]]:
        """All images at once where the graph takes as many, else one by one."""
        together = all(port.shape[0] in (None, len(images)) for port in self.session.inputs if port.shape)
        together &= self.sidecar.resize != "keep" and self.decoder is None and len(self._without_batch) == 0
        groups = [images] if together else [[image] for image in images]
        fed = (feed(group, self.sidecar.feeding) for group in groups)
        return [(pixels.numpy(), placed) for pixels, placed in fed]

    @property
    def _without_batch(self) -> set[str]:
        """Outputs that hold one image's boxes and no batch axis, as those that the graph has suppressed."""
        flat = {"yolo-nms": 2, "torchvision": 2}.get(self.sidecar.layout)
        boxes = self.sidecar.outputs.get("boxes") or self.sidecar.outputs.get("output")
        ranks = {port.name: len(port.shape) for port in self.session.outputs}
        return set(ranks) if flat is not None and ranks[boxes] == flat else set()

    def _of(self, outputs: Mapping[str, np.ndarray], index: int) -> dict[str, Tensor]:
        """One image's share of the outputs, by the layout's parts; all of them, as they are, for a decoder."""
        if self.decoder is not None:
            return {name: torch.from_numpy(array) for name, array in outputs.items()}
        whole = self._without_batch
        parts = self.sidecar.outputs
        return {
            part: torch.from_numpy(outputs[name] if name in whole else outputs[name][index])
            for part, name in parts.items()
        }

    def _answer(self, outputs: dict[str, Tensor], place: Any) -> Prediction:
        if self.sidecar.layout == "classifier":
            scores = outputs["output"].float()
            scores = scores.softmax(0) if self.sidecar.scores == "softmax" else scores
            return class_scores(scores, self.table, self.classes)
        if self.decoder is None:
            boxes, scores, labels = decode(outputs, self.sidecar, len(self.sidecar.classes))
        else:
            boxes, scores, labels = suppressed(self._decoded(outputs), self.sidecar)
        return detections(place.to_image(boxes), scores, labels, self.table)

    def _decoded(self, outputs: dict[str, Tensor]) -> Found:
        arrays = {name: value.numpy() for name, value in outputs.items()}
        found = self.decoder(arrays, self.sidecar.size)
        try:
            boxes, scores, labels = (torch.from_numpy(np.array(part)) for part in found)
            boxes = boxes.float().reshape(-1, 4)
        except (TypeError, ValueError, RuntimeError) as error:
            raise LayoutError(f"{self.sidecar.decode}: want boxes [N, 4], scores [N], labels [N]: {error}") from error
        if not len(boxes) == len(scores) == len(labels):
            counts = f"{len(boxes)} boxes, {len(scores)} scores, {len(labels)} labels"
            raise LayoutError(f"{self.sidecar.decode}: want equally many, got {counts}")
        kept = scores >= self.sidecar.score_threshold
        return Found(boxes[kept], scores[kept].float(), labels[kept].long())


def build(info: DatasetInfo, config: Mapping[str, Any]) -> OnnxModel:
    return OnnxModel(config, label_table(config, info), len(info.classes))
