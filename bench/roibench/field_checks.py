"""Checks of a field's value, for tasks to put together: each is None, or in words what is wrong and what is wanted."""

from collections.abc import Sequence

import torch
from torch import Tensor

# float64 is taken where float32 is documented, and any integers where int64 is, because they hold the same values; half
# precision isn't, because boxes and scores lose digits to it.
FLOATS = (torch.float32, torch.float64)
INTEGERS = (torch.int64, torch.int32, torch.int16, torch.int8, torch.uint8)

Shape = Sequence[int | str]


def check_tensor(name: str, value: object, dtypes: Sequence[torch.dtype], shape: Shape) -> str | None:
    """What is wrong with a tensor whatever it holds. shape: a number, or a letter for any."""
    if not isinstance(value, Tensor):
        return f"{name} is a {type(value).__name__}; want a torch.Tensor"
    if value.device.type != "cpu":
        return f"{name} is on {value.device}; want it on the cpu"
    if value.layout != torch.strided:
        return f"{name} is {value.layout}; want a dense tensor"
    if value.requires_grad:
        return f"{name} asks for a gradient; want it detached"
    if value.dtype not in dtypes:
        return f"{name} is {value.dtype}; want {dtypes[0]}"
    fits = len(value.shape) == len(shape) and all(
        isinstance(want, str) or have == want for have, want in zip(value.shape, shape, strict=True)
    )
    return None if fits else f"{name} has the shape {list(value.shape)}; want [{', '.join(map(str, shape))}]"


def check_finite(name: str, value: Tensor) -> str | None:
    return check_values(name, value, torch.isfinite(value), "a finite number")


def check_range(name: str, value: Tensor, last: int) -> str | None:
    """Integers from 0 to last."""
    wanted = f"0 to {last}" if last >= 0 else "none: there is no class"
    return check_values(name, value, (value >= 0) & (value <= last), wanted)


def check_values(name: str, value: Tensor, right: Tensor, wanted: str) -> str | None:
    """The first value that isn't right, where it stands and how many more there are. right: bool, one per value."""
    if right.all():
        return None
    place = (~right).nonzero()[0].tolist()
    more = int((~right).sum()) - 1
    others = f" (and {more} more)" if more else ""
    return f"{name}{place} is {value[tuple(place)].item()}; want {wanted}{others}"
