"""The GAN: pictures by name, two networks in one pass backward, and what both learn."""

import dataclasses

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from roibench.dataset import DatasetInfo
from roibench.plugins.generation.gan import GAN, Config, Game, shrunk
from roibench.registry import installed
from roibench.structures import Input, Sample, Target
from roibench.tasks.generation import GenerationContract
from roibench.train import Trainer

SMALL = Config(latent=8, widths=(16, 8))
CPU = torch.device("cpu")


class TestGAN(GenerationContract):
    model = "gan"


class Red:
    """Images of 16 x 16 pixels that are red, more or less."""

    info = DatasetInfo("red", "train", (), image_size=(16, 16))
    hash, unbounded = "0" * 64, False

    def __len__(self):
        return 64

    def __getitem__(self, index):
        image = torch.zeros(3, 16, 16, dtype=torch.uint8)
        image[0] = 255 - index
        return Sample(Input(f"red-{index}", image), Target())


def game(seed=0):
    torch.manual_seed(seed)
    return Game(GAN(SMALL)).train()


def inputs(count=8):
    return [Red()[index].input for index in range(count)]


def gradients(loss, network):
    return torch.autograd.grad(loss, list(network.parameters()))


def test_one_pass_backward_gives_each_network_the_gradient_of_its_own_loss():
    together = game()
    torch.manual_seed(1)
    losses = together.losses(inputs(), [])
    sum(losses.values()).backward()

    apart = game()
    torch.manual_seed(1)
    fake = apart.generator(torch.randn(8, SMALL.latent))
    real = torch.stack([shrunk(one, 16) for one in inputs()])
    generator = F.softplus(-apart.critic(fake)).mean()
    slopes = torch.func.vmap(torch.func.grad(lambda x: apart.critic(x[None])[0]))(real[:2])
    r1 = SMALL.r1 / 2 * slopes.square().sum((1, 2, 3)).mean()
    critic = F.softplus(-apart.critic(real)).mean() + F.softplus(apart.critic(fake.detach())).mean()
    for network, loss, found in (
        (apart.generator, generator, together.generator),
        (apart.critic, critic + r1, together.critic),
    ):
        for own, parameter in zip(gradients(loss, network), found.parameters(), strict=True):
            assert torch.allclose(parameter.grad, own, rtol=1e-3, atol=1e-6)
    for name, loss in (("generator", generator), ("critic", critic), ("r1", r1)):
        assert torch.allclose(losses[name], loss, rtol=1e-4)


def test_a_score_far_below_zero_makes_no_gradient_infinite():
    one = game()
    with torch.no_grad():
        one.critic[-2].bias -= 1000
    sum(one.losses(inputs(), []).values()).backward()
    assert all(torch.isfinite(parameter.grad).all() for parameter in one.parameters())


@pytest.mark.parametrize("learns", ["critic", "generator"])
def test_each_network_s_loss_falls_while_the_other_waits(learns):
    one = game()
    optimizer = torch.optim.RMSprop(getattr(one, learns).parameters(), lr=1e-3)
    seen = []
    for _ in range(25):
        torch.manual_seed(1)
        losses = one.losses(inputs(), [])
        optimizer.zero_grad()
        sum(losses.values()).backward()
        optimizer.step()
        seen.append(float(losses[learns].detach()))
    assert seen[-1] < 0.7 * seen[0]


def trained(folder, seed=0, epochs=10):
    torch.manual_seed(seed)
    model = GAN(SMALL)
    recipe = installed().models["gan"].recipe
    recipe = dataclasses.replace(recipe, epochs=epochs, warmup_steps=10, learning_rate=2e-3, average=0.9, seed=seed)
    model.fit(Red(), Trainer(recipe, folder, CPU, "float32", workers=0))
    return model


def test_it_learns_the_colour_of_what_it_sees(tmp_path):
    model = trained(tmp_path)
    assert not model.training
    red, *others = model.pictures(model.latents([str(index) for index in range(32)])).float().mean((0, 2, 3)).tolist()
    assert red > 150 and max(others) < 90


def test_one_seed_trains_the_same_bits_and_the_generator_alone_is_kept(tmp_path):
    one, same, other = (trained(tmp_path / str(run), seed, epochs=2) for run, seed in enumerate((0, 0, 1)))
    state = one.state_dict()
    assert all(torch.equal(value, same.state_dict()[name]) for name, value in state.items())
    assert not torch.equal(state["last.weight"], other.state_dict()["last.weight"])
    assert not any("critic" in name for name in state)


def test_its_weights_are_small_enough_to_be_shipped():
    numbers = sum(value.numel() for value in GAN(Config()).state_dict().values())
    assert 2 * numbers < 3 * 2**20


def test_latents_are_normal_and_a_name_s_own():
    model = GAN(Config())
    some = model.latents([str(index) for index in range(500)])
    assert some.shape == (500, 64) and abs(some.mean()) < 0.03 and abs(some.std() - 1) < 0.03
    assert torch.equal(model.latents(["7", "x"])[0], some[7]) and len(some.unique(dim=0)) == 500


def test_every_layer_is_our_operator_and_doubles_the_side():
    model = GAN(Config()).eval()
    sides = []
    for layer in model.layers:
        layer.register_forward_hook(lambda _layer, _args, output: sides.append(tuple(output.shape[1:])))
    assert model.pictures(model.latents(["one"])).shape == (1, 3, 64, 64)
    assert sides == [(256, 4, 4), (128, 8, 8), (96, 16, 16), (48, 32, 32)]
    assert not any(type(module) is nn.ConvTranspose2d for module in model.modules())


def test_it_learns_from_the_middle_square_of_an_image():
    image = torch.zeros(3, 8, 20, dtype=torch.uint8)
    image[:, :, 6:14] = 255
    assert torch.allclose(shrunk(Input("wide", image), 4), torch.ones(3, 4, 4))
    with pytest.raises(ValueError, match="input 'blank': no image; a GAN learns from images"):
        shrunk(Input("blank", None), 4)
