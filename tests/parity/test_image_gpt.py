"""Image GPT against the original programs, by ``zoo.load``: both objectives, classes, probes, OpenAI's variables."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor
from torch.nn import functional

import zoo
from tests.parity.cases import Find, case, close, greedy, hidden_states, next_loss, stated
from zoo.model import Model
from zoo.transformer.heads import First, Last


def pixel_losses(logits: Tensor, pixels: Tensor) -> Tensor:
    """Return the loss of every pixel in nats, (batch, time)."""
    return functional.cross_entropy(logits.mT, pixels, reduction="none")


def hidden_loss(logits: Tensor, pixels: Tensor, keep: Tensor) -> Tensor:
    """Return the mean over pictures of the mean over their hidden pixels."""
    hidden = 1 - keep.float()
    return ((pixel_losses(logits, pixels) * hidden).sum(1) / hidden.sum(1)).mean()


def after_start(model: Model, pixels: Tensor) -> Tensor:
    """Return what a causal network reads to predict ``pixels``: the start id, then all but the last."""
    start = torch.full_like(pixels[:, :1], model.network.vocabulary - 1)
    return torch.cat([start, pixels[:, :-1]], dim=1)


def both_sides(folder: Path, copy: Path) -> Model:
    """Return the model in ``folder`` as one in which no pixel is hidden from another."""
    shutil.copytree(folder, copy)
    settings = json.loads((folder / "config.json").read_text())
    (copy / "config.json").write_text(json.dumps({**settings, "model_type": "imagegpt_bert"}))
    return zoo.load(copy, device="cpu")


def test_next_pixel(fixture_case: Find) -> None:
    model, numbers = case(fixture_case, "imagegpt")
    assert model.modality == "image"
    ids, pixels = numbers["in/ids"], numbers["in/pixels"]
    assert torch.equal(ids, after_start(model, pixels))
    logits = model.logits(ids)
    assert logits.shape[-1] == model.network.vocabulary - 1
    close(logits, numbers["out/logits"])
    close(pixel_losses(logits, pixels), numbers["out/ar_loss_per_pixel"])
    close(pixel_losses(logits, pixels).mean(), numbers["out/ar_loss"])
    close(next_loss(logits, ids), numbers["out/hf_labels_loss"])
    hidden_states(model, numbers)


def test_greedy_pixels(fixture_case: Find) -> None:
    """The second half of a picture, and all of one: as many pixels as the context, of which the last is never read."""
    model, numbers = case(fixture_case, "imagegpt")
    prompt = numbers["in/greedy_prompt"]
    assert torch.equal(numbers["out/greedy"][:, : prompt.shape[1]], prompt)
    greedy(model, numbers["out/greedy"], prompt.shape[1])
    greedy(model, numbers["out/greedy_from_sos"], 1)


def test_hidden_pixels(fixture_case: Find, tmp_path: Path) -> None:
    numbers = load_file(fixture_case("text-image/imagegpt_bert") / "reference.safetensors")
    model = both_sides(fixture_case("text-image/imagegpt_bert"), tmp_path / "copy")
    assert not model.network.causal
    pixels, keep = numbers["in/pixels"], numbers["in/keep"]
    logits = model.logits(pixels, conditions={"visible": keep})
    close(logits, numbers["out/logits"])
    close(hidden_loss(logits, pixels, keep), numbers["out/bert_loss"])
    changed = torch.where(keep.bool(), pixels, 0)
    assert torch.equal(model.logits(changed, conditions={"visible": keep}), logits)  # what is hidden is not seen


def test_classes(fixture_case: Find) -> None:
    model, numbers = case(fixture_case, "imagegpt_cls")
    assert model.network.labels == tuple(stated(fixture_case, "imagegpt_cls")["id2label"].values())
    logits = model.class_logits(numbers["in/ids"])
    close(logits, numbers["out/logits"])
    close(functional.cross_entropy(logits, numbers["in/labels"]), numbers["out/clf_loss"])
    close(model.class_logits(numbers["in/ids_sos"]), numbers["out/logits_sos"])
    hidden_states(model, numbers)


def test_probes(fixture_case: Find) -> None:
    model, numbers = case(fixture_case, "imagegpt_cls")
    for name, ids in (("probe", numbers["in/ids"]), ("probe_sos", numbers["in/ids_sos"])):
        found = model.features(ids)
        assert len(found) == stated(fixture_case, "imagegpt_cls")["n_layer"] + 1
        for layer, features in enumerate(found):
            close(features, numbers[f"out/{name}.{layer}"])
    for layer, state in enumerate(model.hidden_states(numbers["in/ids"])):
        close(state.mean(1), numbers[f"out/meanpool.{layer}"])


def test_probes_leave_padding_out(fixture_case: Find) -> None:
    model, numbers = case(fixture_case, "imagegpt_cls")
    ids = numbers["in/ids"][:2]
    mask = torch.ones_like(ids)
    mask[0, :20], mask[1, 50:] = 0, 0
    rows = (model.features(ids[:1, 20:]), model.features(ids[1:, :50]))
    for layer, features in enumerate(model.features(ids, mask=mask)):
        for row, alone in enumerate(rows):
            close(features[row], alone[layer][0])
    last = model.hidden_states(ids, mask=mask)[-1]
    close(model.features(ids, mask=mask, pool=Last())[-1], torch.stack([last[0, -1], last[1, 49]]))
    close(model.features(ids, mask=mask, pool=First())[-1], torch.stack([last[0, 20], last[1, 0]]))


def test_openai_s_variables(fixture_case: Find) -> None:
    model, numbers = case(fixture_case, "imagegpt_tfvars")
    pixels = numbers["in/pixels"]
    logits = model.logits(after_start(model, pixels))
    close(logits, numbers["out/ar_logits"])
    close(pixel_losses(logits, pixels).mean(), numbers["out/ar_loss"])


def test_openai_s_variables_of_hidden_pixels(fixture_case: Find, tmp_path: Path) -> None:
    """The files of the BERT objective are those without a start vector."""
    import numpy as np

    folder = fixture_case("text-image/imagegpt_tfvars")
    numbers = load_file(folder / "reference.safetensors")
    with np.load(folder / "tf_variables.npz") as variables:
        np.savez(tmp_path / "tf_variables.npz", **{name: variables[name] for name in variables if name != "model/sos"})
    model = zoo.load(tmp_path, device="cpu")
    assert not model.network.causal
    width = stated(fixture_case, "imagegpt_tfvars")["n_embd"]
    assert model.parameters == zoo.load(folder, device="cpu").parameters - width
    pixels, keep = numbers["in/pixels"], numbers["in/keep"]
    logits = model.logits(pixels, conditions={"visible": keep})
    close(logits, numbers["out/bert_logits"])
    close(hidden_loss(logits, pixels, keep), numbers["out/bert_loss"])


@pytest.mark.parametrize("name", ["imagegpt", "imagegpt_cls", "imagegpt_tfvars"])
def test_parameters(fixture_case: Find, name: str) -> None:
    """What OpenAI counts: two tables of colours, positions, start, 12 d^2 + 2 d a layer, the last norm."""
    model, _ = case(fixture_case, name)
    facts = stated(fixture_case, name)
    colours, context, width, depth = facts["vocab_size"] - 1, facts["n_positions"], facts["n_embd"], facts["n_layer"]
    counted = 2 * colours * width + context * width + width + depth * (12 * width**2 + 2 * width) + width
    biases = depth * 9 * width
    labels = len(facts.get("id2label", ()))
    more = {"imagegpt": biases, "imagegpt_cls": biases + (labels - colours) * width, "imagegpt_tfvars": 0}
    assert model.parameters == counted + more[name]
