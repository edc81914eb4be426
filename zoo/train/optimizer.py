"""Optimizers as values, and one class that steps them and gives their state by parameter name."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, TypeAlias

import torch
from torch import Tensor, nn

from zoo.errors import ZooError, suggest
from zoo.train import precision
from zoo.train.muon import Float32Muon

LAYER = re.compile(r"(?:(?:transformer\.)?blocks|layers)\.(\d+)\.")
BELOW = re.compile(r"(?:(?:transformer\.)?embedding|label_embedding|above|lyrics)\.")
"""How names of parameters begin: those of layers, and of what stands below the first; also in a prior of music."""


def _check(betas: tuple[float, float], weight_decay: float, eps: float) -> None:
    if not all(0.0 <= beta < 1.0 for beta in betas):
        raise ZooError(f"betas lie in [0, 1), got {betas}")
    if weight_decay < 0.0:
        raise ZooError(f"weight_decay is not negative, got {weight_decay}")
    if eps <= 0.0:
        raise ZooError(f"eps is positive, got {eps}")


@dataclass(frozen=True, kw_only=True)
class AdamW:
    """Adam with decoupled weight decay (Loshchilov and Hutter 2019), decay on matrices and embeddings only.

    Attributes:
        betas: decay of the running mean and of the running square.
        weight_decay: per step and unit of learning rate; gains and biases (vectors) are spared.
        eps: added to the root of the square.
        layer_decay: the rate of each block is so many times that of the block above it, and that of the embedding so
            many times that of the first (Howard and Ruder 2018, section 3.2); 1 for the same rate everywhere.
    """

    settings_name: ClassVar[str] = "adamw"

    betas: tuple[float, float] = (0.9, 0.99)
    weight_decay: float = 0.1
    eps: float = 1e-8
    layer_decay: float = 1.0

    def __post_init__(self) -> None:
        _check(self.betas, self.weight_decay, self.eps)
        if not 0.0 < self.layer_decay <= 1.0:
            raise ZooError(f"layer_decay lies in (0, 1], got {self.layer_decay}")

    def build(self, network: nn.Module) -> Optimizer:
        """Return an optimizer of all trainable parameters of ``network``."""
        named = _trainable(network)
        return Optimizer([(_adamw(self, named), list(named))])


@dataclass(frozen=True, kw_only=True)
class Muon:
    """Orthogonalised momentum for hidden matrices (Jordan et al. 2024), AdamW for everything else.

    Torch's, or where bfloat16 is slow ``zoo.train.muon``. Updates of matrices are scaled to AdamW's usual size (Liu et
    al. 2025, section 2.2), so that one learning rate serves both.

    Attributes:
        momentum: of the matrices' gradients, in Nesterov's form.
        weight_decay: per step and unit of learning rate, for matrices and embeddings.
        betas: AdamW's, for embeddings, the output layer and vectors.
        eps: AdamW's.
    """

    momentum: float = 0.95
    weight_decay: float = 0.1
    betas: tuple[float, float] = (0.9, 0.99)
    eps: float = 1e-8

    def __post_init__(self) -> None:
        _check(self.betas, self.weight_decay, self.eps)
        if not 0.0 <= self.momentum < 1.0:
            raise ZooError(f"momentum lies in [0, 1), got {self.momentum}")

    def build(self, network: nn.Module) -> Optimizer:
        """Return an optimizer of all trainable parameters of ``network``.

        Raises:
            ZooError: the network has no hidden matrices.
        """
        named = _trainable(network)
        hidden = hidden_matrices(network)
        matrices = {name: parameter for name, parameter in named.items() if name in hidden}
        others = {name: parameter for name, parameter in named.items() if name not in hidden}
        if not matrices:
            raise ZooError("optimizer muon: this network has no hidden matrices; use train.optimizer=adamw")
        slow = next(iter(matrices.values())).is_cpu and not precision.cpu_multiplies_bfloat16()
        muon = (Float32Muon if slow else torch.optim.Muon)(
            matrices.values(),
            lr=0.0,
            weight_decay=self.weight_decay,
            momentum=self.momentum,
            adjust_lr_fn="match_rms_adamw",
        )
        adamw = AdamW(betas=self.betas, weight_decay=self.weight_decay, eps=self.eps)
        rest = [(_adamw(adamw, others), list(others))] if others else []
        return Optimizer([(muon, list(matrices)), *rest])


@dataclass(frozen=True, kw_only=True)
class RmsProp:
    """Steps divided by the root of a running mean of squared gradients (Tieleman and Hinton 2012), without decay.

    Attributes:
        decay: of the running mean; Keras's default.
        eps: added to the root; Keras's default.
    """

    decay: float = 0.9
    eps: float = 1e-7

    def __post_init__(self) -> None:
        if not 0.0 <= self.decay < 1.0:
            raise ZooError(f"decay lies in [0, 1), got {self.decay}")
        if self.eps <= 0.0:
            raise ZooError(f"eps is positive, got {self.eps}")

    def build(self, network: nn.Module) -> Optimizer:
        """Return an optimizer of all trainable parameters of ``network``."""
        named = _trainable(network)
        part = torch.optim.RMSprop(named.values(), lr=0.0, alpha=self.decay, eps=self.eps)
        return Optimizer([(part, list(named))])


@dataclass(frozen=True, kw_only=True)
class JukeboxAdam:
    """Adam as Jukebox's priors were trained by it (their ``utils/fp16.py``), which is none of the textbook's.

    An update subtracts ``rate * sqrt(1 - b2^t) / (1 - b1^t) * (mean / (sqrt(square) + eps) + weight_decay * weight)``:
    ``eps`` stands beside the root of the square before its bias is corrected, so that it counts for more in the first
    steps, and weight decay, of every parameter, follows the corrected rate.

    Attributes:
        betas: decay of the running mean and of the running square.
        weight_decay: per step and unit of learning rate; the top priors have 0.002.
        eps: added to the root of the square.
    """

    betas: tuple[float, float] = (0.9, 0.999)
    weight_decay: float = 0.0
    eps: float = 1e-8

    def __post_init__(self) -> None:
        _check(self.betas, self.weight_decay, self.eps)

    def build(self, network: nn.Module) -> Optimizer:
        """Return an optimizer of all trainable parameters of ``network``."""
        named = _trainable(network)
        return Optimizer([(_JukeboxAdam(named.values(), self), list(named))])


class _JukeboxAdam(torch.optim.Optimizer):
    def __init__(self, parameters: Iterable[nn.Parameter], settings: JukeboxAdam) -> None:
        super().__init__(parameters, {"lr": 0.0})
        self._settings = settings

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> Any:
        """Update every parameter that has a gradient."""
        (first, second), decay, eps = self._settings.betas, self._settings.weight_decay, self._settings.eps
        for group in self.param_groups:
            for parameter in group["params"]:
                if parameter.grad is None:
                    continue
                state = self.state[parameter]
                if not state:
                    state["step"] = torch.tensor(0.0)
                    state["exp_avg"] = torch.zeros_like(parameter)
                    state["exp_avg_sq"] = torch.zeros_like(parameter)
                state["step"] += 1
                mean, square, count = state["exp_avg"], state["exp_avg_sq"], float(state["step"])
                mean.lerp_(parameter.grad, 1.0 - first)
                square.mul_(second).addcmul_(parameter.grad, parameter.grad, value=1.0 - second)
                rate = group["lr"] * (1.0 - second**count) ** 0.5 / (1.0 - first**count)
                if decay:
                    parameter.mul_(1.0 - rate * decay)
                parameter.addcdiv_(mean, square.sqrt().add_(eps), value=-rate)


OptimizerSettings: TypeAlias = AdamW | Muon | RmsProp | JukeboxAdam


class Optimizer:
    """One or two torch optimizers that step together; their state has the parameters' names, not numbers.

    Args:
        parts: optimizers, each with the names of its parameters in the order of its groups.
    """

    def __init__(self, parts: list[tuple[torch.optim.Optimizer, list[str]]]) -> None:
        self.parts = parts
        self.parameters: list[nn.Parameter] = [
            parameter for part, _ in parts for group in part.param_groups for parameter in group["params"]
        ]

    def zero(self) -> None:
        """Drop all gradients."""
        for part, _ in self.parts:
            part.zero_grad(set_to_none=True)

    def step(self, learning_rate: float) -> None:
        """Update the parameters."""
        for part, _ in self.parts:
            for group in part.param_groups:
                group["lr"] = learning_rate * group.get("scale", 1.0)
            part.step()

    def state(self) -> dict[str, Tensor]:
        """Return the state as tensors named ``parameter/quantity``."""
        tensors: dict[str, Tensor] = {}
        for part, names in self.parts:
            for index, values in part.state_dict()["state"].items():
                tensors |= {f"{names[index]}/{quantity}": torch.as_tensor(value) for quantity, value in values.items()}
        return tensors

    def load(self, tensors: Mapping[str, Tensor]) -> None:
        """Take over what ``state`` gave; ZooError if it is another optimizer's."""
        expected = {name for _, names in self.parts for name in names}
        by_name: dict[str, dict[str, Tensor]] = {}
        for key, tensor in tensors.items():
            name, _, quantity = key.rpartition("/")
            by_name.setdefault(name, {})[quantity] = tensor
        if not set(by_name) <= expected:
            raise ZooError(
                "the saved optimizer state belongs to another network or optimizer; start over in another out=DIR"
            )
        for part, names in self.parts:
            state: dict[str, Any] = part.state_dict()
            state["state"] = {index: by_name[name] for index, name in enumerate(names) if name in by_name}
            part.load_state_dict(state)


