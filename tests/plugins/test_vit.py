"""ViT through the doors that everybody uses; its layers, and DeiT's, against torchvision's."""

import pytest
import torch
from torch import nn
from torchvision.models.vision_transformer import EncoderBlock

from roibench.assemble import build_model
from roibench.dataset import DatasetInfo
from roibench.nn.transformer import EncoderLayer
from roibench.registry import installed
from roibench.tasks.classification import ClassifierContract

INFO = DatasetInfo("scenes", "val", ("circle", "square", "triangle"), image_size=(128, 128))


class TestViT(ClassifierContract):
    model = "vit"


def untrained(name="vit", **overrides):
    torch.manual_seed(0)
    return build_model(installed().models[name], INFO, {"patch_size": 8} | overrides).eval()


def reference_of(layer: EncoderLayer) -> EncoderBlock:
    """torchvision's block with the layer's weights, which are drawn anew, all of them."""
    dim, hidden = layer.attention.query.in_features, layer.feed_forward[0].out_features
    for parameter in layer.parameters():
        nn.init.normal_(parameter, std=0.3)
    reference = EncoderBlock(layer.attention.heads, dim, hidden, 0.0, 0.0, norm_layer=nn.LayerNorm).eval()
    projections = (layer.attention.query, layer.attention.key, layer.attention.value)
    with torch.no_grad():
        reference.self_attention.in_proj_weight.copy_(torch.cat([one.weight for one in projections]))
        reference.self_attention.in_proj_bias.copy_(torch.cat([one.bias for one in projections]))
    for mine, theirs in (
        (layer.attention_norm, reference.ln_1),
        (layer.attention.output, reference.self_attention.out_proj),
        (layer.feed_forward_norm, reference.ln_2),
        (layer.feed_forward[0], reference.mlp[0]),
        (layer.feed_forward[2], reference.mlp[3]),
    ):
        theirs.load_state_dict(mine.state_dict())
    return reference


@torch.no_grad()
@pytest.mark.parametrize("name", ["vit", "deit"])
def test_the_encoder_is_torchvisions(name):
    model = untrained(name)
    references = nn.Sequential(*map(reference_of, model.encoder))
    nn.init.normal_(model.norm.weight)
    nn.init.normal_(model.norm.bias)
    batch = model.batch(ClassifierContract.noise((128, 128), (128, 128)))
    tokens = model.tokens(batch.pixels)
    assert torch.allclose(model.encode(tokens, model.padding_bias(batch)), model.norm(references(tokens)), atol=1e-3)


@torch.no_grad()
def test_a_token_is_a_linear_function_of_one_patch():
    model = untrained()
    pixels = torch.randn(2, 3, 128, 128)
    before = model.tokens(pixels)
    assert before.shape == (2, 1 + 16 * 16, 128)
    assert torch.equal(before[:, 0], model.class_token.expand(2, -1))

    changed = pixels.clone()
    changed[:, :, 24:32, 40:48] += torch.randn(3, 8, 8)
    differs = (model.tokens(changed) != before).any(2)
    assert differs.nonzero().tolist() == [[image, 1 + 3 * 16 + 5] for image in (0, 1)]

    weights, patches = model.patches.weight.flatten(1), pixels.unfold(2, 8, 8).unfold(3, 8, 8)  # [2, 3, 16, 16, 8, 8]
    by_hand = torch.einsum("dk,bhwk->bhwd", weights, patches.permute(0, 2, 3, 1, 4, 5).flatten(3)).flatten(1, 2)
    learned = model.patches.bias + model.positions.flatten(1).T
    assert torch.allclose(before[:, 1:], by_hand + learned, atol=1e-5)


@torch.no_grad()
@pytest.mark.parametrize("name", ["vit", "deit"])
def test_padding_is_not_looked_at(name):
    model = untrained(name)
    batch = model.batch(ClassifierContract.noise((128, 60), (128, 128)))
    tokens, bias = model.tokens(batch.pixels), model.padding_bias(batch)
    changed = tokens.clone()
    padding = batch.padding(model.config.patch_size).flatten(1)
    assert padding[0].sum() == 16 * 8 and not padding[1].any()
    changed[:, model.leading :][padding] += 100
    before, after = (model.encode(one, bias)[:, : model.leading] for one in (tokens, changed))
    assert torch.equal(before, after)


@torch.no_grad()
def test_rollout_is_the_product_of_the_layers():
    """Against sums over paths, written out: two layers."""
    model = untrained(image_size=32, dim=8, heads=2, hidden=8, layers=2)
    tokens = model.tokens(model.batch(ClassifierContract.noise((32, 32))).pixels)
    matrices = []
    for layer in model.encoder:
        nn.init.normal_(layer.attention.query.weight)
        normed = layer.attention_norm(tokens)
        weights = layer.attention.weights(normed, normed)[0].mean(0)
        matrices.append(0.5 * weights + 0.5 * torch.eye(len(weights)))
        tokens = layer(tokens)
    first, second = (matrix.tolist() for matrix in matrices)
    count = len(first)
    flow = [sum(second[0][middle] * first[middle][source] for middle in range(count)) for source in range(1, count)]
    [attention] = model.attention_maps(ClassifierContract.noise((32, 32)))
    expected = nn.functional.interpolate(torch.tensor(flow).view(1, 1, 4, 4), (32, 32), mode="bilinear")[0, 0]
    assert torch.allclose(attention, expected, atol=1e-6)
    assert attention.std() > 0.01 * attention.mean()


def test_artefacts_are_pictures_of_every_image_and_leave_no_trace():
    model = untrained()
    inputs = ClassifierContract.noise((128, 128), (3, 200), (1, 1))
    before = [one.class_scores for one in model.predict(inputs)]
    pictures = model.artefacts(inputs)
    assert [tuple(one.shape) for one in pictures.values()] == [(3, 128, 256), (3, 3, 400), (3, 1, 2)]
    for one, picture in zip(inputs, pictures.values(), strict=True):
        assert picture.dtype == torch.uint8
        assert torch.equal(picture[:, :, : one.image.shape[2]], one.image)
        assert (picture[:, :, one.image.shape[2] :] <= one.image).all()
    assert all(torch.equal(a, b.class_scores) for a, b in zip(before, model.predict(inputs), strict=True))
