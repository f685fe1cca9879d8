"""DETR (Carion et al. 2020, arXiv 2005.12872): detection as the prediction of a set.

A transformer turns a fixed number of object queries into as many boxes. Training matches them to the objects one to
one, at the least cost, so that a query learns to predict nothing where another has the object. None is suppressed
afterwards.

The paper's network needs 500 epochs. What makes this one learn in its few:
- a query is a box that every decoder layer refines (DAB-DETR, Liu et al. 2022, arXiv 2201.12329);
- queries start from the best boxes that the encoder's tokens propose (Deformable DETR, Zhu et al. 2021, arXiv
  2010.04159, two-stage), with a content that is learned (DINO, Zhang et al. 2022, arXiv 2203.03605);
- a query attends to what is around its box first: a Gaussian per head is added to cross-attention (SMCA, Gao et al.
  2021, arXiv 2101.07448);
- further groups of queries, in training alone, start from boxes near the objects (DN-DETR, Li et al. 2022, arXiv
  2203.01305), and are matched like the first (Group DETR, Chen et al. 2023, arXiv 2207.13085);
- every token learns the class of the object that covers it, so that the backbone needn't wait for the decoder (an
  auxiliary head with many positives per object, as in Co-DETR, Zong et al. 2023, arXiv 2211.12860);
- focal loss, also as the matching's cost (Deformable DETR);
- the encoder works on the coarsest map, a pyramid hands its result down (RT-DETR, Zhao et al. 2024, arXiv 2304.08069).
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, NamedTuple

import torch
from torch import Tensor, nn

from roibench import ops
from roibench.dataset import DatasetInfo
from roibench.model import TrainableModel, stage
from roibench.nn.backbones import SmallResNet
from roibench.nn.images import ImageBatch, batch_images
from roibench.nn.pyramid import FeaturePyramid
from roibench.nn.targets import BoxTargets, batch_boxes
from roibench.nn.transformer import PADDING_BIAS, Attention, EncoderLayer, feed_forward, sine_embedding
from roibench.plugins.transformer.set_criterion import SetCriterion, from_pixels, to_pixels
from roibench.structures import Input, Prediction, Target
from roibench.tasks.objects import MAX_DETECTIONS, SCORE_THRESHOLD


@dataclass(frozen=True)
class Config:
    """Hyperparameters, with the paper's values in brackets where small images want others."""

    widths: tuple[int, ...] = (32, 48, 96, 128)  # of the backbone: stem, then one per stride 4, 8, 16
    blocks: tuple[int, ...] = (2, 2, 2)
    levels: int = 2  # coarsest maps that the decoder attends to: strides 8 and 16 [32 alone]
    short_side: int | None = None  # images are resized to it, in pixels [800]
    long_side: int = 512
    dim: int = 96  # of a token [256]
    heads: int = 4  # [8]
    hidden: int = 96  # of the feed-forward networks [2048]
    encoder_layers: int = 1  # [6]
    decoder_layers: int = 3  # [6]
    layers_used: int | None = None  # of these, in predict; all if None
    queries: int = 25  # [100]
    denoising_groups: int = 1  # of as many queries again, in training
    noise: float = 1.0  # how far the centres of their boxes are shifted, at most, in sides of the box

    criterion: SetCriterion = field(default_factory=SetCriterion)
    prior: float = 0.01  # probability of every class at the start of training
    score_threshold: float = SCORE_THRESHOLD
    max_detections: int = MAX_DETECTIONS


class Memory(NamedTuple):
    """What the decoder attends to: M tokens, one per location of its maps.

    tokens: [B, M, dim].
    positions: [B, M, dim], embedded.
    locations: [B, M, 4], what the tokens cover, as centre and sides in units of the image.
    padding: bool [B, M], which of them lie in the padding.
    """

    tokens: Tensor
    positions: Tensor
    locations: Tensor
    padding: Tensor


class DecoderLayer(nn.Module):
    """Self-attention of the queries, cross-attention to the image around their boxes, and a feed-forward network."""

    def __init__(self, dim: int, heads: int, hidden: int) -> None:
        super().__init__()
        self.self_norm = nn.LayerNorm(dim)
        self.self_attention = Attention(dim, heads)
        self.cross_norm = nn.LayerNorm(dim)
        self.cross_attention = Attention(dim, heads)
        self.gaussian = Gaussians(dim, heads)
        self.feed_forward_norm = nn.LayerNorm(dim)
        self.feed_forward = feed_forward(dim, hidden)

    def forward(self, x: Tensor, position: Tensor, boxes: Tensor, memory: Memory, groups: int) -> Tensor:
        """Queries and their boxes' embeddings [B, groups * Q, dim], boxes [B, groups * Q, 4] -> [B, groups * Q, dim].

        A query attends to those of its own group alone.
        """
        value = self.self_norm(x).unflatten(1, (groups, -1)).flatten(0, 1)
        place = value + position.unflatten(1, (groups, -1)).flatten(0, 1)
        x = x + self.self_attention(place, place, value).unflatten(0, (-1, groups)).flatten(1, 2)
        query = self.cross_norm(x)
        bias = self.gaussian(query, boxes, memory)
        x = x + self.cross_attention(query + position, memory.tokens + memory.positions, memory.tokens, bias)
        return x + self.feed_forward(self.feed_forward_norm(x))


