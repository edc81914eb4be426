"""The authors' own files: told apart by what is there, complete in both directions, honest about what is missing."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

import zoo
from tests.weights.tensorflow_files import write_checkpoint
from zoo import ZooError
from zoo.tokenizers.none import NoTokenizer
from zoo.tokenizers.text.gpt1 import Gpt1Tokenizer
from zoo.tokenizers.text.merges import Merges
from zoo.transformer.block import PostNorm
from zoo.transformer.config import TransformerConfig
from zoo.transformer.heads import Classification, OutputTransform
from zoo.transformer.model import Transformer
from zoo.transformer.norm import LayerNorm
from zoo.transformer.patterns import Banded, Dense
from zoo.weights import openai, original
from zoo.weights.links import written

GPT2 = TransformerConfig(vocabulary=11, context=6, width=24, depth=2, heads=2)
GPT1 = dataclasses.replace(GPT2, block=PostNorm(), final_norm=False, heads=12)
BERT = dataclasses.replace(
    GPT1,
    heads=2,
    patterns=(Dense(causal=False),),
    norm=LayerNorm(eps=1e-12),
    embedding_norm=True,
    segments=2,
    pooler=True,
    output_transform=OutputTransform(activation="gelu_tanh"),
    head=Classification(labels=("next", "random")),
)
IDS = torch.tensor([[1, 2, 3, 4]])


def network(config: TransformerConfig) -> Transformer:
    torch.manual_seed(0)
    made = Transformer(config).eval()
    for parameter in made.parameters():
        torch.nn.init.normal_(parameter, std=0.5)
    return made


@torch.no_grad()
def logits(made: Any) -> torch.Tensor:
    result: torch.Tensor = made.head(made.hidden(IDS))
    return result


@pytest.mark.parametrize("config", [GPT1, GPT2], ids=["gpt1", "gpt2"])
def test_written_and_read(config: TransformerConfig, tmp_path: Path) -> None:
    made = network(config)
    openai.write(tmp_path, made, NoTokenizer(config.vocabulary))
    model = zoo.load(tmp_path, device="cpu")
    assert torch.equal(model.logits(IDS), logits(made))
    for file in tmp_path.iterdir():  # each file stands for its folder
        assert torch.equal(zoo.load(file, device="cpu").logits(IDS), logits(made))


def test_gpt1_s_files_are_those_of_the_original_program(tmp_path: Path) -> None:
    """Read as openai/finetune-transformer-lm does: concatenate, split at the shapes' sizes, positions first."""
    made = network(GPT1)
    openai.write(tmp_path, made, NoTokenizer(GPT1.vocabulary))
    shapes = json.loads((tmp_path / "params_shapes.json").read_text())
    flat = np.concatenate([np.load(tmp_path / f"params_{number}.npy") for number in range(10)], 0)
    parts = np.split(flat, np.cumsum([np.prod(shape) for shape in shapes]))[:-1]
    tensors = [part.reshape(shape) for part, shape in zip(parts, shapes, strict=True)]
    assert np.array_equal(tensors[0], made.embedding.positions.weight.detach())
    assert np.array_equal(tensors[1], made.embedding.tokens.weight.detach())
    assert shapes[2:] == [
        [1, 24, 72], [72], [1, 24, 24], [24], [24], [24], [1, 24, 96], [96], [1, 96, 24], [24], [24], [24]
    ] * 2  # fmt: skip
    block = dict(made.blocks[1].named_parameters())
    assert np.array_equal(tensors[14][0].T, block["attention.input.weight"].detach())
    assert np.array_equal(tensors[25], block["feedforward_norm.bias"].detach())


@pytest.mark.parametrize("words", ["bert", "english"])
def test_gpt1_s_vocabulary_cuts_words_as_before(tmp_path: Path, words: Literal["bert", "english"]) -> None:
    ids = {symbol: index for index, symbol in enumerate(["<unk>", "a", "a</w>", "b</w>", "ab</w>", "\n</w>"])}
    tokenizer = Gpt1Tokenizer(Merges(ids=ids, ranks=(("a", "b</w>"),), suffix="</w>", unknown="<unk>"), words=words)
    openai.write(tmp_path, network(dataclasses.replace(GPT1, vocabulary=6)), tokenizer)
    assert {"encoder_bpe_40000.json", "vocab_40000.bpe"} <= {path.name for path in tmp_path.iterdir()}
    assert zoo.load(tmp_path, device="cpu").tokenizer.spec == tokenizer.spec
    (tmp_path / "options.json").unlink(missing_ok=True)  # as OpenAI's: the original way
    released = zoo.load(tmp_path, device="cpu").tokenizer
    assert torch.equal(released.encode("AB\nab"), torch.tensor([4, 5, 4]))


