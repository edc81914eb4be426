"""AdamW, Muon, RMSprop and Jukebox's Adam: which weights they move how, and their state by name."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from tests.stack.parts import prior
from tests.train import small
from zoo.architecture import build_network
from zoo.errors import ZooError
from zoo.recurrent import RecurrentConfig
from zoo.train.optimizer import (
    AdamW,
    JukeboxAdam,
    Muon,
    Optimizer,
    OptimizerSettings,
    RmsProp,
    hidden_matrices,
    restrict,
)


def gradients(network: nn.Module, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    for parameter in network.parameters():
        parameter.grad = torch.randn(parameter.shape, generator=generator)


def test_adamw_is_the_textbook_update_with_decay_on_matrices_only() -> None:
    network = small.network()
    before = {name: parameter.detach().clone() for name, parameter in network.named_parameters()}
    optimizer = AdamW(betas=(0.9, 0.99), weight_decay=0.5, eps=1e-8).build(network)
    gradients(network, 0)
    optimizer.step(0.01)
    for name, parameter in network.named_parameters():
        assert parameter.grad is not None
        decayed = before[name] * (1 - 0.01 * 0.5) if parameter.ndim == 2 else before[name]
        # After one step both running means are the gradient's own, so that the update is its sign.
        torch.testing.assert_close(parameter.detach(), decayed - 0.01 * parameter.grad.sign(), atol=1e-6, rtol=1e-5)


def test_muon_moves_hidden_matrices_orthogonally_and_the_rest_as_adamw() -> None:
    network, twin = small.network(), small.network()
    gradients(network, 0)
    gradients(twin, 0)
    before = {name: parameter.detach().clone() for name, parameter in network.named_parameters()}
    Muon(weight_decay=0.0).build(network).step(0.01)
    AdamW(weight_decay=0.0).build(twin).step(0.01)
    hidden = hidden_matrices(network)
    adamw = dict(twin.named_parameters())
    for name, parameter in network.named_parameters():
        if name not in hidden:
            assert torch.equal(parameter, adamw[name])
            continue
        values = torch.linalg.svdvals((before[name] - parameter).detach()) / (0.01 * 0.2 * max(parameter.shape) ** 0.5)
        assert 0.5 < values.min() <= values.max() < 1.3  # five Newton-Schulz iterations bring all of them near 1
    assert len(hidden) == 4


def test_rms_prop_divides_by_the_root_of_the_running_square() -> None:
    network = small.network()
    before = {name: parameter.detach().clone() for name, parameter in network.named_parameters()}
    gradients(network, 0)
    RmsProp(decay=0.9, eps=1e-7).build(network).step(0.01)
    for name, parameter in network.named_parameters():
        assert parameter.grad is not None
        root = (0.1 * parameter.grad**2).sqrt()
        torch.testing.assert_close(parameter.detach(), before[name] - 0.01 * parameter.grad / (root + 1e-7))


def test_jukebox_adam_decays_everything_at_the_corrected_rate_and_corrects_no_square() -> None:
    network = small.network()
    names = [name for name, _ in network.named_parameters()]
    weights = {name: parameter.detach().double() for name, parameter in network.named_parameters()}
    mean, square = ({name: torch.zeros_like(weights[name]) for name in names} for _ in range(2))
    optimizer = JukeboxAdam(betas=(0.9, 0.925), weight_decay=0.3, eps=1e-2).build(network)
    for step in range(1, 5):
        gradients(network, step)
        rate = 0.02 * (1 - 0.925**step) ** 0.5 / (1 - 0.9**step)
        for name, parameter in network.named_parameters():
            assert parameter.grad is not None
            mean[name] = 0.9 * mean[name] + 0.1 * parameter.grad
            square[name] = 0.925 * square[name] + 0.075 * parameter.grad**2
            update = mean[name] / (square[name].sqrt() + 1e-2) + 0.3 * weights[name]
            weights[name] = weights[name] - rate * update
        optimizer.step(0.02)
    for name, parameter in network.named_parameters():
        torch.testing.assert_close(parameter.detach().double(), weights[name], atol=1e-6, rtol=1e-5)


def test_hidden_matrices_leave_out_embeddings_and_the_output() -> None:
    torch.manual_seed(0)
    config = RecurrentConfig(vocabulary=7, context=5, embedding_width=6, width=8, depth=2)
    names = hidden_matrices(build_network(config))
    assert len(names) == 4
    assert all("layers" in name for name in names)
    assert hidden_matrices(small.network()) == {
        f"blocks.0.{part}.weight"
        for part in ("attention.input", "attention.output", "feedforward.input", "feedforward.output")
    }


def test_hidden_matrices_leave_out_the_outputs_of_parts() -> None:
    top = prior(top=True)
    assert top.transformer.output is not None
    names = hidden_matrices(top)
    assert "transformer.output.weight" not in names
    assert "transformer.blocks.0.attention.output.weight" in names
    assert all(name.startswith("transformer.blocks.") for name in names)


@pytest.mark.parametrize("settings", [AdamW(), Muon(), RmsProp(), JukeboxAdam(weight_decay=0.1)])
def test_state_goes_over_to_another_optimizer_exactly(settings: OptimizerSettings) -> None:
    network, twin = small.network(), small.network(1)
    optimizer = settings.build(network)
    for seed in range(3):
        gradients(network, seed)
        optimizer.step(0.01)
    other = settings.build(twin)
    other.load({name: tensor.clone() for name, tensor in optimizer.state().items()})
    twin.load_state_dict(network.state_dict())
    for seed in (7, 8):
        gradients(network, seed)
        gradients(twin, seed)
        optimizer.step(0.02)
        other.step(0.02)
    assert all(torch.equal(a, b) for a, b in zip(network.parameters(), twin.parameters(), strict=True))


def test_foreign_state_and_hopeless_networks_are_refused() -> None:
    optimizer = AdamW().build(small.network())
    with pytest.raises(ZooError, match="another network or optimizer"):
        optimizer.load({"nothing/exp_avg": torch.zeros(1)})
    with pytest.raises(ZooError, match="no hidden matrices"):
        Muon().build(nn.Embedding(3, 4))
    with pytest.raises(ZooError, match="no trainable"):
        AdamW().build(small.network().requires_grad_(False))
    with pytest.raises(ZooError, match="betas"):
        AdamW(betas=(0.9, 1.0))
    assert isinstance(optimizer, Optimizer)


def test_parameters_without_a_gradient_are_left_alone() -> None:
    network = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2))
    optimizer = AdamW().build(network)
    network[0](torch.ones(1, 2)).sum().backward()
    before = network[1].weight.detach().clone()
    optimizer.step(0.1)
    assert torch.equal(network[1].weight, before)
    again = AdamW().build(network)
    again.load(optimizer.state())
    assert set(again.state()) == set(optimizer.state())


def test_only_the_parts_that_are_named_learn() -> None:
    network = small.network()
    restrict(network, ["blocks.0.attention", "embedding"])
    learn = {name for name, parameter in network.named_parameters() if parameter.requires_grad}
    assert learn
    assert all(name.startswith(("blocks.0.attention.", "embedding.")) for name in learn)
    kept = {name: parameter.detach().clone() for name, parameter in network.named_parameters() if name not in learn}
    optimizer = AdamW().build(network)
    gradients(network, 0)
    optimizer.step(0.1)
    assert all(torch.equal(dict(network.named_parameters())[name], value) for name, value in kept.items())
    with pytest.raises(ZooError, match=r"no part 'block\.0'; did you mean 'blocks\.0'"):
        restrict(network, ["block.0"])
