"""Models to be explained, and what an explanation could leave behind on one."""

from dataclasses import replace

import torch
from torch import nn

from roibench.assemble import build_model
from roibench.dataset import DatasetInfo
from roibench.nn.images import batch_images
from roibench.registry import installed
from roibench.structures import Input
from roibench.tasks.attribution import AttributionContract

INFO = DatasetInfo("noise", "val", ("first", "second", "third"), image_size=(64, 64))


class InPlace(nn.Module):
    """A classifier whose explained layer is followed by an in-place ReLU, with what a training leaves behind."""

    def __init__(self) -> None:
        super().__init__()
        self.feature_layer = nn.Sequential(nn.Conv2d(3, 8, 3, 4, 1), nn.BatchNorm2d(8), nn.Dropout(0.5))
        self.rest = nn.Sequential(nn.ReLU(inplace=True), nn.Conv2d(8, 8, 3, 1, 1), nn.ReLU(inplace=True))
        self.head = nn.Linear(8, 3)

    def batch(self, inputs):
        return batch_images(inputs, torch.device("cpu"), None, 1000, 4)

    def class_scores(self, batch):
        return self.head(self.rest(self.feature_layer(batch.pixels)).mean((2, 3)))

    def predict(self, inputs):
        raise NotImplementedError


def untrained(name, **config):
    torch.manual_seed(0)
    model = build_model(replace(installed().model(name), config=config), INFO)
    for module in model.modules():  # as after training: no layer is the identity
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.running_mean, -0.2, 0.2)
            nn.init.uniform_(module.weight, 0.5, 1.5)
    return model.eval()


def queried(*queries, size=(64, 64)):
    inputs = AttributionContract.noise(*[size] * len(queries))
    return [Input(one.id, one.image, query) for one, query in zip(inputs, queries, strict=True)]


class Scores(nn.Module):
    """The explained model as other libraries want it: pixels in, scores out."""

    def __init__(self, model, batch) -> None:
        super().__init__()
        self.model, self.sample = model, batch

    def forward(self, pixels):
        return self.model.class_scores(replace(self.sample, pixels=pixels))


def traces(model):
    """Everything that an explanation could leave behind on a model."""
    hooks = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")
    return (
        [(name, module.training, getattr(module, "inplace", None)) for name, module in model.named_modules()],
        [sum(len(getattr(module, kind)) for module in model.modules()) for kind in hooks],
        [(name, p.requires_grad, p.grad is None, p._version) for name, p in model.named_parameters()],
        [(name, buffer.tolist()) for name, buffer in model.named_buffers()],
        torch.is_grad_enabled(),
        torch.is_inference_mode_enabled(),
    )