def hidden_matrices(network: nn.Module) -> set[str]:
    """Return the names of weights that map hidden states to hidden states.

    These are the 2-D weights of linear and recurrent layers, without embeddings and output layers.
    """
    apart = {id(module.weight) for module in network.modules() if isinstance(module, nn.Embedding)}
    for part in network.modules():  # the output of what embeds ids predicts ids; that of an attention layer does not
        if any(isinstance(module, nn.Embedding) for module in part.modules()):
            apart |= {id(p) for name in ("output", "head") for p in _layer_parameters(getattr(part, name, None))}
    names: set[str] = set()
    for prefix, module in network.named_modules():
        if isinstance(module, nn.Linear | nn.RNNBase):
            for name, parameter in module.named_parameters(prefix=prefix, recurse=False):
                if parameter.ndim == 2 and id(parameter) not in apart:
                    names.add(name)
    return names


def restrict(network: nn.Module, parts: Sequence[str]) -> None:
    """Let the weights of ``parts`` learn, and no others.

    Args:
        network: the parts are of.
        parts: names as ``network.named_parameters()`` begins them: ``blocks.3``, ``label_embedding``.

    Raises:
        ZooError: there is no such part.
    """
    known = dict(network.named_parameters())
    chosen = {part: [name for name in known if f"{name}.".startswith(f"{part}.")] for part in parts}
    for part, names in chosen.items():
        if not names:
            places = [name.split(".") for name in known]
            near = [".".join(place[: part.count(".") + 1]) for place in places]
            raise ZooError(f"train.only: this network has no part '{part[:60]}'{suggest(part, near)}")
    network.requires_grad_(False)
    for name in (name for names in chosen.values() for name in names):
        known[name].requires_grad_(True)


