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
from torchvision.models import detection as peers
from torchvision.models.detection.anchor_utils import AnchorGenerator
from torchvision.models.detection.backbone_utils import mobilenet_backbone

from roibench import ops
from roibench.measure.duel import Contest
from roibench.ops.accelerate import KERNELS
from roibench.suites.operators import Case, noise

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


def accelerated(run: Callable[[], object]) -> Contest:
    """run with the operators, without them, and with operators that cost nothing; it must do the same every time."""
    tape: dict[str, list] = {name: [] for name in KERNELS}

    def record(name: str, kernel: Callable, *arguments: object) -> object:
        tape[name].append(kernel(*arguments))
        return tape[name][-1]

    recorded = {name: partial(record, name, kernel) for name, (_, kernel) in KERNELS.items()}
    endless = {name: cycle(results) for name, results in tape.items()}
    played = {name: lambda *_, name=name: next(endless[name]) for name in KERNELS}
    free = recorded

    def with_ours() -> None:
        with ops.accelerate_torchvision():
            run()

    def with_none() -> None:
        # The first call, which warms up, records: another number of threads may give other boxes.
        nonlocal free
        with _in_place(free):
            run()
        free = played

    return Contest(with_ours, run, with_none)


def _training_step() -> Contest:
    """Forward and backward of Faster R-CNN with MobileNetV2-FPN; all its layers learn."""
    torch.manual_seed(0)
    backbone = mobilenet_backbone(backbone_name="mobilenet_v2", weights=None, fpn=True, trainable_layers=6)
    anchors = AnchorGenerator(((32, 64, 128, 256, 512),) * 3, ((0.5, 1.0, 2.0),) * 3)
    model = peers.FasterRCNN(backbone, 91, min_size=SHORT_SIDE, rpn_anchor_generator=anchors).train()
    images = list(noise(BATCH, 3, SHORT_SIDE, SHORT_SIDE * 4 // 3).sigmoid())
    corners = torch.rand(BATCH, 8, 2) * 250
    boxes = torch.cat([corners, corners + 20 + torch.rand(BATCH, 8, 2) * 120], dim=2)
    targets = [{"boxes": one, "labels": torch.arange(1, 9)} for one in boxes]

    def step() -> None:
        torch.manual_seed(0)  # proposals are sampled
        model.zero_grad()
        sum(model(images, targets).values()).backward()

    return accelerated(step)


def _inference(build: Callable[..., nn.Module]) -> Contest:
    torch.manual_seed(0)
    model = build(weights=None, weights_backbone=None).eval()
    image = noise(3, 480, 640).sigmoid()

    @torch.inference_mode()
    def detect() -> None:
        model([image])

    return accelerated(detect)


CASES: tuple[Case, ...] = (
    Case(
        "torchvision's Faster R-CNN, training step",
        "MobileNetV2-FPN, 400 px, batch 4",
        _training_step,
        "without accelerate_torchvision()",
        FREE,
    ),
    *(
        Case(
            f"torchvision's {build.__name__}",
            "480 x 640",
            partial(_inference, build),
            "without accelerate_torchvision()",
            FREE,
        )
        for build in (
            peers.fasterrcnn_mobilenet_v3_large_fpn,
            peers.fasterrcnn_resnet50_fpn,
            peers.maskrcnn_resnet50_fpn,
            peers.ssd300_vgg16,
        )
    ),
)
