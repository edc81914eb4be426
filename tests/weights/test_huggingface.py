"""Hugging Face folders that are whole, old, incomplete, or made to harm. Faults 7, 11, 12, 13 and 26."""

from __future__ import annotations

import dataclasses
import json
import resource
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

import zoo
from tests.tokenizers.samples import CORPUS
from zoo.architecture import count_parameters, outline
from zoo.errors import ZooError
from zoo.recurrent import RecurrentConfig
from zoo.tokenizers.none import NoTokenizer
from zoo.tokenizers.text.bpe import BpeTokenizer
from zoo.transformer.config import TransformerConfig
from zoo.transformer.feedforward import GatedMlp, Mlp
from zoo.transformer.heads import Classification, First, Mean, MultipleChoice, OutputTransform, Span
from zoo.transformer.model import Transformer
from zoo.transformer.norm import LayerNorm, RMSNorm
from zoo.transformer.patterns import Banded, Dense
from zoo.transformer.position import Rotary
from zoo.weights import bert, gpt1, gpt2, gpt3, huggingface
from zoo.weights.tensors import SafetensorsSource, named_weights, read_tensors, write_tensors

PLAIN = TransformerConfig(vocabulary=300, context=32, width=16, depth=2, heads=2)


@pytest.fixture(scope="module")
def tokenizer() -> BpeTokenizer:
    return BpeTokenizer.fit([CORPUS], vocabulary=300)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory, tokenizer: BpeTokenizer) -> Path:
    """Return a small GPT-2's folder with its tokenizer."""
    torch.manual_seed(0)
    folder = tmp_path_factory.mktemp("made") / "model"
    huggingface.write(folder, Transformer(PLAIN), tokenizer, card={"license": "CC0-1.0"})
    return folder


@pytest.fixture
def folder(tmp_path: Path, made: Path) -> Path:
    """Return a copy of that folder to change."""
    return Path(shutil.copytree(made, tmp_path / "model"))


def refused(folder: Path) -> str:
    with pytest.raises(ZooError) as error:
        zoo.load(folder, device="cpu")
    assert "\n" not in str(error.value)
    return str(error.value)


def change_settings(folder: Path, **settings: Any) -> None:
    path = folder / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **settings}))


def change_tensors(folder: Path, change: Callable[[dict[str, Tensor]], object]) -> None:
    path = folder / "model.safetensors"
    tensors = read_tensors(path)
    change(tensors)
    write_tensors(path, tensors)


def test_a_folder_is_a_model(folder: Path) -> None:
    model = zoo.load(folder, device="cpu")
    assert model.config == dataclasses.replace(PLAIN, initial=model.config.initial)  # type: ignore[union-attr]  # a transformer
    assert model.card["name"] == "model"
    assert model.card["parameters"] == model.parameters == count_parameters(outline(PLAIN))
    assert model.card["source"] == "Hugging Face gpt2 layout"
    assert model.card["license"] == "CC0-1.0"
    assert model.modality == "text"
    assert model.generate("the cat", max_new_tokens=4, seed=3).startswith("the cat")
    assert "CC0-1.0" in model.summary()


def test_saving_in_our_form_and_back_keeps_every_bit(folder: Path, tmp_path: Path) -> None:
    model = zoo.load(folder, device="cpu")
    model.save(tmp_path / "ours")
    again = zoo.load(tmp_path / "ours", device="cpu")
    huggingface.write(tmp_path / "theirs", again.network, again.tokenizer)
    left, right = (read_tensors(path / "model.safetensors") for path in (folder, tmp_path / "theirs"))
    assert left.keys() == right.keys()
    assert all(torch.equal(left[name], right[name]) for name in left)
    assert again.tokenizer.spec.fingerprint == model.tokenizer.spec.fingerprint


@pytest.mark.parametrize(
    ("settings", "layers", "width", "expected"),
    [("base", 12, 768, 109_482_240), ("large", 24, 1024, 335_141_888)],
)
def test_bert_has_the_published_number_of_parameters(settings: str, layers: int, width: int, expected: int) -> None:
    config = bert.config(
        {
            "vocab_size": 30522,
            "hidden_size": width,
            "num_hidden_layers": layers,
            "num_attention_heads": width // 64,
            "intermediate_size": 4 * width,
            "max_position_embeddings": 512,
        },
        ["bert.pooler.dense.weight"],
    )
    assert count_parameters(outline(config)) == expected


