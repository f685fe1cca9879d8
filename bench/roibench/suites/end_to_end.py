"""What the operators are worth inside a whole detector: torchvision's, with and without them.

The limit of an accelerated detector is the same detector with operators that cost nothing, which is Amdahl's bound,
measured: their results are recorded once and then handed out again.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from itertools import cycle

import torch
from torch import nn
from torch.library import Library
from torch.utils._python_dispatch import TorchDispatchMode
from torchvision.models import detection as torchvision_models
from torchvision.models.detection.anchor_utils import AnchorGenerator
from torchvision.models.detection.backbone_utils import mobilenet_backbone

from roibench import ops
from roibench.measure.paired import Case
from roibench.suites.operators import OperatorBenchmark, noise

FREE = "operators that cost nothing"
BATCH, SHORT_SIDE = 4, 400  # of the training step; pixels that images are resized to


@contextmanager
def _in_place(kernels: Mapping[str, Callable]) -> Iterator[None]:
    """torchvision's operators run these on the CPU."""
    library = Library("torchvision", "IMPL")
    for name, kernel in kernels.items():
        library.impl(name, kernel, "CPU", allow_override=True)
    try:
        yield
    finally:
        library._destroy()


class _Recorder(TorchDispatchMode):
    """Keeps what torchvision's operators return, by their names and in order."""

    def __init__(self) -> None:
        super().__init__()
        self.tape: dict[str, list[object]] = {}

    def __torch_dispatch__(self, function, types, arguments=(), keywords=None):
        result = function(*arguments, **(keywords or {}))
        namespace, _, name = function._schema.name.partition("::")
        if namespace == "torchvision":
            self.tape.setdefault(name, []).append(result)
        return result


def accelerated(run: Callable[[], object]) -> Case:
    """run with the operators, without them, and with operators that cost nothing; it must do the same every time."""
    free: dict[str, Callable] = {}

    def with_ours() -> None:
        with ops.accelerate_torchvision():
            run()

    def with_none() -> None:
        if free:
            with _in_place(free):
                run()
            return
        # The first call, which warms up, records: another number of threads may give other boxes.
        with ops.accelerate_torchvision(), _Recorder() as recorder:
            run()
        for name, results in recorder.tape.items():
            free[name] = partial(lambda endless, *_: next(endless), cycle(results))

    return Case(with_ours, run, with_none)


def _training_step() -> Case:
    """Forward and backward of Faster R-CNN with MobileNetV2-FPN; all its layers learn."""
    torch.manual_seed(0)
    backbone = mobilenet_backbone(backbone_name="mobilenet_v2", weights=None, fpn=True, trainable_layers=6)
    anchors = AnchorGenerator(((32, 64, 128, 256, 512),) * 3, ((0.5, 1.0, 2.0),) * 3)
    model = torchvision_models.FasterRCNN(backbone, 91, min_size=SHORT_SIDE, rpn_anchor_generator=anchors).train()
    images = list(noise(BATCH, 3, SHORT_SIDE, SHORT_SIDE * 4 // 3).sigmoid())
    corners = torch.rand(BATCH, 8, 2) * 250
    boxes = torch.cat([corners, corners + 20 + torch.rand(BATCH, 8, 2) * 120], dim=2)
    targets = [{"boxes": one, "labels": torch.arange(1, 9)} for one in boxes]

    def step() -> None:
        torch.manual_seed(0)  # proposals are sampled
        model.zero_grad()
        sum(model(images, targets).values()).backward()

    return accelerated(step)


def _inference(build: Callable[..., nn.Module]) -> Case:
    torch.manual_seed(0)
    model = build(weights=None, weights_backbone=None).eval()
    image = noise(3, 480, 640).sigmoid()

    @torch.inference_mode()
    def detect() -> None:
        model([image])

    return accelerated(detect)


BENCHMARKS: tuple[OperatorBenchmark, ...] = (
    OperatorBenchmark(
        "torchvision's Faster R-CNN, training step",
        "MobileNetV2-FPN, 400 px, batch 4",
        _training_step,
        "without accelerate_torchvision()",
        FREE,
    ),
    *(
        OperatorBenchmark(
            f"torchvision's {build.__name__}",
            "480 x 640",
            partial(_inference, build),
            "without accelerate_torchvision()",
            FREE,
        )
        for build in (
            torchvision_models.fasterrcnn_mobilenet_v3_large_fpn,
            torchvision_models.fasterrcnn_resnet50_fpn,
            torchvision_models.maskrcnn_resnet50_fpn,
            torchvision_models.ssd300_vgg16,
        )
    ),
)
