"""Image GPT's weights and palettes both ways: Hugging Face's classes, OpenAI's variables, our own folders."""

from __future__ import annotations

import dataclasses
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

import zoo
from tests.tokenizers.pictures import noise
from tests.weights.tensorflow_files import write_checkpoint
from zoo.architecture import count_parameters, outline
from zoo.cli.main import main
from zoo.errors import ZooError
from zoo.model import Model
from zoo.tokenizers.image.gray_levels import GrayLevelsTokenizer
from zoo.tokenizers.image.pixel_clusters import PixelClustersTokenizer
from zoo.tokenizers.none import NoTokenizer
from zoo.transformer.config import TransformerConfig
from zoo.transformer.feedforward import Mlp
from zoo.transformer.heads import Classification, Mean, Span
from zoo.transformer.model import Transformer
from zoo.transformer.norm import RMSNorm
from zoo.transformer.patterns import Dense
from zoo.weights import huggingface, image_gpt, openai
from zoo.weights.arrays import NpzSource
from zoo.weights.tensors import named_weights, read_tensors

COLOURS, SIDE = 12, 5
PLAIN = TransformerConfig(
    vocabulary=COLOURS + 1,
    output_vocabulary=COLOURS,
    context=SIDE**2,
    width=16,
    depth=2,
    heads=2,
    norm=RMSNorm(),
    bias=False,
    tied=False,
    feedforward=Mlp(activation="quick_gelu"),
)
BOTH = dataclasses.replace(PLAIN, vocabulary=COLOURS, patterns=(Dense(causal=False),))
THREE = Classification(labels=("LABEL_0", "LABEL_1", "LABEL_2"), pool=Mean(), bias=False)
THEIRS: dict[str, Any] = {
    "vocab_size": COLOURS + 1, "n_positions": SIDE**2, "n_embd": 16, "n_layer": 2, "n_head": 2,
}  # fmt: skip
CASES: dict[str, tuple[str, dict[str, Any]]] = {
    "plain": ("ImageGPTForCausalImageModeling", {}),
    "without a head": ("ImageGPTModel", {}),
    "scales": (
        "ImageGPTForCausalImageModeling", {"scale_attn_weights": False, "scale_attn_by_inverse_layer_idx": True}
    ),
    "upcast": (
        "ImageGPTForCausalImageModeling", {"reorder_and_upcast_attn": True, "scale_attn_by_inverse_layer_idx": True}
    ),
    "inner": (
        "ImageGPTForCausalImageModeling",
        {"n_inner": 41, "activation_function": "gelu_new", "layer_norm_epsilon": 1e-3},
    ),
    "classification": ("ImageGPTForImageClassification", {"num_labels": 3}),
}  # fmt: skip


def ids() -> Tensor:
    return torch.randint(0, COLOURS + 1, (3, SIDE**2), generator=torch.Generator().manual_seed(0))


def drawn(config: TransformerConfig) -> Transformer:
    """Return a network in which every weight counts."""
    torch.manual_seed(1)
    network = Transformer(config).eval()
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.2)
    return network


def palette(rows: int = SIDE, columns: int = SIDE) -> PixelClustersTokenizer:
    return PixelClustersTokenizer.fit(noise(), colours=COLOURS, rows=rows, columns=columns, channels=3)


def equal(left: Model | Transformer, right: Model | Transformer) -> bool:
    """Return whether two models have the same weights, bit for bit."""
    one, other = (named_weights(side.network if isinstance(side, Model) else side) for side in (left, right))
    return one.keys() == other.keys() and all(torch.equal(other[name], weight) for name, weight in one.items())


def theirs(case: str, *, biases: bool) -> Any:
    transformers = pytest.importorskip("transformers")
    name, settings = CASES[case]
    kind = getattr(transformers, name)
    torch.manual_seed(len(case))
    model = kind(kind.config_class(**THEIRS, **settings)).eval()
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if biases or not name.endswith("bias"):
                parameter.add_(torch.randn_like(parameter) * 0.2)
    return model


def reloaded(folder: Path) -> Any:
    """Load a folder by the class that it names, and see to it that transformers missed nothing."""
    transformers = pytest.importorskip("transformers")
    name = json.loads((folder / "config.json").read_text())["architectures"][0]
    model, report = getattr(transformers, name).from_pretrained(folder, output_loading_info=True)
    assert not any(report[kind] for kind in ("missing_keys", "unexpected_keys", "mismatched_keys")), report
    return model.eval()