@pytest.mark.parametrize("inner", [1, 83, 84, 511, 1023])
def test_any_hidden_width_is_exact(inner: int) -> None:
    config = gpt2.config({**gpt2.settings(PLAIN), "n_inner": inner})
    assert config.feedforward.build(PLAIN.width, bias=True, dropout=0.0).input.out_features == inner
    assert gpt2.settings(config)["n_inner"] == inner


# Without a tokenizer


def test_a_folder_without_a_tokenizer_makes_ids(folder: Path) -> None:
    expected = zoo.load(folder, device="cpu").generate_ids(torch.tensor([[1, 2, 3]]), max_new_tokens=5, seed=1)
    for name in ("vocab.json", "merges.txt", "tokenizer_config.json"):
        (folder / name).unlink()
    model = zoo.load(folder, device="cpu")
    assert isinstance(model.tokenizer, NoTokenizer)
    assert model.tokenizer.spec.end_id == 299
    assert torch.equal(model.generate_ids(torch.tensor([[1, 2, 3]]), max_new_tokens=5, seed=1), expected)
    assert model.logits(torch.tensor([[1, 2]])).shape == (1, 2, 300)
    assert "none" in model.summary()
    for attempt in (
        lambda: model.generate("the"),
        lambda: model.generate(),
        lambda: model.stream("the"),
        lambda: model.next_token_probabilities("the"),
    ):
        with pytest.raises(ZooError, match=r"has no tokenizer, so it reads and makes ids only: use generate_ids"):
            attempt()


def test_a_model_without_a_tokenizer_is_saved_and_loaded(folder: Path, tmp_path: Path) -> None:
    model = zoo.load(folder, device="cpu")
    bare = zoo.model.Model(model.network, None)
    bare.save(tmp_path / "bare")
    assert isinstance(zoo.load(tmp_path / "bare", device="cpu").tokenizer, NoTokenizer)


# Fault 13: names and shapes


def test_every_name_and_shape_that_does_not_fit_is_listed(folder: Path) -> None:
    def change(tensors: dict[str, Tensor]) -> None:
        tensors["transformer.h.0.attn.c_proj.weights"] = tensors.pop("transformer.h.0.attn.c_proj.weight")
        del tensors["transformer.ln_f.bias"]
        tensors["transformer.wte.weight"] = torch.zeros(301, 16)
        tensors["line\nbreak"] = torch.zeros(1)

    change_tensors(folder, change)
    assert refused(folder) == (
        f"{folder / 'model.safetensors'} does not fit this network: "
        "missing 'transformer.h.0.attn.c_proj.weight', missing 'transformer.ln_f.bias', "
        "unexpected 'line\\nbreak', unexpected 'transformer.h.0.attn.c_proj.weights', "
        "'transformer.wte.weight' is (301, 16), not (300, 16)"
    )


def test_old_variants_of_names_are_read(folder: Path) -> None:
    expected = zoo.load(folder, device="cpu").logits(torch.tensor([[1, 2, 3]]))

    def change(tensors: dict[str, Tensor]) -> None:
        for name in list(tensors):
            tensors[name.removeprefix("transformer.")] = tensors.pop(name)
        tensors["lm_head.weight"] = tensors["wte.weight"].clone()
        tensors["h.0.attn.bias"] = torch.ones(1, 1, 32, 32, dtype=torch.uint8)
        tensors["h.1.attn.masked_bias"] = torch.tensor(-1e4)

    change_tensors(folder, change)
    assert torch.equal(zoo.load(folder, device="cpu").logits(torch.tensor([[1, 2, 3]])), expected)


def test_two_names_of_one_weight_are_refused(folder: Path) -> None:
    change_tensors(folder, lambda tensors: tensors.update({"wte.weight": torch.zeros(300, 16)}))
    assert "'wte.weight'" in refused(folder)
    assert "are the same one" in refused(folder)


