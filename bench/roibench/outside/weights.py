"""Whose weights a model by name has: NAME, NAME:FILE, NAME:random."""

from collections.abc import Mapping
from pathlib import Path
from textwrap import shorten

import torch
from safetensors.torch import load_file
from torch import Tensor, nn

RANDOM_WEIGHTS = "random"


def split_weights(rest: str) -> tuple[str, str | None]:
    """NAME and WEIGHTS of NAME:WEIGHTS; None where there are none."""
    name, _, weights = rest.partition(":")
    return name, weights or None


def load_state(file: Path, source: str, network: nn.Module | None = None) -> Mapping[str, Tensor]:
    """A state_dict of a .safetensors or of torch.save, which may lie in a checkpoint; loaded into the network, if any.

    Raises ValueError: one line that names the source.
    """
    try:
        if file.suffix == ".safetensors":
            state = load_file(file)
        else:
            state = torch.load(file, map_location="cpu", weights_only=True)
    except Exception as error:  # of zip files, pickles and headers
        raise ValueError(f"model {source}: {file} is no state_dict: {shorten(str(error), 200)}") from error
    for key in ("state_dict", "model", "model_state_dict"):
        if isinstance(state, Mapping) and isinstance(state.get(key), Mapping):
            state = state[key]
    if not isinstance(state, Mapping) or not all(isinstance(value, Tensor) for value in state.values()):
        raise ValueError(f"model {source}: {file} is no state_dict: want a mapping of names to tensors")
    state = {name.removeprefix("module."): value for name, value in state.items()}
    if network is not None:
        try:
            network.load_state_dict(state)
        except RuntimeError as error:
            raise ValueError(f"model {source}: {file} doesn't fit: {shorten(str(error), 300)}") from error
    return state