def _layer_parameters(layer: object) -> list[nn.Parameter]:
    return list(layer.parameters()) if isinstance(layer, nn.Module) else []


def _trainable(network: nn.Module) -> dict[str, nn.Parameter]:
    named = {name: parameter for name, parameter in network.named_parameters() if parameter.requires_grad}
    if not named:
        raise ZooError("this network has no trainable parameters; unfreeze some")
    return named


def _adamw(settings: AdamW, named: dict[str, nn.Parameter]) -> torch.optim.Optimizer:
    """Groups of one decay and rate each; ``named`` is put into their order."""
    depth = 1 + max((_block(name) for name in named), default=-1)
    members: dict[tuple[float, float], list[str]] = {}
    for name, parameter in named.items():
        decay = settings.weight_decay if parameter.ndim >= 2 else 0.0
        members.setdefault((decay, settings.layer_decay ** _below(name, depth)), []).append(name)
    keys = sorted(members, key=lambda key: (-key[0], -key[1]))
    groups = [
        {"params": [named[name] for name in members[key]], "weight_decay": key[0], "scale": key[1]} for key in keys
    ]
    ordered = {name: named[name] for key in keys for name in members[key]}
    named.clear()
    named.update(ordered)
    return torch.optim.AdamW(groups, lr=0.0, betas=settings.betas, eps=settings.eps, fused=True)


def _block(name: str) -> int:
    """Return the number of the block that a parameter is of, -1 for none."""
    match = LAYER.match(name)
    return int(match[1]) if match else -1


def _below(name: str, depth: int) -> int:
    """Return how many layers lie between a parameter and the head: 0 above the blocks."""
    if BELOW.match(name):
        return depth + 1
    number = _block(name)
    return 0 if number < 0 else depth - number