@pytest.mark.parametrize("value", [float("nan"), float("-inf")])
def test_weights_that_are_not_numbers_are_named(folder: Path, value: float) -> None:
    def change(tensors: dict[str, Tensor]) -> None:
        tensors["transformer.h.1.mlp.c_fc.weight"][3, 2] = value

    path = folder / "model.safetensors"
    tensors = read_tensors(path)
    change(tensors)
    write_tensors(path, tensors)
    assert "tensor 'transformer.h.1.mlp.c_fc.weight' has values that are NaN or infinite" in refused(folder)


def test_weights_that_are_no_floats_are_refused(folder: Path) -> None:
    def change(tensors: dict[str, Tensor]) -> None:
        tensors["transformer.ln_f.weight"] = torch.ones(16, dtype=torch.int64)

    change_tensors(folder, change)
    assert "tensor 'transformer.ln_f.weight' holds int64, not float32" in refused(folder)


def test_half_precision_is_read(folder: Path) -> None:
    expected = zoo.load(folder, device="cpu").logits(torch.tensor([[1, 2, 3]]))
    change_tensors(folder, lambda tensors: tensors.update({name: each.half() for name, each in tensors.items()}))
    model = zoo.load(folder, device="cpu")
    assert next(model.network.parameters()).dtype == torch.float32
    torch.testing.assert_close(model.logits(torch.tensor([[1, 2, 3]])), expected, atol=2e-2, rtol=1e-2)


# Fault 12: another model's tokenizer


@pytest.mark.parametrize("size", [260, 400])
def test_a_tokenizer_of_another_size_is_refused(folder: Path, size: int) -> None:
    other = BpeTokenizer.fit([CORPUS * 2 + "more and more of it, again and again" * 9], vocabulary=size)
    for name, content in other.vocabulary.files().items():
        (folder / name).write_text(content)
    count = other.spec.vocabulary_size
    assert f"makes {count} ids, the network reads 300" in refused(folder)


def test_broken_tokenizer_files_are_named(folder: Path) -> None:
    (folder / "merges.txt").write_text("#version: 0.2\na bc def\n")
    assert "a merge is two symbols" in refused(folder)
    (folder / "vocab.json").write_text("{")
    assert "vocab.json" in refused(folder)


# Fault 7: shards


@pytest.fixture
def shards(folder: Path, tokenizer: BpeTokenizer) -> Path:
    model = zoo.load(folder, device="cpu")
    huggingface.write(folder, model.network, tokenizer, overwrite=True, shard_bytes=10_000)
    assert len(list(folder.glob("model-*"))) > 2
    return folder


def change_index(folder: Path, change: Callable[[dict[str, Any]], object]) -> None:
    path = folder / "model.safetensors.index.json"
    index = json.loads(path.read_text())
    change(index["weight_map"])
    path.write_text(json.dumps(index))


@pytest.mark.parametrize(
    "name",
    [
        "../model.safetensors",
        "/etc/model.safetensors",
        "a/b.safetensors",
        "..\\b.safetensors",
        "b.bin",
        "",
        "..",
        7,
        None,
    ],
)
def test_an_index_never_leaves_its_folder(shards: Path, name: object) -> None:
    change_index(shards, lambda places: places.update({"transformer.ln_f.bias": name}))
    assert "is no safetensors file of this folder" in refused(shards)


def test_shards_that_are_missing_or_hold_something_else_are_named(shards: Path) -> None:
    def elsewhere(places: dict[str, Any]) -> None:
        places["transformer.ln_f.bias"] = places["transformer.wte.weight"]

    change_index(shards, elsewhere)
    assert "do not agree on 'transformer.ln_f.bias'" in refused(shards)
    last = max(shards.glob("model-*.safetensors"))
    last.unlink()
    assert f"{last.name} named in model.safetensors.index.json is missing" in refused(shards)
    (shards / "model.safetensors.index.json").write_text('{"weight_map": []}')
    assert "has no weight_map" in refused(shards)


def test_a_tensor_in_two_shards_is_refused(shards: Path) -> None:
    first, second, *_ = sorted(shards.glob("model-*.safetensors"))
    name = SafetensorsSource([first]).names()[0]
    tensors = read_tensors(second)
    write_tensors(second, {**tensors, name: read_tensors(first)[name]})
    assert f"do not agree on {name!r}" in refused(shards)


