"""Attention (Vaswani et al. 2017, arXiv 1706.03762) and what surrounds it."""

import math

import torch
from torch import Tensor, nn

PADDING_BIAS = -1e9  # what attention adds to the products with keys that lie in the padding


def sine_embedding(values: Tensor, dim: int, temperature: float = 20.0) -> Tensor:
    """Numbers in [0, 1] as sines and cosines of growing wave lengths: [..., n] -> [..., n * dim], `dim` even.

    The shortest wave is the unit interval, the longest `temperature` of them (Liu et al. 2022, arXiv 2201.12329, who
    found 20 to suit boxes better than the 10,000 of language).
    """
    frequency = temperature ** -torch.linspace(0, 1, dim // 2, device=values.device)
    angle = values[..., None].float() * 2 * math.pi * frequency
    return torch.cat([angle.sin(), angle.cos()], dim=-1).flatten(-2)


class Attention(nn.Module):
    """Multi-head attention; torch.nn.MultiheadAttention with its projections as four layers of their own."""

    def __init__(self, dim: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.query, self.key, self.value, self.output = (nn.Linear(dim, dim) for _ in range(4))
        for layer in (self.query, self.key, self.value, self.output):
            nn.init.xavier_uniform_(layer.weight)
            nn.init.zeros_(layer.bias)

    def forward(self, query: Tensor, key: Tensor, value: Tensor, bias: Tensor | None = None) -> Tensor:
        """query [B, N, dim], key and value [B, M, dim] -> [B, N, dim].

        bias: added to the scaled products, of a shape that broadcasts to [B, heads, N, M]; -inf masks a key.
        """
        weights = self.weights(query, key, bias)
        return self.output((weights @ self._heads(self.value(value))).transpose(1, 2).flatten(2))

    def weights(self, query: Tensor, key: Tensor, bias: Tensor | None = None) -> Tensor:
        """How much each query attends to each key: [B, heads, N, M], rows of sum 1. Arguments as in `forward`."""
        q, k = self._heads(self.query(query)), self._heads(self.key(key))
        # Written out: for the few hundred tokens of a detector, torch's fused kernels take twice as long on the CPU.
        scores = q @ k.transpose(-1, -2) * q.shape[-1] ** -0.5
        return (scores if bias is None else scores + bias).softmax(-1)

    def _heads(self, x: Tensor) -> Tensor:
        """[B, N, dim] -> [B, heads, N, dim / heads]."""
        return x.unflatten(-1, (self.heads, -1)).transpose(1, 2)


def feed_forward(dim: int, hidden: int, activation: type[nn.Module] = nn.ReLU) -> nn.Sequential:
    return nn.Sequential(nn.Linear(dim, hidden), activation(), nn.Linear(hidden, dim))


class EncoderLayer(nn.Module):
    """Self-attention and a feed-forward network, each normalised before and added to its input."""

    def __init__(self, dim: int, heads: int, hidden: int, activation: type[nn.Module] = nn.ReLU) -> None:
        super().__init__()
        self.attention_norm = nn.LayerNorm(dim)
        self.attention = Attention(dim, heads)
        self.feed_forward_norm = nn.LayerNorm(dim)
        self.feed_forward = feed_forward(dim, hidden, activation)

    def forward(self, x: Tensor, position: Tensor | None = None, bias: Tensor | None = None) -> Tensor:
        """Tokens, and their positions' embeddings unless they hold them already, [B, N, dim] -> [B, N, dim].

        Values carry no position. bias: as in Attention.
        """
        value = self.attention_norm(x)
        place = value if position is None else value + position
        x = x + self.attention(place, place, value, bias)
        return x + self.feed_forward(self.feed_forward_norm(x))
