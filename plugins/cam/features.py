"""What class activation mapping looks at: the outputs of one layer, on the way to the scores of the classes."""

import operator
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from roibench.structures import Input


@contextmanager
def watched_features(model: nn.Module, layer: nn.Module, differentiable: bool) -> Iterator[list[Tensor]]:
    """Inside the block the model is in eval mode, and what `layer` gives is put into the list, call by call.

    differentiable: the graph begins at the layer's output, whatever the caller's grad mode: nothing before it is
    recorded, and no parameter gets a gradient as long as the caller asks for that of the features alone. The model goes
    on with a copy, so that an operation in place, such as an in-place ReLU, leaves the features as they are.

    Afterwards, also after an exception, the model is as it was: no hook, no flag, no mode is left behind.
    """
    features: list[Tensor] = []

    def watch(_layer: nn.Module, _args: object, output: Tensor) -> Tensor:
        if differentiable:
            torch.set_grad_enabled(True)
        features.append(output.detach().requires_grad_(differentiable))
        return features[-1].clone()

    training = [module for module in model.modules() if module.training]
    with torch.inference_mode(False), torch.no_grad():
        handle = layer.register_forward_hook(watch)
        try:
            model.eval()
            yield features
        finally:
            handle.remove()
            for module in training:
                module.training = True


def query_classes(inputs: Sequence[Input], scores: Tensor) -> Tensor:
    """The class that each input queries, int64 [B]; where it queries none, the one of the highest score.

    scores: [B, classes]. Raises ValueError, naming the input, for what is no class.
    """
    highest = scores.argmax(1).tolist()
    count = scores.shape[1]
    classes = []
    for one, otherwise in zip(inputs, highest, strict=True):
        try:
            label = otherwise if one.query is None else operator.index(one.query)
        except TypeError:
            label = -1
        if not 0 <= label < count:
            raise ValueError(f"input {one.id!r}: query: want a class index from 0 to {count - 1}, got {one.query!r}")
        classes.append(label)
    return torch.tensor(classes, device=scores.device)