def test_a_shard_that_is_cut_short_is_refused(shards: Path) -> None:
    path = min(shards.glob("model-*.safetensors"))
    path.write_bytes(path.read_bytes()[:-1])
    assert "is no sound safetensors file" in refused(shards)


def test_a_file_that_shrinks_after_it_was_checked_is_refused(folder: Path) -> None:
    source = SafetensorsSource([folder / "model.safetensors"])
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[:2000])
    with pytest.raises(ZooError, match="is cut short in tensor"):
        [source.read(name) for name in source.names()]


def test_a_legacy_file_is_read_where_there_is_no_other(folder: Path) -> None:
    expected = zoo.load(folder, device="cpu").logits(torch.tensor([[1, 2, 3]]))
    tensors = read_tensors(folder / "model.safetensors")
    (folder / "model.safetensors").unlink()
    torch.save(tensors, folder / "pytorch_model.bin")
    assert torch.equal(zoo.load(folder, device="cpu").logits(torch.tensor([[1, 2, 3]])), expected)


def test_a_folder_without_weights_says_what_it_looked_for(folder: Path) -> None:
    (folder / "model.safetensors").unlink()
    assert "has no weights: none of model.safetensors" in refused(folder)


# Settings


HOSTILE: dict[str, tuple[dict[str, Any], str]] = {
    "no type": ({"model_type": None}, "model_type None is not one of"),
    "a list as type": ({"model_type": ["gpt2"]}, "is not one of"),
    "another type": ({"model_type": "gpt5"}, "model_type 'gpt5' is not one of"),
    "a width as text": ({"n_embd": "16"}, "config.json.n_embd: expected a whole number, got '16'"),
    "a width of zero": ({"n_embd": 0}, "width must be at least 1"),
    "no width": ({"n_embd": None}, "expected a whole number"),
    "a true depth": ({"n_layer": True}, "expected a whole number"),
    "a negative depth": ({"n_layer": -1}, "depth must be at least 1"),
    "a huge depth": ({"n_layer": 2**30}, "depth must be at most 1024"),
    "a deeper network": ({"n_layer": 1000}, "depth 1000 does not fit"),
    "a huge width": ({"n_embd": 2**30}, "does not fit this network|these settings make no network"),
    "a vocabulary of 2^31": ({"vocab_size": 2**31}, "larger than any model's"),
    "a vocabulary of 2^31 - 1": ({"vocab_size": 2**31 - 1}, "makes 300 ids, the network reads 2147483647"),
    "a context of 2^31 - 1": ({"n_positions": 2**31 - 1}, "'transformer.wpe.weight' is"),
    "a width of many digits": ({"n_embd": 10**400}, "larger than any model's"),
    "an infinite eps": ({"layer_norm_epsilon": float("inf")}, "eps must lie in"),
    "an eps that is none": ({"layer_norm_epsilon": float("nan")}, "must be a number"),
    "heads that do not divide": ({"n_head": 3}, "is not a multiple of heads 3"),
    "a hidden width of zero": ({"n_inner": 0}, "ratio must lie in"),
    "an unknown activation": ({"activation_function": "mish"}, "activation_function 'mish' is not one of gelu"),
    "cross-attention": ({"add_cross_attention": True}, "add_cross_attention is not supported"),
    "a head of labelled tokens": ({"architectures": ["GPT2ForTokenClassification"]}, "labels every token"),
    "a dropout of 1": ({"resid_pdrop": 1}, "dropout must lie in"),
}


@pytest.mark.parametrize("case", HOSTILE)
def test_settings_that_make_no_sense_are_refused(folder: Path, case: str) -> None:
    settings, message = HOSTILE[case]
    change_settings(folder, **settings)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    line = refused(folder)
    assert any(part in line for part in message.split("|")), line
    if sys.platform == "linux":
        assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 200_000  # kB


BERT_REFUSED: dict[str, dict[str, Any]] = {
    "position_embedding_type": {"position_embedding_type": "relative_key"},
    "is_decoder": {"is_decoder": True},
    "add_cross_attention": {"add_cross_attention": True},
    "hidden_act": {"hidden_act": "tanh"},
    "BertForTokenClassification": {"architectures": ["BertForTokenClassification"]},
}