class Gaussians(nn.Module):
    """Where each head attends: the log of a Gaussian whose centre and width the query gives in units of its box."""

    def __init__(self, dim: int, heads: int) -> None:
        super().__init__()
        self.shape = nn.Linear(dim, heads * 4)
        # Heads begin on a ring half-way between the box's centre and its sides, with half its width.
        angle = torch.arange(heads) * 2 * math.pi / heads
        with torch.no_grad():
            ring = torch.stack([angle.cos() / 4, angle.sin() / 4], dim=1)
            self.shape.weight.zero_()
            self.shape.bias.copy_(torch.cat([ring, torch.full((heads, 2), math.log(0.5))], dim=1).flatten())

    def forward(self, query: Tensor, boxes: Tensor, memory: Memory) -> Tensor:
        """Queries [B, N, dim] with boxes [B, N, 4] -> attention bias [B, heads, N, M]."""
        shape = self.shape(query).float().unflatten(-1, (-1, 4)).transpose(1, 2)
        centre = boxes[:, None, :, :2] + shape[..., :2] * boxes[:, None, :, 2:]
        # No narrower than a token, about: else a query would miss what lies between two of them.
        width = (shape[..., 2:].clamp(max=4).exp() * boxes[:, None, :, 2:]).clamp(min=0.01)
        # -((x - c) / w)**2 / 2 multiplied out: one product of matrices instead of a table of [B, heads, N, M, 2].
        square = -0.5 / width.square()
        constant = (square * centre.square()).sum(-1, keepdim=True)
        terms = torch.cat([square, -2 * square * centre, constant, torch.ones_like(constant)], dim=-1)
        place, ones = memory.locations[..., :2], torch.ones_like(memory.locations[..., :1])
        basis = torch.cat([place.square(), place, ones, memory.padding[..., None] * PADDING_BIAS], dim=-1)
        with torch.autocast(query.device.type, enabled=False):
            return terms @ basis[:, None].transpose(-1, -2)


class Head(nn.Module):
    """Classifies what is in a box, and refines the box."""

    def __init__(self, classes: int, dim: int, prior: float) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(dim)
        self.class_embed = nn.Linear(dim, classes)
        self.bbox_embed = nn.Sequential(
            nn.Linear(dim, dim), nn.ReLU(), nn.Linear(dim, dim), nn.ReLU(), nn.Linear(dim, 4)
        )
        nn.init.constant_(self.class_embed.bias, -math.log((1 - prior) / prior))
        nn.init.normal_(self.bbox_embed[-1].weight, std=0.001)
        nn.init.zeros_(self.bbox_embed[-1].bias)

    def forward(self, x: Tensor, boxes: Tensor) -> tuple[Tensor, Tensor]:
        """Tokens or queries [B, N, dim] with boxes [B, N, 4] -> logits [B, N, C], boxes [B, N, 4]."""
        x = self.norm(x)
        return self.class_embed(x).float(), (boxes.logit(eps=1e-4) + self.bbox_embed(x).float()).sigmoid()


