"""What stands on the blocks beside the vocabulary, against the same sums written out by hand."""

from __future__ import annotations

import dataclasses

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from zoo import settings
from zoo.architecture import NetworkConfig, count_parameters
from zoo.errors import ZooError
from zoo.network import Conditioning
from zoo.transformer.config import TransformerConfig
from zoo.transformer.heads import AnyPool, Classification, First, Last, Mean, MultipleChoice, OutputTransform, Span
from zoo.transformer.model import Transformer
from zoo.transformer.patterns import Cross, Dense

BASE = TransformerConfig(vocabulary=23, context=12, width=16, depth=2, heads=2)
ENCODER = dataclasses.replace(BASE, patterns=(Dense(causal=False),), width=8)
WITH_ENCODER = dataclasses.replace(BASE, patterns=(Dense(), Cross()), memory_width=8, encoder=ENCODER)
LABELS = ("cold", "mild", "hot")


def build(config: TransformerConfig) -> Transformer:
    torch.manual_seed(3)
    model = Transformer(config).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(torch.randn_like(parameter) * 0.4)
    return model


@pytest.fixture
def ids() -> Tensor:
    return torch.randint(0, BASE.vocabulary, (3, 7), generator=torch.Generator().manual_seed(1))


@torch.no_grad()
def test_output_transform(ids: Tensor) -> None:
    model = build(dataclasses.replace(BASE, output_transform=OutputTransform(activation="gelu")))
    hidden, part = model.hidden(ids), model.transform
    assert part is not None
    changed = functional.gelu(hidden @ part.dense.weight.T + part.dense.bias)
    changed = functional.layer_norm(changed, (16,), part.norm.weight, part.norm.bias, eps=1e-5)
    torch.testing.assert_close(model(ids), changed @ model.embedding.tokens.weight.T + part.bias)


@pytest.mark.parametrize(("pool", "rows"), [(First(), [0, 0, 0]), (Last(), [6, 3, 0]), (Mean(), None)])
@torch.no_grad()
def test_classification_looks_at_real_positions_only(ids: Tensor, pool: AnyPool, rows: list[int] | None) -> None:
    model = build(dataclasses.replace(BASE, head=Classification(labels=LABELS, pool=pool, bias=False)))
    assert model.classifier is not None
    lengths = torch.tensor([7, 4, 1])
    hidden = model.hidden(ids, lengths=lengths)
    if rows is None:
        features = torch.stack([hidden[row, :length].mean(0) for row, length in enumerate(lengths.tolist())])
    else:
        features = hidden[torch.arange(3), torch.tensor(rows)]
    expected = features @ model.classifier.output.weight.T
    hidden[1, 4:], hidden[2, 1:] = float("nan"), float("nan")  # what stands at padding is never read
    torch.testing.assert_close(model.classify(hidden, lengths=lengths), expected)
    assert expected.shape == (3, 3)


@torch.no_grad()
def test_pooler_feeds_the_head(ids: Tensor) -> None:
    model = build(dataclasses.replace(BASE, pooler=True, head=Classification(labels=LABELS, pool=First())))
    assert model.pooler is not None
    assert model.classifier is not None
    hidden = model.hidden(ids)
    pooled = torch.tanh(hidden[:, 0] @ model.pooler.dense.weight.T + model.pooler.dense.bias)
    expected = pooled @ model.classifier.output.weight.T + model.classifier.output.bias
    torch.testing.assert_close(model.classify(hidden), expected)


@torch.no_grad()
def test_span_and_choice_shapes(ids: Tensor) -> None:
    span = build(dataclasses.replace(BASE, head=Span()))
    assert span.classify(span.hidden(ids)).shape == (3, 7, 2)
    choice = build(dataclasses.replace(BASE, head=MultipleChoice()))
    assert choice.classify(choice.hidden(ids)).shape == (3, 1)


def test_counts_of_what_is_added() -> None:
    plain = count_parameters(Transformer(BASE))
    added = {
        OutputTransform: (dataclasses.replace(BASE, output_transform=OutputTransform()), 16 * 16 + 16 + 2 * 16 + 23),
        Classification: (dataclasses.replace(BASE, head=Classification(labels=LABELS)), 3 * 16 + 3),
        Span: (dataclasses.replace(BASE, head=Span()), 2 * 16 + 2),
    }
    for config, count in added.values():
        assert count_parameters(Transformer(config)) == plain + count


def test_no_head_is_said(ids: Tensor) -> None:
    model = build(BASE)
    with pytest.raises(ZooError, match="no head"):
        model.classify(model.hidden(ids))


def test_heads_survive_plain_mappings() -> None:
    config = dataclasses.replace(
        WITH_ENCODER, pooler=True, head=Classification(labels=LABELS, pool=Mean()), output_transform=OutputTransform()
    )
    assert settings.build(NetworkConfig, settings.to_mapping(config), "config") == config


def test_labels_must_differ() -> None:
    for labels in ((), ("a", "a")):
        with pytest.raises(ZooError, match="labels must be different"):
            Classification(labels=labels)


@torch.no_grad()
def test_encoder_padding_changes_nothing(ids: Tensor) -> None:
    model = build(WITH_ENCODER)
    source = torch.randint(0, 23, (3, 9), generator=torch.Generator().manual_seed(2))
    together = model(ids, conditioning=Conditioning(source=source, source_lengths=torch.tensor([9, 5, 2])))
    for row, length in enumerate((9, 5, 2)):
        alone = model(ids[row : row + 1], conditioning=Conditioning(source=source[row : row + 1, :length]))
        torch.testing.assert_close(together[row], alone[0])
    assert not torch.allclose(together, model(ids, conditioning=Conditioning(source=source)))


@torch.no_grad()
def test_encoder_runs_once_where_it_is_prepared(ids: Tensor) -> None:
    model = build(WITH_ENCODER)
    source = torch.randint(0, 23, (3, 9), generator=torch.Generator().manual_seed(2))
    told = Conditioning(source=source)
    prepared = model.prepare(told)
    assert prepared is not None
    assert prepared.source is None
    assert model.prepare(prepared) is prepared
    torch.testing.assert_close(model(ids, conditioning=prepared), model(ids, conditioning=told))


def test_encoder_and_memory_must_fit() -> None:
    with pytest.raises(ZooError, match="the encoder's width 8 is not memory_width 16"):
        dataclasses.replace(WITH_ENCODER, memory_width=16)