@pytest.mark.parametrize("word", BERT_REFUSED)
def test_what_bert_cannot_be_here_is_refused(word: str) -> None:
    settings = bert.settings(BERT)
    bert.config(settings)
    with pytest.raises(ZooError, match=word):
        bert.config({**settings, **BERT_REFUSED[word]})


@pytest.mark.parametrize(
    ("labels", "message"),
    [({"1": "a"}, "from 0 on"), ({"0": "a", "1": "a"}, "different names"), ({"0": 5}, "by text"), ([], "from 0 on")],
)
def test_labels_are_checked(labels: Any, message: str) -> None:
    with pytest.raises(ZooError, match=message):
        gpt2.config({**gpt2.settings(PLAIN), "id2label": labels}, ["score.weight"])


def test_a_summary_that_is_computed_otherwise_is_refused() -> None:
    settings = gpt2.settings(dataclasses.replace(PLAIN, head=MultipleChoice()))
    for key, value in (("summary_type", "mean"), ("summary_activation", "tanh")):
        with pytest.raises(ZooError, match=key):
            gpt2.config({**settings, key: value}, ["multiple_choice_head.summary.weight"])


# What the layouts cannot express


BERT = dataclasses.replace(
    PLAIN,
    block=bert.PostNorm(),
    final_norm=False,
    embedding_norm=True,
    segments=2,
    patterns=(Dense(causal=False),),
    norm=LayerNorm(eps=1e-12),
    output_transform=OutputTransform(activation="gelu_tanh"),
)
GPT1 = dataclasses.replace(PLAIN, block=gpt1.PostNorm(), final_norm=False)
INEXPRESSIBLE: dict[str, tuple[TransformerConfig, str]] = {
    "rotary": (dataclasses.replace(PLAIN, positions=Rotary()), "gpt2 cannot express positions=rotary"),
    "grouped queries": (dataclasses.replace(PLAIN, key_value_heads=1), "key_value_heads=1"),
    "no offset": (dataclasses.replace(PLAIN, norm=LayerNorm(bias=False)), "norm=layer_norm"),
    "RMS": (dataclasses.replace(BERT, norm=RMSNorm()), "bert cannot express norm=rms_norm"),
    "no biases": (dataclasses.replace(PLAIN, bias=False), "bias=False"),
    "gated": (dataclasses.replace(PLAIN, feedforward=GatedMlp()), "feedforward gated_mlp"),
    "a narrower attention": (dataclasses.replace(PLAIN, attention_width_ratio=0.5), "attention_width_ratio=0.5"),
    "fewer outputs": (dataclasses.replace(PLAIN, output_vocabulary=200), "output_vocabulary=200"),
    "a mean": (dataclasses.replace(PLAIN, head=Classification(labels=("a", "b"), pool=Mean(), bias=False)), "head="),
    "a biased head": (dataclasses.replace(PLAIN, head=Classification(labels=("a", "b"))), "head="),
    "segments": (dataclasses.replace(PLAIN, segments=2), "segments=2"),
    "a wide GPT-1": (dataclasses.replace(GPT1, feedforward=Mlp(ratio=3.0)), "feedforward"),
    "a GPT-1 of spans": (dataclasses.replace(GPT1, head=Span()), "head=span"),
    "a GPT-1 with erf": (dataclasses.replace(GPT1, feedforward=Mlp(activation="gelu")), "activation 'gelu'"),
    "a banded GPT-1": (dataclasses.replace(GPT1, patterns=(Banded(window=4),)), "openai-gpt cannot express patterns"),
    "a causal BERT": (dataclasses.replace(BERT, patterns=(Dense(),)), "patterns=dense"),
    "a BERT without segments": (dataclasses.replace(BERT, segments=0), "segments"),
    "a BERT with two activations": (
        dataclasses.replace(BERT, output_transform=OutputTransform(activation="relu")),
        "output_transform",
    ),
    "a BERT with a head without a pooler": (
        dataclasses.replace(BERT, head=Classification(labels=("a", "b"), pool=Mean())),
        "has a pooler below its classifiers",
    ),
    "a BERT with the usual head without a pooler": (
        dataclasses.replace(BERT, head=Classification(labels=("a", "b"), pool=First())),
        "has a pooler below its classifiers",
    ),
}