def test_gpt1_without_hparams_has_twelve_heads(tmp_path: Path) -> None:
    made = network(GPT1)
    openai.write(tmp_path, made, NoTokenizer(GPT1.vocabulary))
    (tmp_path / "hparams.json").unlink()
    assert torch.equal(zoo.load(tmp_path, device="cpu").logits(IDS), logits(made))
    odd = network(dataclasses.replace(GPT1, width=20, heads=4))
    openai.write(tmp_path, odd, NoTokenizer(GPT1.vocabulary))
    (tmp_path / "hparams.json").unlink()
    with pytest.raises(ZooError, match=r'width 20 is no multiple of 12 heads; say {"n_head": N} in hparams\.json'):
        zoo.load(tmp_path, device="cpu")


@pytest.mark.parametrize(
    ("config", "message"),
    [
        (dataclasses.replace(GPT2, patterns=(Dense(), Banded(window=3))), "cannot express patterns=dense/banded"),
        (dataclasses.replace(GPT2, bias=False), "cannot express bias=False"),
        (dataclasses.replace(GPT2, tied=False), "cannot express tied=False"),
        (dataclasses.replace(GPT1, head=Classification(labels=("a", "b"))), "cannot express head=classification"),
        (BERT, "OpenAI released no files for this architecture"),
    ],
)
def test_what_the_files_cannot_say_is_named(config: TransformerConfig, message: str, tmp_path: Path) -> None:
    with pytest.raises(ZooError, match=message):
        openai.write(tmp_path, network(config), NoTokenizer(config.vocabulary))
    assert list(tmp_path.iterdir()) == []


def bert_variables(made: Transformer) -> Mapping[str, NDArray[Any]]:
    """Google's names and orientation, written down by hand."""
    weights = {name: weight.detach().numpy() for name, weight in made.named_parameters()}
    names = {
        "bert/embeddings/word_embeddings": weights["embedding.tokens.weight"],
        "bert/embeddings/position_embeddings": weights["embedding.positions.weight"],
        "bert/embeddings/token_type_embeddings": weights["embedding.segments.weight"],
        "bert/embeddings/LayerNorm/gamma": weights["embedding.norm.weight"],
        "bert/embeddings/LayerNorm/beta": weights["embedding.norm.bias"],
        "bert/pooler/dense/kernel": weights["pooler.dense.weight"].T,
        "bert/pooler/dense/bias": weights["pooler.dense.bias"],
        "cls/predictions/transform/dense/kernel": weights["transform.dense.weight"].T,
        "cls/predictions/transform/dense/bias": weights["transform.dense.bias"],
        "cls/predictions/transform/LayerNorm/gamma": weights["transform.norm.weight"],
        "cls/predictions/transform/LayerNorm/beta": weights["transform.norm.bias"],
        "cls/predictions/output_bias": weights["transform.bias"],
        "cls/seq_relationship/output_weights": weights["classifier.output.weight"],
        "cls/seq_relationship/output_bias": weights["classifier.output.bias"],
    }
    for layer in range(2):
        ours, theirs = f"blocks.{layer}", f"bert/encoder/layer_{layer}"
        for index, part in enumerate(("query", "key", "value")):
            rows = slice(24 * index, 24 * index + 24)
            names[f"{theirs}/attention/self/{part}/kernel"] = weights[f"{ours}.attention.input.weight"][rows].T
            names[f"{theirs}/attention/self/{part}/bias"] = weights[f"{ours}.attention.input.bias"][rows]
        for place, name in (
            ("attention/output", "attention.output"),
            ("intermediate", "feedforward.input"),
            ("output", "feedforward.output"),
        ):
            names[f"{theirs}/{place}/dense/kernel"] = weights[f"{ours}.{name}.weight"].T
            names[f"{theirs}/{place}/dense/bias"] = weights[f"{ours}.{name}.bias"]
        for place, name in (("attention/output", "attention_norm"), ("output", "feedforward_norm")):
            names[f"{theirs}/{place}/LayerNorm/gamma"] = weights[f"{ours}.{name}.weight"]
            names[f"{theirs}/{place}/LayerNorm/beta"] = weights[f"{ours}.{name}.bias"]
    return names


