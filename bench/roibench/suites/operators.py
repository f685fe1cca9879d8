"""Which operators are timed, on what, and against which baseline.

A lower bound is the least that the machine must do to give such a result: fill a fresh output, read and write each
tensor once, multiply matrices with as many operations. It is measured beside the operator, by torch's own fill, copy
and matrix product.

Tensors are made on torch's default device, with the same values on each.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import torch
import torch.nn.functional as F
import torchvision.ops as baseline
from torch import Tensor

from roibench import ops
from roibench.measure.paired import Case

SIZE = 800.0  # pixels of the image that boxes lie in
FILL, COPY, MATMUL = "filling a fresh output", "copying input and output", "sgemm of as many operations"


@dataclass(frozen=True)
class OperatorBenchmark:
    """An operator, timed on one input.

    operator: its name in the table.
    input: the input's.
    prepare: makes the tensors, and the calls on them.
    baseline: what the case's baseline is; None if it has none.
    lower_bound: what the case's lower bound is; None if it has none.
    """

    operator: str
    input: str
    prepare: Callable[[], Case]
    baseline: str | None = "torchvision"
    lower_bound: str | None = None


def boxes(count: int) -> Tensor:
    """xyxy boxes, uniform over an image of 800 x 800 pixels, sides up to a fifth of it."""
    generator = torch.Generator().manual_seed(0)
    corner, size = (torch.rand(count, 2, generator=generator, device="cpu") * SIZE for _ in range(2))
    return _placed(torch.cat([corner, corner + size / 5], dim=1))


def scores(count: int) -> Tensor:
    return _placed(torch.rand(count, generator=torch.Generator().manual_seed(1), device="cpu"))


def noise(*shape: int) -> Tensor:
    return _placed(torch.randn(*shape, generator=torch.Generator().manual_seed(3), device="cpu"))


def _placed(made: Tensor) -> Tensor:
    return made.to(torch.get_default_device())


def rois() -> Tensor:
    """512 RoIs of two images, for a map of stride 16."""
    return torch.cat([torch.arange(512)[:, None] % 2, boxes(512)], dim=1)


def fill(*shape: int, dtype: torch.dtype = torch.float32) -> Callable[[], Tensor]:
    return lambda: torch.empty(shape, dtype=dtype).fill_(0)


def copy(*tensors: Tensor) -> Callable[[], list[Tensor]]:
    """Reads and writes each once."""
    targets = [torch.empty_like(tensor) for tensor in tensors]
    return lambda: [target.copy_(tensor) for target, tensor in zip(targets, tensors, strict=True)]


def matmul(operations: float, dtype: torch.dtype = torch.float32) -> Callable[[], Tensor]:
    """A product of square matrices that takes about so many operations."""
    side = round((operations / 2) ** (1 / 3))
    a, b = noise(side, side).to(dtype), noise(side, side).to(dtype)
    return lambda: a @ b


def _box_iou() -> Case:
    many, few = boxes(10_000), boxes(1_000)
    return Case(lambda: ops.box_iou(many, few), lambda: baseline.box_iou(many, few), fill(10_000, 1_000))


def _ciou() -> Case:
    some = boxes(2_000)
    return Case(
        lambda: ops.box_iou(some, some, "ciou"), lambda: baseline.complete_box_iou(some, some), fill(2_000, 2_000)
    )


def _nms(count: int, with_baseline: bool = True) -> Case:
    box, score = boxes(count), scores(count)
    return Case(
        lambda: ops.nms(box, score, 0.5),
        (lambda: baseline.nms(box, score, 0.5)) if with_baseline else None,
    )


def _batched_nms() -> Case:
    box, score = boxes(20_000), scores(20_000)
    classes = _placed(torch.randint(0, 80, (20_000,), generator=torch.Generator().manual_seed(2), device="cpu"))
    return Case(
        lambda: ops.batched_nms(box, score, classes, 0.5), lambda: baseline.batched_nms(box, score, classes, 0.5)
    )


def _soft_nms() -> Case:
    box, score = boxes(2_000), scores(2_000)
    return Case(lambda: ops.soft_nms(box, score))


Pool = Callable[[Tensor, Tensor], Tensor]


def _pooling(
    ours: Pool,
    theirs: Pool | None,
    backward: bool,
    channels: int = 256,
    dtype: torch.dtype = torch.float32,
    layout: torch.memory_format = torch.contiguous_format,
) -> Case:
    """The lower bound copies the feature map and the pooled one: both directions read the one and write the other."""
    feature, where = noise(2, channels, 50, 68).to(dtype).contiguous(memory_format=layout), rois()
    lower_bound = copy(feature, ours(feature, where))
    if not backward:
        return Case(lambda: ours(feature, where), theirs and (lambda: theirs(feature, where)), lower_bound)
    feature.requires_grad_()
    return Case(
        _gradient(ours(feature, where), feature), theirs and _gradient(theirs(feature, where), feature), lower_bound
    )


def _gradient(out: Tensor, *inputs: Tensor) -> Callable[[], object]:
    grad = torch.ones_like(out)
    return lambda: torch.autograd.grad(out, inputs, grad, retain_graph=True)


def _align(library, feature: Tensor, where: Tensor) -> Tensor:
    return library.roi_align(feature, where.to(feature.dtype), 7, 1 / 16, 2)


def _max(library, feature: Tensor, where: Tensor) -> Tensor:
    return library.roi_pool(feature, where.to(feature.dtype), 7, 1 / 16)


def _position_sensitive(library, feature: Tensor, where: Tensor) -> Tensor:
    return library.ps_roi_pool(feature, where.to(feature.dtype), 7, 1 / 16)


def _pyramid_of_rois(feature: Tensor, where: Tensor) -> Tensor:
    return ops.roi_spatial_pyramid_pool(feature, where, (4, 2, 1), 1 / 16)


def _pyramid_by_roi_pools(feature: Tensor, where: Tensor) -> Tensor:
    return torch.cat([baseline.roi_pool(feature, where, level, 1 / 16).flatten(1) for level in (4, 2, 1)], dim=1)


def _pyramid() -> Case:
    feature = noise(8, 256, 13, 13)

    def adaptive() -> Tensor:
        return torch.cat([F.adaptive_max_pool2d(feature, level).flatten(1) for level in (4, 2, 1)], dim=1)

    return Case(lambda: ops.spatial_pyramid_pool(feature), adaptive, copy(feature))


def _focal_loss(backward: bool, dtype: torch.dtype = torch.float32, with_baseline: bool = True) -> Case:
    """The lower bound reads logits and targets and writes as much as the loss, and the gradient where there is one."""
    logits = noise(100_000, 80).to(dtype)
    targets = (noise(100_000, 80) > 2).to(dtype)
    lower_bound = copy(logits, targets) if backward else copy(logits)

    def call(library) -> Callable[[], object]:
        if not backward:
            return lambda: library.sigmoid_focal_loss(logits, targets)
        learned = logits.clone().requires_grad_()
        return lambda: torch.autograd.grad(library.sigmoid_focal_loss(learned, targets, reduction="sum"), learned)

    return Case(call(ops), call(baseline) if with_baseline else None, lower_bound)


def _deconvolution(
    input: tuple[int, ...], out: int, kernel: int, stride: int, padding: int, dtype: torch.dtype, channels_last: bool
) -> Case:
    layout = torch.channels_last if channels_last else torch.contiguous_format
    x = noise(*input).to(dtype).contiguous(memory_format=layout)
    weight = noise(input[1], out, kernel, kernel).to(dtype).contiguous(memory_format=layout)
    operations = 2 * x.numel() * out * kernel * kernel
    return Case(
        lambda: ops.conv_transpose2d(x, weight, None, stride, padding),
        lambda: F.conv_transpose2d(x, weight, None, stride, padding),
        matmul(operations, dtype),
    )


def _unpooling(name: str, backward: bool, channels_last: bool) -> Case:
    layout = torch.channels_last if channels_last else torch.contiguous_format
    large = noise(8, 64, 128, 128).contiguous(memory_format=layout)
    pooled, indices = F.max_pool2d(large, 2, return_indices=True)
    x = pooled.requires_grad_(backward)

    def nails(x: Tensor) -> Tensor:
        out = torch.empty_like(large).zero_()
        out[..., ::2, ::2] = x
        return out

    ours, theirs = {
        "nearest_unpool": (lambda: ops.nearest_unpool(x, 2), lambda: F.interpolate(x, scale_factor=2)),
        "bed_of_nails": (lambda: ops.bed_of_nails(x, 2), lambda: nails(x)),
        "max_unpool": (lambda: ops.max_unpool(x, indices, (128, 128)), lambda: F.max_unpool2d(x, indices, 2)),
    }[name]
    if not backward:
        return Case(ours, theirs, lambda: torch.empty_like(large).fill_(0))
    gradients = [partial(torch.autograd.grad, call(), x, large, retain_graph=True) for call in (ours, theirs)]
    return Case(*gradients, copy(x.detach()))


def _overhead(backward: bool) -> Case:
    feature, one = noise(1, 1, 4, 4), torch.tensor([[0.0, 0.0, 0.0, 2.0, 2.0]])
    if backward:
        feature.requires_grad_()
    return Case(lambda: ops.roi_align(feature, one, 1), lambda: baseline.roi_align(feature, one, 1))


_MAP = "(2,256,50,68), 512 RoIs, 7x7"
OTHER_DTYPES = {"float64": torch.float64, "bfloat16": torch.bfloat16, "float16": torch.float16}
_DECONVOLUTIONS = {
    "(8,256,14,14)->256 k2 s2": ((8, 256, 14, 14), 256, 2, 2, 0),
    "(8,64,64,64)->32 k4 s2 p1": ((8, 64, 64, 64), 32, 4, 2, 1),
    "(8,128,32,32)->64 k3 s2 p1": ((8, 128, 32, 32), 64, 3, 2, 1),
}


def _pooling_benchmarks(
    name: str, pool: Callable, input: str, channels: int, with_baseline: bool
) -> list[OperatorBenchmark]:
    """float32 against the baseline; the other dtypes and memory formats for themselves."""
    ours, theirs = partial(pool, ops), partial(pool, baseline) if with_baseline else None
    kinds = {dtype: {"dtype": value} for dtype, value in OTHER_DTYPES.items()} | {
        "channels-last": {"layout": torch.channels_last}
    }
    benchmarks = []
    for backward in (False, True):
        direction = f"{name} {'backward' if backward else 'forward'}"
        benchmarks.append(
            OperatorBenchmark(direction, input, partial(_pooling, ours, theirs, backward, channels), lower_bound=COPY)
        )
        for kind, options in kinds.items():
            prepare = partial(_pooling, ours, None, backward, channels, **options)
            benchmarks.append(OperatorBenchmark(direction, f"{input}, {kind}", prepare, None, COPY))
    return benchmarks


BENCHMARKS: tuple[OperatorBenchmark, ...] = (
    OperatorBenchmark("box_iou", "10,000 x 1,000", _box_iou, lower_bound=FILL),
    OperatorBenchmark("box_iou ciou", "2,000 x 2,000", _ciou, lower_bound=FILL),
    OperatorBenchmark("nms", "5,000, IoU 0.5", partial(_nms, 5_000)),
    OperatorBenchmark("nms", "20,000, IoU 0.5", partial(_nms, 20_000)),
    OperatorBenchmark("nms", "200,000, IoU 0.5", partial(_nms, 200_000, with_baseline=False), None),
    OperatorBenchmark("batched_nms", "20,000, 80 classes, IoU 0.5", _batched_nms),
    OperatorBenchmark("soft_nms", "2,000, linear", _soft_nms, None),
    *_pooling_benchmarks("roi_align", _align, f"{_MAP}, ratio 2", 256, with_baseline=True),
    *_pooling_benchmarks("roi_pool", _max, _MAP, 256, with_baseline=True),
    *_pooling_benchmarks("ps_roi_pool", _position_sensitive, "(2,490,50,68), 512 RoIs, 7x7", 490, with_baseline=True),
    OperatorBenchmark(
        "spatial_pyramid_pool", "(8,256,13,13), levels 4, 2, 1", _pyramid, "torch: three adaptive_max_pool2d", COPY
    ),
    OperatorBenchmark(
        "roi_spatial_pyramid_pool",
        "(2,256,50,68), 512 RoIs, levels 4, 2, 1",
        partial(_pooling, _pyramid_of_rois, _pyramid_by_roi_pools, False),
        "torchvision: three roi_pool",
        COPY,
    ),
    OperatorBenchmark("sigmoid_focal_loss forward", "100,000 x 80", partial(_focal_loss, False), lower_bound=COPY),
    OperatorBenchmark(
        "sigmoid_focal_loss forward + backward", "100,000 x 80", partial(_focal_loss, True), lower_bound=COPY
    ),
    *(
        OperatorBenchmark(
            "sigmoid_focal_loss forward + backward",
            f"100,000 x 80, {name}",
            partial(_focal_loss, True, dtype, with_baseline=False),
            None,
            COPY,
        )
        for name, dtype in OTHER_DTYPES.items()
    ),
    *(
        OperatorBenchmark(
            "conv_transpose2d", f"{name}{kind}", partial(_deconvolution, *shape, dtype, last), "torch", MATMUL
        )
        for name, shape in _DECONVOLUTIONS.items()
        for kind, dtype, last in (
            ("", torch.float32, False),
            (", channels-last", torch.float32, True),
            (", bfloat16", torch.bfloat16, False),
        )
    ),
    *(
        OperatorBenchmark(
            f"{name} {'backward' if backward else 'forward'}",
            f"(8,64,64,64) x 2{', channels-last' if last else ''}",
            partial(_unpooling, name, backward, last),
            "torch: a copy into zeros" if name == "bed_of_nails" else "torch",
            COPY if backward else FILL,
        )
        for name in ("nearest_unpool", "bed_of_nails", "max_unpool")
        for backward in (False, True)
        for last in (False, True)
    ),
    OperatorBenchmark("call overhead", "roi_align of 1 RoI", partial(_overhead, False)),
    OperatorBenchmark("call overhead", "roi_align of 1 RoI, with gradient", partial(_overhead, True)),
)