@pytest.mark.parametrize("case", INEXPRESSIBLE)
def test_what_a_layout_cannot_express_is_named(tmp_path: Path, case: str) -> None:
    config, message = INEXPRESSIBLE[case]
    with pytest.raises(ZooError) as error:
        huggingface.write(tmp_path / "out", Transformer(config), NoTokenizer(config.vocabulary))
    assert message in str(error.value)
    assert "\n" not in str(error.value)
    assert not (tmp_path / "out").exists()


def test_a_recurrent_network_has_no_layout() -> None:
    with pytest.raises(ZooError, match="no recurrent network"):
        huggingface.family_of(RecurrentConfig(vocabulary=8, context=4, embedding_width=4, width=4))


@pytest.mark.parametrize(
    "config",
    [
        PLAIN,
        GPT1,
        BERT,
        dataclasses.replace(PLAIN, patterns=(Dense(), Banded(window=4))),
        dataclasses.replace(PLAIN, tied=False, head=Span()),
        dataclasses.replace(BERT, pooler=True, head=bert.NEXT_SENTENCE),
        dataclasses.replace(BERT, pooler=True, output_transform=None, head=MultipleChoice(pool=First())),
    ],
)
def test_settings_and_names_go_both_ways(tmp_path: Path, config: TransformerConfig) -> None:
    family = huggingface.family_of(config)
    network = Transformer(config)
    huggingface.write(tmp_path, network, NoTokenizer(config.vocabulary))
    assert json.loads((tmp_path / "config.json").read_text())["model_type"] == family.model_type
    again = zoo.load(tmp_path, device="cpu")
    assert isinstance(again.config, TransformerConfig)
    assert family.settings(again.config) == family.settings(config)
    for name, weight in named_weights(network).items():
        assert torch.equal(named_weights(again.network)[name], weight)


def test_gpt3_reads_only_patterns() -> None:
    settings = gpt3.settings(dataclasses.replace(PLAIN, patterns=(Dense(), Banded(window=4))))
    assert gpt3.config(settings).patterns == (Dense(), Banded(window=4))
    for patterns in ("dense", [{"type": "os.system"}], [{"type": "banded", "window": 0}], []):
        with pytest.raises(ZooError, match="patterns"):
            gpt3.config({**settings, "patterns": patterns})


# Writing


def test_writing_needs_an_empty_folder_and_leaves_nothing_behind(folder: Path, tokenizer: BpeTokenizer) -> None:
    model = zoo.load(folder, device="cpu")
    with pytest.raises(ZooError, match="is not empty"):
        huggingface.write(folder, model.network, tokenizer)
    (folder / "pytorch_model.bin").write_bytes(b"old")
    huggingface.write(folder, model.network, NoTokenizer(300), overwrite=True)
    assert sorted(path.name for path in folder.iterdir()) == [
        "config.json",
        "generation_config.json",
        "model.safetensors",
    ]


def test_a_run_goes_on_from_a_folder_of_theirs(folder: Path, tmp_path: Path) -> None:
    from zoo.recipe import build, compose
    from zoo.run import Run

    text = tmp_path / "text.txt"
    text.write_text(CORPUS)
    recipe = build(compose("text/shakespeare_char", {"data.path": str(text)}, size="tiny"))
    prepared = Run(recipe=recipe, out=tmp_path / "run", init=str(folder), device="cpu").prepare()
    assert prepared.tokenizer.spec.type == "bpe"
    assert torch.equal(
        named_weights(prepared.network)["embedding.tokens.weight"],  # type: ignore[arg-type]
        read_tensors(folder / "model.safetensors")["transformer.wte.weight"],
    )
    for name in ("vocab.json", "merges.txt"):
        (folder / name).unlink()
    with pytest.raises(ZooError, match=r"init: .* has no tokenizer"):
        Run(recipe=recipe, out=tmp_path / "other", init=str(folder), device="cpu").prepare()