BERT_CONFIG = {
    "hidden_size": 24, "hidden_act": "gelu", "num_hidden_layers": 2, "num_attention_heads": 2, "vocab_size": 11,
    "intermediate_size": 96, "max_position_embeddings": 6, "type_vocab_size": 2, "hidden_dropout_prob": 0.1,
    "attention_probs_dropout_prob": 0.1, "initializer_range": 0.02,
}  # fmt: skip


def test_bert_as_google_released_it(tmp_path: Path) -> None:
    made = network(BERT)
    (tmp_path / "bert_config.json").write_text(json.dumps(BERT_CONFIG))
    variables = bert_variables(made)
    left = {"global_step": np.array(9), "bert/pooler/dense/kernel/adam_m": variables["bert/pooler/dense/kernel"]}
    write_checkpoint(tmp_path / "bert_model.ckpt", {**variables, **left})
    (tmp_path / "vocab.txt").write_text("[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\nthe\ncat\n##s\nA\n##b\nc\n")
    model = zoo.load(tmp_path, device="cpu")
    torch.testing.assert_close(model.logits(IDS), logits(made))
    assert model.parameters == sum(parameter.numel() for parameter in made.parameters())
    assert torch.equal(model.tokenizer.encode("the A"), torch.tensor([5, 8]))  # a capital among the pieces: cased
    bare = {name: array for name, array in variables.items() if not name.startswith("cls/")}
    write_checkpoint(tmp_path / "bert_model.ckpt", bare)
    without = zoo.load(tmp_path, device="cpu")
    for ours, theirs in zip(without.hidden_states(IDS), model.hidden_states(IDS), strict=True):
        assert torch.equal(ours, theirs)


def write_gpt2(folder: Path, made: Transformer, prefix: str) -> None:
    tensors = {name: view.detach().numpy() for name, view in written(made, original.GPT2.links(made.config))}
    write_checkpoint(folder / prefix, tensors)
    stated = {"n_vocab": 11, "n_ctx": 6, "n_embd": 24, "n_head": 2, "n_layer": 2}
    (folder / "hparams.json").write_text(json.dumps(stated))


def test_the_checkpoint_file_says_which_of_several(tmp_path: Path) -> None:
    first, second = network(GPT2), network(GPT2)
    torch.nn.init.zeros_(second.embedding.tokens.weight)
    write_gpt2(tmp_path, first, "model-1")
    write_gpt2(tmp_path, second, "model-2")
    with pytest.raises(ZooError, match=r"has 2 checkpoints \(\*\.index\), not one; leave one there"):
        zoo.load(tmp_path, device="cpu")
    (tmp_path / "checkpoint").write_text('model_checkpoint_path: "/elsewhere/model-1"\nother: "model-2"\n')
    assert torch.equal(zoo.load(tmp_path, device="cpu").logits(IDS), logits(first))
    (tmp_path / "checkpoint").write_text('model_checkpoint_path: "../model-3"\n')
    with pytest.raises(ZooError, match="has 0 checkpoints"):
        zoo.load(tmp_path, device="cpu")


def test_every_tensor_that_is_missing_or_of_another_shape_is_named(tmp_path: Path) -> None:
    write_gpt2(tmp_path, network(GPT2), "model.ckpt")
    stated = json.loads((tmp_path / "hparams.json").read_text())
    (tmp_path / "hparams.json").write_text(json.dumps({**stated, "n_ctx": 7, "n_layer": 3}))
    with pytest.raises(ZooError, match=r"missing 'model/h2/ln_1/g'.*'model/wpe' is \(6, 24\), not \(7, 24\)"):
        zoo.load(tmp_path, device="cpu")
    for changed in ({"n_head": 5}, {"n_embd": 0}, {"n_ctx": "6"}, {"n_layer": 1 << 40}, {"n_vocab": None}):
        (tmp_path / "hparams.json").write_text(json.dumps({**stated, **changed}))
        with pytest.raises(ZooError):
            zoo.load(tmp_path, device="cpu")


def test_folders_that_are_none_of_these(tmp_path: Path) -> None:
    with pytest.raises(ZooError, match=r"config\.json is missing; a checkpoint is a folder"):
        zoo.load(tmp_path)
    (tmp_path / "notes.txt").write_text("")
    with pytest.raises(ZooError, match=r"notes\.txt is no folder; a checkpoint is a folder"):
        zoo.load(tmp_path / "notes.txt")
    openai.write(tmp_path, network(GPT1), NoTokenizer(GPT1.vocabulary))
    (tmp_path / "params_3.npy").unlink()
    with pytest.raises(ZooError, match=r"params_3\.npy cannot be read: No such file"):
        zoo.load(tmp_path)