@torch.no_grad()
def difference(model: Any, ours: Model) -> float:
    """Return the greatest difference between the outputs of their model and of ours."""
    name, rows = type(model).__name__, ids()
    out = model(input_ids=rows, output_hidden_states=True)
    pairs = [(ours.hidden_states(rows)[-1], out.hidden_states[-1])]
    if name == "ImageGPTForCausalImageModeling":
        pairs.append((ours.logits(rows), out.logits))
    if name == "ImageGPTForImageClassification":
        pairs.append((ours.class_logits(rows), out.logits))
    return max(float((left - right).abs().max()) for left, right in pairs)


@pytest.mark.parametrize("biases", [True, False])
@pytest.mark.parametrize("case", CASES)
def test_transformers_both_ways(tmp_path: Path, case: str, biases: bool) -> None:
    model = theirs(case, biases=biases)
    model.save_pretrained(tmp_path / "theirs")
    ours = zoo.load(tmp_path / "theirs", device="cpu")
    assert isinstance(ours.config, TransformerConfig)
    assert ours.config.bias == biases
    assert difference(model, ours) < 2e-5
    huggingface.write(tmp_path / "ours", ours.network, ours.tokenizer)
    assert difference(reloaded(tmp_path / "ours"), ours) < 2e-5
    again = zoo.load(tmp_path / "ours", device="cpu")
    if case != "without a head":  # comes back with an output matrix of its own, which is the same
        assert again.config == ours.config
        assert equal(again, ours)
    assert torch.equal(again.logits(ids()), ours.logits(ids()))


@pytest.mark.parametrize("tied", [None, COLOURS, COLOURS + 1])
def test_a_network_of_ours_gives_the_same_logits_in_transformers(tmp_path: Path, tied: int | None) -> None:
    sizes = {} if tied is None else {"tied": True, "output_vocabulary": tied}
    ours = Model(drawn(dataclasses.replace(PLAIN, **sizes)), palette() if tied != COLOURS + 1 else None)
    huggingface.write(tmp_path / "model", ours.network, ours.tokenizer)
    assert difference(reloaded(tmp_path / "model"), ours) < 2e-5


def test_zeros_are_no_parameters(tmp_path: Path) -> None:
    network = drawn(PLAIN)
    huggingface.write(tmp_path / "model", network, NoTokenizer(COLOURS + 1))
    stored = reloaded(tmp_path / "model")
    assert sum(weight.numel() for weight in stored.parameters()) == count_parameters(network) + 2 * 9 * 16
    assert zoo.load(tmp_path / "model", device="cpu").parameters == count_parameters(network)


@pytest.mark.parametrize("config", [PLAIN, BOTH, dataclasses.replace(PLAIN, head=THREE)])
@pytest.mark.parametrize("route", [["openai", "zoo"], ["huggingface", "openai"], ["zoo", "openai", "huggingface"]])
def test_converted_again_and_again(tmp_path: Path, config: TransformerConfig, route: list[str]) -> None:
    start = Model(drawn(config), palette())
    start.save(tmp_path / "start")
    place = tmp_path / "start"
    for step, to in enumerate(route):
        assert main(["convert", str(place), f"out={tmp_path / str(step)}", f"to={to}"]) == 0
        place = tmp_path / str(step)
    end = zoo.load(place, device="cpu")
    assert equal(end, start)
    assert (end.modality, end.tokenizer.spec) == ("image", start.tokenizer.spec)
    assert dataclasses.replace(end.config, initial=config.initial) == dataclasses.replace(
        config, dropout=end.config.dropout, head=end.config.head
    )


def test_variables_have_openai_s_names_and_shapes(tmp_path: Path) -> None:
    openai.write(tmp_path, drawn(PLAIN), palette())
    variables = NpzSource(tmp_path / "tf_variables.npz")
    shapes = {name: variables.shape(name) for name in variables.names()}
    block = {
        "ln_1/g": (16,), "ln_2/g": (16,), "mlp/c_fc/w": (16, 64), "mlp/c_proj/w": (64, 16),
        **{f"attn/{part}_proj": (2, 8, 16) for part in "qkvc"},
    }  # fmt: skip
    assert shapes == {
        "model/wte": (12, 16), "model/wtet": (12, 16), "model/wpe": (25, 16), "model/sos": (16,), "model/ln_f/g": (16,),
        **{f"model/h{layer}/{name}": shape for layer in range(2) for name, shape in block.items()},
    }  # fmt: skip
    assert sorted(path.name for path in tmp_path.iterdir()) == ["kmeans_centers.npy", "tf_variables.npz"]


