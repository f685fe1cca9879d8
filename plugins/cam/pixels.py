"""What explanations at the image's own resolution share: scores of other pixels, and gradients by them."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from roibench.model import stage
from roibench.nn.images import ImageBatch
from roibench.plugins.cam.explainer import Explainable, Explainer
from roibench.plugins.cam.features import query_classes
from roibench.structures import Input, Prediction

# Of a ReLU's backward: the gradient, given the one from above and where the input was passed on.
Rule = Callable[[Tensor, Tensor], Tensor]


class Asked(NamedTuple):
    """What is explained of a batch.

    classes: int64 [B], one of each image.
    scores: [B], theirs.
    """

    batch: ImageBatch
    classes: Tensor
    scores: Tensor

    def score(self, inner: Explainable, pixels: Tensor) -> Tensor:
        """[B]: of each image's class, for other pixels than the batch's."""
        return inner.class_scores(replace(self.batch, pixels=pixels)).gather(1, self.classes[:, None])[:, 0]


class PixelExplainer(Explainer):
    """Gives a map at the batch's own resolution."""

    stages = ("preprocess", "forward", "explain", "map")

    def predict(self, inputs: Sequence[Input]) -> list[Prediction]:
        inner = self.inner
        with evaluating(inner):
            with stage("preprocess"):
                batch = inner.batch(inputs)
            with stage("forward"):
                asked = ask(inner, batch, inputs)
            with stage("explain"):
                relevance = self.relevance(asked)
            with stage("map"):
                return [Prediction(extra={"attribution": one.cpu()}) for one in batch.to_images(relevance)]

    def relevance(self, asked: Asked) -> Tensor:
        """[B, H, W], of the batch."""
        raise NotImplementedError(f"{type(self).__name__} must implement relevance(asked)")


@contextmanager
def evaluating(model: nn.Module) -> Iterator[None]:
    """Inside the block the model is in eval mode, and nothing is recorded unless that is asked for; afterwards, also
    after an exception, it is as it was.
    """
    training = [module for module in model.modules() if module.training]
    with torch.inference_mode(False), torch.no_grad():
        try:
            model.eval()
            yield
        finally:
            for module in training:
                module.training = True


def ask(inner: Explainable, batch: ImageBatch, inputs: Sequence[Input]) -> Asked:
    """The classes that inputs query; where one queries none, the highest-scoring one."""
    scores = inner.class_scores(batch)
    classes = query_classes(inputs, scores)
    return Asked(batch, classes, scores.gather(1, classes[:, None])[:, 0])


def pixel_gradients(inner: Explainable, asked: Asked, pixels: Tensor, rule: Rule | None = None) -> Tensor:
    """[B, 3, H, W], by normalised pixels. rule: of every ReLU's backward, instead of its own."""
    pixels = pixels.detach().requires_grad_()
    with torch.enable_grad(), nullcontext() if rule is None else ReLUsBackward(rule):
        score = asked.score(inner, pixels).sum()  # images don't mix in eval mode
    return torch.autograd.grad(score, pixels)[0]


class ReLUsBackward(TorchFunctionMode):
    """Inside the block every ReLU, as a module, a function or a method, also ReLU6, passes gradients on by a rule."""

    RELUS = frozenset({F.relu, F.relu_, torch.relu, torch.relu_, Tensor.relu, Tensor.relu_})

    def __init__(self, rule: Rule) -> None:
        super().__init__()
        self.rule = rule

    def __torch_function__(self, function: Any, _types: Any, args: tuple = (), kwargs: Any = None) -> Any:
        if function in self.RELUS:
            return _Rectify.apply(args[0], None, self.rule)
        if function is F.relu6:
            return _Rectify.apply(args[0], 6.0, self.rule)
        kwargs = kwargs or {}
        if function is F.hardtanh and kwargs.get("min_val") == 0:  # what the module ReLU6 calls
            return _Rectify.apply(args[0], kwargs["max_val"], self.rule)
        return function(*args, **kwargs)


class _Rectify(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, most: float | None, rule: Rule) -> Tensor:
        passed = x > 0 if most is None else (x > 0) & (x < most)
        ctx.save_for_backward(passed)
        ctx.rule = rule
        return x.clamp(0, most)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None]:
        return ctx.rule(gradient, ctx.saved_tensors[0]), None, None


def deconvnet(gradient: Tensor, _passed: Tensor) -> Tensor:
    """Zeiler and Fergus 2013: what comes from above is rectified itself, whatever came from below."""
    return gradient.clamp(min=0)


def guided(gradient: Tensor, passed: Tensor) -> Tensor:
    """Springenberg et al. 2014: both, what was passed on and what is positive from above."""
    return gradient.clamp(min=0) * passed


def magnitude(gradients: Tensor) -> Tensor:
    """[B, 3, H, W] -> [B, H, W]: the largest absolute value over the channels (Simonyan et al. 2013, section 3.1)."""
    return gradients.abs().amax(1)
