"""Foreign tensors into weights and back: every kind of link, whole or in pieces."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from zoo.errors import ZooError
from zoo.weights import links
from zoo.weights.links import Link, Renamed, own, read_into, same, stacked, transposed, viewed, written
from zoo.weights.tensors import SafetensorsSource, named_weights, write_tensors


class Parts(nn.Module):
    """A network whose weights are linked in every way there is."""

    def __init__(self, width: int, rows: int) -> None:
        super().__init__()
        self.plain = nn.Linear(width, rows)
        self.turned = nn.Linear(width, rows, bias=False)
        self.packed = nn.Linear(width, 3 * rows, bias=False)
        self.scale = nn.Parameter(torch.randn(()))


LINKS = [
    same("plain.weight", "a"),
    viewed("plain.bias", "b", lambda weight: weight[None]),
    transposed("turned.weight", "c"),
    stacked("packed.weight", "q", "k", "v"),
    same("scale", "s"),
]


def foreign(network: Parts) -> dict[str, Tensor]:
    """Return the tensors by hand."""
    q, k, v = network.packed.weight.detach().chunk(3)
    return {
        "a": network.plain.weight.detach(),
        "b": network.plain.bias.detach().reshape(1, -1),
        "c": network.turned.weight.detach().T,
        "q": q,
        "k": k,
        "v": v,
        "s": network.scale.detach(),
    }


@given(width=st.integers(1, 9), rows=st.integers(1, 9), piece=st.sampled_from([1, 16, 100, 1 << 20]))
def test_what_is_written_is_what_is_read(
    tmp_path_factory: pytest.TempPathFactory, width: int, rows: int, piece: int
) -> None:
    network, other = Parts(width, rows), Parts(width, rows)
    tensors = dict(written(network, LINKS))
    assert tensors.keys() == foreign(network).keys()
    assert all(torch.equal(tensors[name], tensor) for name, tensor in foreign(network).items())
    path = tmp_path_factory.mktemp("links") / "x.safetensors"
    write_tensors(path, tensors)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(links, "PIECE", piece)
        read_into(other, LINKS, SafetensorsSource([path]))
    for name, weight in named_weights(network).items():
        assert torch.equal(named_weights(other)[name], weight)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    torch.manual_seed(0)
    write_tensors(tmp_path / "x.safetensors", foreign(Parts(4, 6)))
    return tmp_path / "x.safetensors"


def test_a_network_on_the_meta_device_gets_memory_once_all_is_known_to_fit(path: Path) -> None:
    with torch.device("meta"):
        network = Parts(4, 6).to(torch.bfloat16)
        network.again = network.turned  # shared
    with pytest.raises(ZooError, match="missing 'z'"):
        read_into(network, [*LINKS[:-1], same("scale", "z")], SafetensorsSource([path]), device=torch.device("cpu"))
    assert network.scale.is_meta
    read_into(network, LINKS, SafetensorsSource([path]), device=torch.device("cpu"))
    assert network.turned.weight is network.again.weight  # type: ignore[union-attr]
    assert network.turned.weight.dtype == torch.bfloat16
    assert network.turned.weight.requires_grad
    stored = SafetensorsSource([path]).read("c")
    assert torch.equal(network.turned.weight, stored.T.to(torch.bfloat16))


def test_problems_are_listed_and_nothing_is_read(path: Path) -> None:
    network = Parts(4, 7)
    before = {name: weight.clone() for name, weight in named_weights(network).items()}
    wrong = [same("scale", "t"), *LINKS[:-1]]
    with pytest.raises(ZooError) as error:
        read_into(network, wrong, SafetensorsSource([path]))
    shapes = {"a": ((6, 4), (7, 4)), "b": ((1, 6), (1, 7)), "c": ((4, 6), (4, 7))}
    shapes |= dict.fromkeys("qkv", ((6, 4), (7, 4)))
    listed = ", ".join(f"{name!r} is {there}, not {wanted}" for name, (there, wanted) in shapes.items())
    assert str(error.value) == f"{path} does not fit this network: missing 't', unexpected 's', {listed}"
    assert all(torch.equal(weight, before[name]) for name, weight in named_weights(network).items())


def test_a_weight_without_a_name_there_is_refused() -> None:
    with pytest.raises(ZooError, match=r"no place for scale, plain\.bias"):
        list(written(Parts(2, 2), [LINKS[0], *LINKS[2:4]]))


def test_own_links_name_every_weight_once() -> None:
    network = Parts(2, 2)
    assert [link.ours for link in own(network)] == list(named_weights(network))


def test_sources_are_renamed(path: Path) -> None:
    source = SafetensorsSource([path])
    renamed = Renamed(source, lambda name: None if name == "s" else f"x.{name}", {"x.a": "x.new", "x.b": "x.c"})
    assert sorted(renamed.names()) == ["x.c", "x.k", "x.new", "x.q", "x.v"]  # a stands for new, b is a copy of c
    assert torch.equal(renamed.read("x.new"), source.read("a"))
    assert torch.equal(renamed.read("x.new", 1, 3), source.read("a")[1:3])
    assert renamed.shape("x.c") == (4, 6)
    with pytest.raises(ZooError, match="tensors 'a' and 'b' are the same one"):
        Renamed(source, lambda name: "same")


@pytest.mark.parametrize("stored", [torch.float16, torch.bfloat16, torch.float64])
def test_any_float_is_read_and_overflow_of_a_sum_is_no_infinity(tmp_path: Path, stored: torch.dtype) -> None:
    largest = torch.full((300,), torch.finfo(stored).max, dtype=stored)
    write_tensors(tmp_path / "x.safetensors", {"w": largest})
    network = nn.Module()
    network.w = nn.Parameter(torch.zeros(300, dtype=stored))
    read_into(network, [same("w", "w")], SafetensorsSource([tmp_path / "x.safetensors"]))
    assert torch.equal(network.w, largest)
    largest[299] = float("inf")
    write_tensors(tmp_path / "x.safetensors", {"w": largest})
    with pytest.raises(ZooError, match="'w' has values that are NaN or infinite"):
        read_into(network, [same("w", "w")], SafetensorsSource([tmp_path / "x.safetensors"]))


def test_a_link_is_what_it_says() -> None:
    link = stacked("ours", "q", "k")
    assert isinstance(link, Link)
    assert [tuple(view.shape) for view in link.views(torch.zeros(6, 2))] == [(3, 2), (3, 2)]
