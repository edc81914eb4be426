"""Muon in float32 beside torch's, which iterates in bfloat16."""

from __future__ import annotations

import pytest
import torch

from zoo.train.muon import Float32Muon, orthogonal


@pytest.mark.parametrize("shape", [(24, 24), (24, 96), (96, 24)])
def test_it_moves_as_torch_does_up_to_the_rounding_of_bfloat16(shape: tuple[int, int]) -> None:
    settings = {"lr": 0.02, "weight_decay": 0.1, "momentum": 0.9, "adjust_lr_fn": "match_rms_adamw"}
    torch.manual_seed(0)
    ours, theirs = (torch.nn.Parameter(torch.ones(shape)) for _ in range(2))
    mine, torchs = Float32Muon([ours], **settings), torch.optim.Muon([theirs], **settings)  # type: ignore[arg-type]
    for _ in range(4):
        gradient = torch.randn(shape)
        ours.grad, theirs.grad = gradient.clone(), gradient.clone()
        mine.step()
        torchs.step()
    moved = (theirs - 1).detach()
    assert (ours - theirs).abs().max() < 0.03 * moved.abs().max()
    torch.testing.assert_close(mine.state[ours]["momentum_buffer"], torchs.state[theirs]["momentum_buffer"])


def test_singular_vectors_stay_and_singular_values_come_near_one() -> None:
    torch.manual_seed(1)
    matrix = torch.randn(16, 40)
    settings = torch.optim.Muon([torch.nn.Parameter(matrix)]).defaults
    made = orthogonal(matrix, settings["ns_coefficients"], 5, 1e-7)
    left, _, right = torch.linalg.svd(matrix, full_matrices=False)
    core = left.T @ made @ right.T
    assert 0.5 < core.diag().min() <= core.diag().max() < 1.3
    assert (core - torch.diag(core.diag())).abs().max() < 1e-4