def test_released_tensorflow_checkpoint(tmp_path: Path) -> None:
    """As OpenAI's folders: the index and the data alone, with what training left."""
    network = drawn(PLAIN)
    (tmp_path / "npz").mkdir()
    openai.write(tmp_path / "npz", network, palette())
    variables = NpzSource(tmp_path / "npz" / "tf_variables.npz")
    tensors = {name: variables.read(name).numpy() for name in variables.names()}
    left = {"global_step": np.array(7), "model/wte/Adam": tensors["model/wte"]}
    folder = tmp_path / "131000"
    folder.mkdir()
    write_checkpoint(folder / "model.ckpt-131000", {**tensors, **left}, shards=3)
    for place in (folder, folder / "model.ckpt-131000.index"):
        model = zoo.load(place, device="cpu")
        assert equal(model, network)
        assert isinstance(model.tokenizer, NoTokenizer)
    shutil.copy(tmp_path / "npz" / "kmeans_centers.npy", folder)
    assert zoo.load(folder, device="cpu").tokenizer.spec == palette().spec


def test_a_folder_s_processor_gives_the_same_ids(tmp_path: Path) -> None:
    processing = pytest.importorskip("transformers.models.imagegpt.image_processing_pil_imagegpt")
    ours = Model(drawn(PLAIN), palette())
    huggingface.write(tmp_path / "model", ours.network, ours.tokenizer)
    assert zoo.load(tmp_path / "model", device="cpu").tokenizer.spec == ours.tokenizer.spec
    processor = processing.ImageGPTImageProcessorPil.from_pretrained(tmp_path / "model")
    for picture in noise(4, 11, 8):
        expected = processor(images=picture, return_tensors="pt")["input_ids"][0]
        assert torch.equal(ours.tokenizer.encode(picture), expected)


def test_a_folder_as_on_the_hub(tmp_path: Path) -> None:
    """One file of pickled tensors with mask buffers and zeros, GPT-2's end ids, an extractor of the old kind."""
    network, place = drawn(PLAIN), tmp_path / "model"
    huggingface.write(place, network, palette())
    tensors = read_tensors(place / "model.safetensors")
    (place / "model.safetensors").unlink()
    mask = torch.ones(1, 1, SIDE**2, SIDE**2, dtype=torch.uint8).tril()
    for layer in range(2):
        tensors |= {f"transformer.h.{layer}.attn.bias": mask}
        tensors |= {f"transformer.h.{layer}.attn.masked_bias": torch.tensor(-1e4)}
    torch.save(tensors, place / "pytorch_model.bin")
    settings = json.loads((place / "config.json").read_text())
    (place / "config.json").write_text(json.dumps({**settings, "bos_token_id": 50256, "eos_token_id": 50256}))
    clusters = json.loads((place / "preprocessor_config.json").read_text())["clusters"]
    old = {"clusters": clusters, "do_normalize": True, "do_resize": True, "resample": 2, "size": SIDE}
    kind = {"feature_extractor_type": "ImageGPTFeatureExtractor"}
    (place / "preprocessor_config.json").write_text(json.dumps(old | kind))
    model = zoo.load(place, device="cpu")
    assert equal(model, network)
    assert model.tokenizer.spec == palette().spec


@pytest.mark.parametrize(
    ("size", "rows"),
    [({"height": 5, "width": 4}, (5, 4)), (5, (5, 5)), ({"height": 256, "width": 256}, (5, 5)), (None, (5, 5))],
)
def test_the_grid_of_old_processors(tmp_path: Path, size: object, rows: tuple[int, int]) -> None:
    huggingface.write(tmp_path / "model", drawn(PLAIN), palette())
    path = tmp_path / "model" / "preprocessor_config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "size": size}))
    assert zoo.load(tmp_path / "model", device="cpu").tokenizer.spec.shape == rows


def test_other_tokenizers_are_kept_in_our_form(tmp_path: Path) -> None:
    tokenizer = GrayLevelsTokenizer(levels=COLOURS, rows=SIDE, columns=SIDE)
    huggingface.write(tmp_path / "model", drawn(PLAIN), tokenizer)
    assert not (tmp_path / "model" / "preprocessor_config.json").exists()
    assert zoo.load(tmp_path / "model", device="cpu").tokenizer.spec == tokenizer.spec
    with pytest.raises(ZooError, match="no place for the tokenizer 'gray_levels'"):
        openai.layout_of(PLAIN, tokenizer)
    wide = dataclasses.replace(PLAIN, context=20)
    with pytest.raises(ZooError, match="a grid by the context 20"):
        openai.layout_of(wide, palette(5, 4))


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"clusters": [[0.0, 0.0, 0.0], [1.0, 1.0, 1.0]]}, "makes 2 ids, the network predicts 12"),
        ({"resample": 3}, "resample 3 makes other ids"),
        ({"do_normalize": False}, "do_normalize false makes other ids"),
        ({"clusters": [[0.0, "a"]]}, "clusters"),
    ],
)
def test_a_palette_that_is_not_the_network_s(tmp_path: Path, change: dict[str, Any], named: str) -> None:
    huggingface.write(tmp_path / "model", drawn(PLAIN), palette())
    path = tmp_path / "model" / "preprocessor_config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **change}))
    with pytest.raises(ZooError, match=named) as error:
        zoo.load(tmp_path / "model", device="cpu")
    assert "\n" not in str(error.value)


