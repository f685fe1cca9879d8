"""Attention and its layers, against torch.nn's."""

import math

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from roibench.nn.transformer import Attention, EncoderLayer, feed_forward, sine_embedding


def copy_attention(ours: Attention, reference: nn.MultiheadAttention) -> None:
    """Random weights, the same in both."""
    projections = (ours.query, ours.key, ours.value)
    for layer in (*projections, ours.output):
        nn.init.normal_(layer.weight, std=0.3)
        nn.init.normal_(layer.bias)
    with torch.no_grad():
        reference.in_proj_weight.copy_(torch.cat([layer.weight for layer in projections]))
        reference.in_proj_bias.copy_(torch.cat([layer.bias for layer in projections]))
    reference.out_proj.load_state_dict(ours.output.state_dict())


def copy_norm(ours: nn.LayerNorm, reference: nn.LayerNorm) -> None:
    nn.init.normal_(ours.weight, 1, 0.1)
    nn.init.normal_(ours.bias)
    reference.load_state_dict(ours.state_dict())


def test_attention_is_torchs():
    torch.manual_seed(0)
    ours, reference = Attention(24, 4), nn.MultiheadAttention(24, 4, batch_first=True)
    copy_attention(ours, reference)
    query, key, value = torch.randn(2, 5, 24), torch.randn(2, 7, 24), torch.randn(2, 7, 24)
    bias = torch.randn(2, 4, 5, 7)
    assert torch.allclose(ours(query, key, value), reference(query, key, value)[0], atol=1e-5)
    theirs = reference(query, key, value, attn_mask=bias.flatten(0, 1))[0]
    assert torch.allclose(ours(query, key, value, bias), theirs, atol=1e-5)


def test_attention_weights_are_torchs():
    torch.manual_seed(0)
    ours, reference = Attention(24, 4), nn.MultiheadAttention(24, 4, batch_first=True)
    copy_attention(ours, reference)
    query, key = torch.randn(2, 5, 24), torch.randn(2, 7, 24)
    theirs = reference(query, key, key, average_attn_weights=False)[1]
    assert torch.allclose(ours.weights(query, key), theirs, atol=1e-6)


def test_attentions_flops_are_counted():
    """Four projections and two products; a multiply-add is two."""
    attention = Attention(24, 4)
    query, key = torch.randn(2, 5, 24), torch.randn(2, 7, 24)
    with FlopCounterMode(display=False) as counter:
        attention(query, key, key)
    projections = 2 * 24 * 24 * 2 * (5 + 7 + 7 + 5)
    assert counter.get_total_flops() == projections + 2 * 2 * (2 * 5 * 7 * 24)


def test_a_hidden_key_changes_nothing():
    torch.manual_seed(0)
    attention = Attention(8, 2)
    query, key = torch.randn(1, 3, 8), torch.randn(1, 4, 8)
    bias = torch.tensor([0.0, 0.0, 0.0, -math.inf]).expand(1, 1, 3, 4)
    whole, changed = key.clone(), key.clone()
    changed[:, 3] = 100
    assert torch.equal(attention(query, whole, whole, bias), attention(query, changed, changed, bias))


def test_the_encoder_layer_is_torchs():
    torch.manual_seed(0)
    ours = EncoderLayer(16, 4, 32)
    reference = nn.TransformerEncoderLayer(16, 4, 32, dropout=0.0, batch_first=True, norm_first=True).eval()
    copy_attention(ours.attention, reference.self_attn)
    copy_norm(ours.attention_norm, reference.norm1)
    copy_norm(ours.feed_forward_norm, reference.norm2)
    reference.linear1.load_state_dict(ours.feed_forward[0].state_dict())
    reference.linear2.load_state_dict(ours.feed_forward[2].state_dict())
    x = torch.randn(2, 6, 16)
    assert torch.allclose(ours(x, torch.zeros_like(x)), reference(x), atol=1e-5)
    assert torch.allclose(ours(x), reference(x), atol=1e-5)


def test_positions_reach_queries_and_keys_but_not_values():
    torch.manual_seed(0)
    layer = EncoderLayer(16, 4, 32)
    x, position = torch.randn(1, 6, 16), torch.randn(1, 6, 16)
    assert not torch.allclose(layer(x, position), layer(x, torch.zeros_like(x)), atol=1e-3)
    # With a single token to attend to, attention returns its value, wherever it stands.
    assert torch.allclose(layer(x[:, :1], position[:, :1]), layer(x[:, :1], 0 * position[:, :1]), atol=1e-6)


def test_the_feed_forward_network_is_two_layers():
    network = feed_forward(4, 8)
    x = torch.randn(3, 4)
    assert torch.equal(network(x), network[2](torch.relu(network[0](x))))


def test_sine_embeddings_tell_places_apart():
    values = torch.linspace(0, 1, 33)[:, None].expand(-1, 2)
    embedded = sine_embedding(values, 16)
    assert embedded.shape == (33, 32)
    distance = torch.cdist(embedded, embedded) + 10 * torch.eye(33)
    assert distance.min() > 0.1
    assert embedded.abs().max() <= 1


def test_sine_embeddings_start_at_the_unit_wave():
    value = torch.tensor([0.3])
    first, last = sine_embedding(value, 2), sine_embedding(value, 8)
    assert torch.allclose(first, torch.tensor([math.sin(0.6 * math.pi), math.cos(0.6 * math.pi)]), atol=1e-6)
    assert torch.allclose(last[3], torch.tensor(math.sin(0.6 * math.pi / 20)), atol=1e-6)
