"""The recurrent baseline: counts, ragged rows, caches and conditioning."""

from __future__ import annotations

import itertools

import pytest
import torch

from zoo import settings
from zoo.errors import ZooError
from zoo.network import Conditioning
from zoo.recurrent import RecurrentConfig, RecurrentNetwork

CELLS = ["lstm", "gru", "rnn"]


def network(cell: str = "lstm", depth: int = 2) -> RecurrentNetwork:
    torch.manual_seed(0)
    config = settings.build(
        RecurrentConfig,
        {"vocabulary": 11, "context": 8, "embedding_width": 6, "width": 7, "depth": depth, "cell": cell},
    )
    return RecurrentNetwork(config)


def test_fables_model_has_pytorchs_count_which_is_one_bias_more_than_keras() -> None:
    config = RecurrentConfig(vocabulary=4169, context=20, embedding_width=100, width=256)
    with torch.device("meta"):
        count = sum(parameter.numel() for parameter in RecurrentNetwork(config).parameters())
    assert count == 1_854_925
    assert count - 4 * 256 == 1_853_901  # the notebook's Keras summary


def test_config_round_trips_under_its_name() -> None:
    config = RecurrentConfig(vocabulary=5, context=4, embedding_width=3, width=2, cell="gru")
    mapping = settings.to_mapping(config)
    assert mapping["type"] == "recurrent"
    assert settings.build(RecurrentConfig, mapping) == config


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"width": 0}, "width: must be at least 1, got 0"),
        ({"dropout": 1.0}, r"dropout: must lie in \[0, 1\), got 1.0"),
        ({"cell": "lstn"}, "did you mean 'lstm'"),
        ({"output_vocabulary": -1}, "output_vocabulary: must be at least 1"),
    ],
)
def test_config_refuses(change: dict[str, object], message: str) -> None:
    sizes = {"vocabulary": 5, "context": 4, "embedding_width": 3, "width": 2}
    with pytest.raises(ZooError, match=message):
        settings.build(RecurrentConfig, {**sizes, **change})


@pytest.mark.parametrize("cell", CELLS)
def test_matches_a_stacked_torch_layer(cell: str) -> None:
    net = network(cell, depth=2)
    stacked = {"lstm": torch.nn.LSTM, "gru": torch.nn.GRU, "rnn": torch.nn.RNN}[cell](6, 7, 2, batch_first=True)
    state = {}
    for index, layer in enumerate(net.layers):
        state |= {name.replace("l0", f"l{index}"): value for name, value in layer.state_dict().items()}
    stacked.load_state_dict(state)
    ids = torch.randint(0, 11, (3, 5))
    torch.testing.assert_close(net.hidden(ids), stacked(net.embedding(ids))[0])


@pytest.mark.parametrize("cell", CELLS)
def test_cached_steps_equal_the_full_forward(cell: str) -> None:
    net = network(cell)
    ids = torch.randint(0, 11, (2, 12))  # longer than the context: the state has no limit
    full = net(ids)
    for cuts in itertools.combinations(range(1, 12), 2):
        cache = net.new_cache(2)
        parts = [net(ids[:, a:b], cache=cache) for a, b in itertools.pairwise([0, *cuts, 12])]
        torch.testing.assert_close(torch.cat(parts, 1), full, atol=1e-6, rtol=1e-5)
    assert cache.lengths.tolist() == [12, 12]


@pytest.mark.parametrize("cell", CELLS)
def test_ragged_rows_leave_the_state_at_their_own_length(cell: str) -> None:
    net = network(cell)
    ids = torch.randint(0, 11, (4, 6))
    lengths = torch.tensor([6, 2, 0, 4])
    cache = net.new_cache(4)
    logits = net(ids, lengths=lengths, cache=cache)
    assert cache.lengths.tolist() == [6, 2, 0, 4]
    following = net(ids[:, :1], cache=cache)
    for row, length in enumerate(lengths.tolist()):
        alone = net.new_cache(1)
        if length:
            torch.testing.assert_close(logits[row, :length], net(ids[row : row + 1, :length], cache=alone)[0])
        torch.testing.assert_close(following[row], net(ids[row : row + 1, :1], cache=alone)[0])


def test_select_copies_and_assign_overwrites_rows() -> None:
    net = network()
    ids = torch.randint(0, 11, (3, 4))
    cache = net.new_cache(3)
    net(ids, lengths=torch.tensor([4, 3, 2]), cache=cache)
    chosen = cache.select(torch.tensor([2, 0, 2]))
    assert chosen.lengths.tolist() == [2, 4, 2]
    before = cache.states.clone()
    net(ids, cache=chosen)
    assert torch.equal(cache.states, before)
    cache.assign(torch.tensor([1]), chosen.select(torch.tensor([1])))
    assert cache.lengths.tolist() == [4, 8, 2]
    assert torch.equal(cache.states[:, :, 1], chosen.states[:, :, 1])
    assert torch.equal(cache.states[:, :, 0], before[:, :, 0])


def test_hidden_states_are_the_embedding_and_every_layer() -> None:
    net = network(depth=3)
    ids = torch.randint(0, 11, (2, 5))
    states = net.hidden_states(ids)
    assert [tuple(state.shape) for state in states] == [(2, 5, 6), (2, 5, 7), (2, 5, 7), (2, 5, 7)]
    assert torch.equal(states[0], net.embedding(ids))
    torch.testing.assert_close(net.head(states[-1]), net(ids))


def test_conditioning_replaces_the_start_once_and_adds_everywhere() -> None:
    net = network()
    ids = torch.randint(0, 11, (2, 5))
    start, added = torch.randn(2, 6), torch.randn(2, 5, 6)
    full = net(ids, conditioning=Conditioning(start=start, added=added))
    embedded = net.hidden_states(ids, conditioning=Conditioning(start=start, added=added))[0]
    torch.testing.assert_close(embedded[:, 0], start + added[:, 0])
    cache = net.new_cache(2)
    parts = [
        net(ids[:, a:b], conditioning=Conditioning(start=start, added=added[:, a:b]), cache=cache)
        for a, b in [(0, 2), (2, 3), (3, 5)]
    ]
    torch.testing.assert_close(torch.cat(parts, 1), full)
    with pytest.raises(ZooError, match="takes no memory"):
        net(ids, conditioning=Conditioning(memory=torch.zeros(2, 3, 6)))


def test_starts_near_the_uniform_loss_and_with_an_open_forget_gate() -> None:
    net = network(depth=1)
    ids = torch.randint(0, 11, (4, 8))
    loss = torch.nn.functional.cross_entropy(net(ids).flatten(0, 1), ids.flatten())
    assert abs(loss.item() - torch.log(torch.tensor(11.0)).item()) < 0.1
    assert net.layers[0].bias_ih_l0.tolist() == [0.0] * 7 + [1.0] * 7 + [0.0] * 14
    assert net.layers[0].bias_hh_l0.abs().max() == 0


def test_gradients_reach_every_parameter() -> None:
    net = network("gru")
    net(torch.randint(0, 11, (3, 6)), lengths=torch.tensor([6, 3, 1])).logsumexp(-1).mean().backward()
    assert all(p.grad is not None and torch.isfinite(p.grad).all() for p in net.parameters())