def test_ids_only_without_clusters(tmp_path: Path) -> None:
    huggingface.write(tmp_path / "model", drawn(PLAIN), NoTokenizer(COLOURS + 1))
    settings = json.loads((tmp_path / "model" / "config.json").read_text())
    bogus = {**settings, "bos_token_id": 3, "eos_token_id": 3}  # the Hub's have GPT-2's
    (tmp_path / "model" / "config.json").write_text(json.dumps(bogus))
    model = zoo.load(tmp_path / "model", device="cpu")
    assert model.generate_ids(torch.tensor([[COLOURS]]), seed=1).shape == (1, SIDE**2 + 1)  # 3 ends nothing
    with pytest.raises(ZooError, match=r"no tokenizer.*preprocessor_config\.json or kmeans_centers\.npy"):
        model.generate()


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"classes": ("cat", "dog")}, "classes="),
        ({"output_vocabulary": None}, "output_vocabulary"),
        ({"key_value_heads": 1}, "key_value_heads=1"),
        ({"head": Span()}, "no head such as this"),
        ({"head": Classification(labels=("a", "b"), pool=Mean())}, "head="),
    ],
)
def test_what_the_layouts_cannot_express(changes: dict[str, Any], named: str) -> None:
    config = dataclasses.replace(PLAIN, **changes)
    with pytest.raises(ZooError, match=named):
        huggingface.family_of(config).settings(config)
    with pytest.raises(ZooError, match="OpenAI's files cannot express"):
        openai.layout_of(config, NoTokenizer(COLOURS + 1))


@pytest.mark.parametrize(
    "changes", [{"bias": True}, {"norm": RMSNorm(eps=1e-6)}, {"feedforward": Mlp()}, {"tied": True}]
)
def test_what_openai_s_variables_cannot_express(changes: dict[str, Any]) -> None:
    config = dataclasses.replace(PLAIN, **changes)
    with pytest.raises(ZooError, match="OpenAI's files cannot express"):
        openai.layout_of(config, NoTokenizer(COLOURS + 1))


def test_variables_of_something_else(tmp_path: Path) -> None:
    np.savez(tmp_path / "tf_variables.npz", **{"model/wte": np.zeros((3, 4), np.float32)})
    with pytest.raises(ZooError, match=r"'model/wtet' is missing, so these are not Image GPT's; GPT-2's need hparams"):
        zoo.load(tmp_path)
    (tmp_path / "good").mkdir()
    openai.write(tmp_path / "good", drawn(PLAIN), palette())
    (tmp_path / "good" / "config.json").write_text('{"model_type": "imagegpt", "n_head": 4}')
    with pytest.raises(ZooError, match="n_head 4 is 2 in the variables"):
        zoo.load(tmp_path / "good")


def test_both_objectives_have_the_same_names(tmp_path: Path) -> None:
    huggingface.write(tmp_path / "model", drawn(BOTH), palette())
    transformers = pytest.importorskip("transformers")
    with pytest.raises(ValueError, match="imagegpt_bert"):  # and not as a causal one
        transformers.AutoConfig.from_pretrained(tmp_path / "model")
    again = zoo.load(tmp_path / "model", device="cpu")
    assert again.tokenizer.spec == palette().spec
    with pytest.raises(ZooError, match="takes no conditions, got visible"):
        Model(drawn(PLAIN), None).logits(ids(), conditions={"visible": ids()})


@pytest.mark.parametrize(
    ("width", "depth", "heads", "parameters"),
    [
        (512, 24, 8, 76_571_648),
        (1024, 36, 8, 455_157_760),
        (1536, 48, 16, 1_362_250_752),
        (3072, 60, 24, 6_801_438_720),
    ],
)
def test_published_counts(width: int, depth: int, heads: int, parameters: int) -> None:
    settings = {"vocab_size": 513, "n_positions": 1024, "n_embd": width, "n_layer": depth, "n_head": heads}
    network = outline(image_gpt.config(settings, [image_gpt.OUTPUT]))
    assert count_parameters(network) == parameters
    shown = outline(
        image_gpt.bert_config({**settings, "vocab_size": 512, "output_vocabulary": 512}, [image_gpt.OUTPUT])
    )
    assert count_parameters(shown) == parameters - width