class Decoder(nn.Module):
    """From boxes to start from, to classes and boxes after every layer. All that tells queries apart is their box."""

    def __init__(self, classes: int, config: Config) -> None:
        super().__init__()
        dim = config.dim
        self.content = nn.Parameter(torch.randn(dim))
        self.position = nn.Sequential(nn.Linear(dim, dim), nn.ReLU(), nn.Linear(dim, dim))
        self.layers = nn.ModuleList(
            DecoderLayer(dim, config.heads, config.hidden) for _ in range(config.decoder_layers)
        )
        self.head = Head(classes, dim, config.prior)

    def forward(self, memory: Memory, boxes: Tensor, layers: int | None = None) -> tuple[Tensor, Tensor]:
        """Boxes [B, G, Q, 4] -> logits [L, B, G, Q, C] and boxes [L, B, G, Q, 4] after each of L layers.

        layers: how many, from the first one on; None for all. Boxes are centre x, centre y, width, height in units of
        the image.
        """
        shape = boxes.shape[1:3]
        boxes = boxes.flatten(1, 2)
        x = self.content.expand(*boxes.shape[:2], -1)
        all_logits, all_boxes = [], []
        for layer in self.layers[:layers]:
            embedded = self.position(sine_embedding(boxes, len(self.content) // 4))
            x = layer(x, embedded, boxes, memory, groups=shape[0])
            logits, refined = self.head(x, boxes)
            all_logits.append(logits)
            all_boxes.append(refined)
            boxes = refined.detach()  # each layer learns from its own box deltas alone
        return torch.stack(all_logits).unflatten(2, shape), torch.stack(all_boxes).unflatten(2, shape)


class DETR(TrainableModel):
    stages = ("preprocess", "backbone", "encoder", "decoder", "postprocess")
    # Parameters' former names, which files of weights may have (roibench.weights).
    renamed_parameters: ClassVar = {
        f"{head}.{old}": f"{head}.{new}"
        for head in ("proposals", "decoder.head")
        for old, new in (("logits", "class_embed"), ("moves", "bbox_embed"))
    }

    def __init__(self, classes: int, config: Config) -> None:
        super().__init__()
        self.config = config
        self.backbone = SmallResNet(config.widths, config.blocks)
        channels = self.backbone.channels[-config.levels :]
        self.project = nn.Conv2d(channels[-1], config.dim, 1)
        self.encoder = nn.ModuleList(
            EncoderLayer(config.dim, config.heads, config.hidden) for _ in range(config.encoder_layers)
        )
        self.pyramid = FeaturePyramid((*channels[:-1], config.dim), config.dim)
        self.level_embedding = nn.Parameter(torch.randn(config.levels, config.dim) * 0.1)
        self.proposals = Head(classes, config.dim, config.prior)
        self.decoder = Decoder(classes, config)
        self.token_logits = nn.Linear(config.dim, classes)
        nn.init.constant_(self.token_logits.bias, -math.log((1 - config.prior) / config.prior))

    @torch.inference_mode()
    def predict(self, inputs: Sequence[Input]) -> list[Prediction]:
        with stage("preprocess"):
            batch = self._batch(inputs)
        with stage("backbone"):
            features = self.backbone(batch.pixels)[-self.config.levels :]
        with stage("encoder"):
            memory = self._encode(features, batch)
        with stage("decoder"):
            boxes = self._best(memory, *self._propose(memory))
            logits, boxes = self.decoder(memory, boxes[:, None], self.config.layers_used)
        with stage("postprocess"):
            return self._detect(logits[-1, :, 0], boxes[-1, :, 0], batch)

    def losses(self, inputs: Sequence[Input], targets: Sequence[Target]) -> dict[str, Tensor]:
        """Class, L1 and GIoU of the last layer, the sum of the other layers' as `auxiliary`, and that of the tokens."""
        config = self.config
        batch = self._batch(inputs)
        objects = [_learned(one, size) for one, size in zip(batch_boxes(batch, targets), batch.sizes, strict=True)]
        memory = self._encode(self.backbone(batch.pixels)[-config.levels :], batch)
        proposals = self._propose(memory)
        best = self._best(memory, *proposals)
        shape = (config.denoising_groups, best.shape[1])
        others = torch.stack([near_objects(one.boxes, shape, config.noise) for one in objects])
        losses = config.criterion.losses(*self.decoder(memory, torch.cat([best[:, None], others], dim=1)), objects)
        proposed = config.criterion.losses(*(one[None, :, None] for one in proposals), objects)
        return losses | {"proposals": sum(proposed.values()), "tokens": self._token_loss(memory, objects)}

    def _batch(self, inputs: Sequence[Input]) -> ImageBatch:
        config = self.config
        return batch_images(inputs, self.device, config.short_side, config.long_side, self.backbone.strides[-1])

    def _encode(self, features: Sequence[Tensor], batch: ImageBatch) -> Memory:
        """The coarsest map goes through the encoder, then down the pyramid; all its levels become tokens."""
        locations, padding = zip(*(_locations(feature, batch) for feature in features), strict=True)
        positions = [sine_embedding(one[..., :2], self.config.dim // 2) for one in locations]
        x = self.project(features[-1])
        tokens = x.flatten(2).transpose(1, 2)
        bias = padding[-1][:, None, None] * PADDING_BIAS
        for layer in self.encoder:
            tokens = layer(tokens, positions[-1], bias)
        encoded = tokens.transpose(1, 2).unflatten(2, x.shape[2:])
        pyramid = self.pyramid([*features[:-1], encoded])
        tokens = [level.flatten(2).transpose(1, 2) for level in pyramid]
        tokens = [one + embedding for one, embedding in zip(tokens, self.level_embedding, strict=True)]
        return Memory(*(torch.cat(one, 1) for one in (tokens, positions, locations, padding)))

    def _propose(self, memory: Memory) -> tuple[Tensor, Tensor]:
        """Every token's class and box: logits [B, M, C], boxes [B, M, 4]. It starts from twice its location's sides."""
        return self.proposals(memory.tokens, memory.locations * memory.locations.new_tensor((1, 1, 2, 2)))

    def _best(self, memory: Memory, logits: Tensor, boxes: Tensor) -> Tensor:
        """The boxes that the decoder starts from, [B, Q, 4]: of the highest-scoring tokens, where they have a class."""
        scores = logits.amax(-1).masked_fill(memory.padding, -math.inf)
        best = scores.topk(min(self.config.queries, scores.shape[1])).indices
        return boxes.detach().take_along_dim(best[..., None], 1)

    def _token_loss(self, memory: Memory, objects: Sequence[BoxTargets]) -> Tensor:
        """Focal loss of every token, per token inside some object's box; its target is the smallest such object."""
        logits = self.token_logits(memory.tokens).float()
        class_targets = torch.zeros_like(logits)
        for image, (boxes, labels, _) in enumerate(objects):
            centre, sides = boxes.split(2, dim=-1)
            inside = ((memory.locations[image, :, None, :2] - centre).abs() <= sides / 2).all(-1)
            token = torch.where(inside.any(1))[0]
            if len(token):
                smallest = sides.prod(-1).expand_as(inside).masked_fill(~inside, math.inf)[token].argmin(1)
                class_targets[image, token, labels[smallest]] = 1
        criterion = self.config.criterion
        focal = ops.sigmoid_focal_loss(
            logits, class_targets, criterion.focal_alpha, criterion.focal_gamma, reduction="sum"
        )
        return focal / class_targets.sum().clamp(min=1)

    def _detect(self, logits: Tensor, boxes: Tensor, batch: ImageBatch) -> list[Prediction]:
        """The best pairs of query and class. Nothing is suppressed."""
        config = self.config
        predictions = []
        for index, size in enumerate(batch.sizes):
            scores = logits[index].sigmoid()
            query, label = torch.where(scores > config.score_threshold)
            score, order = scores[query, label].topk(min(config.max_detections, len(query)))
            box = batch.to_image(index, to_pixels(boxes[index, query[order]], size))
            predictions.append(Prediction(boxes=box.cpu(), scores=score.cpu(), labels=label[order].cpu()))
        return predictions


def near_objects(boxes: Tensor, shape: tuple[int, int], noise: float) -> Tensor:
    """Boxes for denoising queries to start from: [*shape, 4], of the objects [N, 4] of an image.

    Every object has one that is near it, more or less; half of the rest are near some object too, half are anywhere.
    Drawn on the host, so that one seed means one draw on every device.
    """
    anywhere = torch.cat([torch.rand(*shape, 2), 0.05 + 0.5 * torch.rand(*shape, 2)], dim=-1)
    if len(boxes) == 0:
        return anywhere.to(boxes.device)
    slots = torch.arange(shape[1]).expand(shape)
    objects = torch.where(slots < len(boxes), slots, torch.randint(len(boxes), shape))
    near, strength = boxes.cpu()[objects], noise * torch.rand(*shape, 1)
    shift, scale = (strength * (2 * torch.rand(*shape, 2) - 1) for _ in range(2))
    near = torch.cat([near[..., :2] + shift * near[..., 2:], near[..., 2:] * scale.exp()], dim=-1).clamp(0.01, 0.99)
    far = (slots >= len(boxes)) & (torch.rand(shape) < 0.5)
    return torch.where(far[..., None], anywhere, near).to(boxes.device)


def _learned(objects: BoxTargets, size: tuple[int, int]) -> BoxTargets:
    """What queries are to find, in the decoder's form; as in the paper's code, crowds are left out."""
    keep = slice(None) if objects.ignored is None else ~objects.ignored
    return BoxTargets(from_pixels(objects.boxes[keep], size), objects.labels[keep], None)


def _locations(feature: Tensor, batch: ImageBatch) -> tuple[Tensor, Tensor]:
    """Of a map's locations, row by row: boxes [B, h * w, 4] in units of each image, and which lie in the padding."""
    height, width = feature.shape[2:]
    stride = batch.pixels.shape[2] / height
    y, x = torch.meshgrid(
        torch.arange(height, device=feature.device), torch.arange(width, device=feature.device), indexing="ij"
    )
    corners = torch.stack([x, y], dim=-1).flatten(0, 1) * stride
    extent = torch.tensor([(w, h) for h, w in batch.sizes], device=feature.device)[:, None]
    centres = (corners + stride / 2) / extent
    return torch.cat([centres, (stride / extent).expand_as(centres)], dim=-1), (corners >= extent).any(-1)


def build(info: DatasetInfo, config: Mapping[str, Any]) -> DETR:
    return DETR(len(info.classes), Config(**config))
