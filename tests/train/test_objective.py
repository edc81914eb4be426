"""What is minimised, against sums written out by hand, and through the training loop."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from tests.data.masks import FIRST, Places
from tests.data.test_masked import stream
from tests.train import small
from zoo.data.base import IGNORED, Batch
from zoo.data.gaps import Rows
from zoo.data.masked import MaskedData
from zoo.errors import ZooError
from zoo.evaluate.language_model import evaluate
from zoo.network import Conditioning
from zoo.train.loop import Trainer
from zoo.train.objective import MaskedLanguageModel, MusicAndLyrics
from zoo.train.optimizer import AdamW
from zoo.train.schedule import Constant
from zoo.train.settings import TrainSettings
from zoo.transformer.block import PostNorm
from zoo.transformer.config import TransformerConfig
from zoo.transformer.heads import Classification, First, OutputTransform
from zoo.transformer.initial import BertInitial
from zoo.transformer.model import Transformer
from zoo.transformer.patterns import Dense
from zoo.weights.tensors import named_weights

VOCABULARY, CONTEXT = FIRST + 300, 24
OBJECTIVE = MaskedLanguageModel()


def bert(seed: int = 0, *, labels: bool = True) -> Transformer:
    torch.manual_seed(seed)
    config = TransformerConfig(
        vocabulary=VOCABULARY, context=CONTEXT, width=16, depth=2, heads=2, segments=2,
        patterns=(Dense(causal=False),), block=PostNorm(), final_norm=False, embedding_norm=True, pooler=True,
        output_transform=OutputTransform(), initial=BertInitial(),
        head=Classification(labels=("next", "random"), pool=First(), dropout=0.0) if labels else None,
    )  # fmt: skip
    return Transformer(config)


def data(*, pairs: bool = True) -> MaskedData:
    rows = Rows(Places(VOCABULARY), CONTEXT, 0.15)
    return MaskedData(
        title="x",
        train=stream(300, document=90),
        held_out=stream(100, document=30),
        rows=rows,
        next_sentence=pairs,
    )


def settings(**changes: object) -> TrainSettings:
    return small.settings(**({"objective": OBJECTIVE, "save_every": 0, "evaluate_every": 0} | changes))


def trainer(out: Path, train: TrainSettings, network: nn.Module | None = None) -> Trainer:
    return small.trainer(out, train, network=network or bert(), data=data(), resume=out.exists())


@torch.no_grad()
def by_hand(network: Transformer, batch: Batch) -> tuple[float, float]:
    """Return the summed losses of ids and labels, one row and one position after the other, without padding."""
    ids = labels = 0.0
    for row in range(len(batch.ids)):
        length = batch.ids.shape[1] if batch.lengths is None else int(batch.lengths[row])
        assert batch.conditioning is not None
        assert batch.conditioning.segments is not None
        assert batch.labels is not None
        told = Conditioning(segments=batch.conditioning.segments[row : row + 1, :length])
        hidden = network.hidden(batch.ids[row : row + 1, :length], conditioning=told)
        logs = network.head(hidden).double().log_softmax(-1)[0]
        for place in range(length):
            target = int(batch.targets[row, place])
            ids -= 0.0 if target == IGNORED else float(logs[place, target])
        labels -= float(network.classify(hidden).double().log_softmax(-1)[0, int(batch.labels[row])])
    return ids, labels


def test_it_sums_the_losses_of_gaps_and_of_labels() -> None:
    network, source = bert().eval(), data()
    for step in range(5):
        batch = source.batch(step=step, size=6, seed=0)
        ids, labels = OBJECTIVE.losses(network, batch)
        assert ids.dtype == labels.dtype == torch.float32
        expected = by_hand(network, batch)
        assert (ids.item(), labels.item()) == pytest.approx(expected, rel=1e-5)
        assert OBJECTIVE.counts(batch) == (int((batch.targets != IGNORED).sum()), 6)
    single = data(pairs=False).batch(step=0, size=3, seed=0)
    assert len(OBJECTIVE.losses(network, single)) == len(OBJECTIVE.counts(single)) == 1
    with pytest.raises(ZooError, match="no head that classifies"):
        OBJECTIVE.losses(bert(labels=False), batch)


def test_an_untrained_network_knows_nothing() -> None:
    network, source = bert().eval(), data()
    metrics = evaluate(network, source, batch=4)
    assert metrics["loss"] == pytest.approx(math.log(VOCABULARY), abs=0.1)
    assert metrics["bits_per_token"] == pytest.approx(math.log2(VOCABULARY), abs=0.15)
    assert metrics["next_sentence_loss"] == pytest.approx(math.log(2), abs=0.05)
    assert "bits_per_byte" not in metrics
    sums = np.array([by_hand(network, batch) for batch in source.held_out(3)]).sum(axis=0)
    counts = np.array([OBJECTIVE.counts(batch) for batch in source.held_out(3)]).sum(axis=0)
    assert (metrics["loss"], metrics["next_sentence_loss"]) == pytest.approx(tuple(sums / counts), rel=1e-5)
    right = all_rows = 0
    for batch in source.held_out(3):
        assert batch.labels is not None
        hidden = network.hidden(batch.ids, lengths=batch.lengths, conditioning=batch.conditioning)
        right += int((network.classify(hidden).argmax(-1) == batch.labels).sum())
        all_rows += len(batch.labels)
    assert metrics["next_sentence_accuracy"] == right / all_rows
    assert "next_sentence_accuracy" not in evaluate(network, data(pairs=False), batch=4)


def test_one_update_takes_the_means_over_all_micro_batches(tmp_path: Path) -> None:
    adamw = AdamW(eps=1e-3, weight_decay=0.0)
    train = settings(steps=2, accumulation=3, clip=0.0, schedule=Constant(), optimizer=adamw, learning_rate=1e-2)
    network, plain = bert(), bert()
    trainer(tmp_path / "out", train, network).run()
    optimizer = torch.optim.AdamW(plain.parameters(), lr=1e-2, betas=(0.9, 0.99), eps=1e-3, weight_decay=0.0)
    for step in range(2):
        batches = [data().batch(step=3 * step + part, size=4, seed=0) for part in range(3)]
        gaps, labels = [], []
        for batch in batches:
            hidden = plain.hidden(batch.ids, lengths=batch.lengths, conditioning=batch.conditioning)
            every = nn.functional.cross_entropy(
                plain.head(hidden).flatten(0, 1), batch.targets.flatten(), ignore_index=IGNORED, reduction="none"
            )
            gaps.append(every[batch.targets.flatten() != IGNORED])
            labels.append(nn.functional.cross_entropy(plain.classify(hidden), batch.labels, reduction="none"))
        optimizer.zero_grad()
        (torch.cat(gaps).mean() + torch.cat(labels).mean()).backward()
        optimizer.step()
    for name, weight in named_weights(network).items():
        torch.testing.assert_close(weight, named_weights(plain)[name], atol=2e-6, rtol=1e-4)


def test_a_stopped_run_goes_on_with_the_same_bits(tmp_path: Path) -> None:
    alone, stopped = bert(), bert()
    train = settings(steps=8, schedule=Constant())
    whole = trainer(tmp_path / "alone", train, alone).run()
    trainer(tmp_path / "stopped", settings(steps=3, schedule=Constant()), stopped).run()
    resumed = bert(seed=9)
    result = trainer(tmp_path / "stopped", train, resumed).run()
    assert result.metrics == whole.metrics
    assert result.tokens == whole.tokens
    for name, weight in named_weights(alone).items():
        assert torch.equal(weight, named_weights(resumed)[name]), name


def test_the_log_tells_both_losses(tmp_path: Path) -> None:
    result = trainer(tmp_path / "out", settings(steps=4)).run()
    records = [json.loads(line) for line in (tmp_path / "out" / "metrics.jsonl").read_text().splitlines()]
    train = [record for record in records if record["split"] == "train"]
    assert len(train) == 4
    assert train[0]["loss"] == pytest.approx(math.log(VOCABULARY), abs=0.2)  # of the gaps alone
    assert train[0]["next_sentence_loss"] == pytest.approx(math.log(2), abs=0.1)
    assert {"next_sentence_loss", "next_sentence_accuracy"} < set(records[-1]) & set(result.metrics)
    batches = [data().batch(step=step, size=4, seed=0) for step in range(4)]
    assert result.tokens == sum(OBJECTIVE.counts(batch)[0] for batch in batches)


def test_what_is_not_compiled_says_so() -> None:
    with pytest.raises(ZooError, match=r"train\.compile does not reach"):
        settings(compile=True)


def test_noise_replaces_some_of_the_ids_that_are_read_while_training() -> None:
    seen: list[torch.Tensor] = []

    class Network(nn.Module):
        def hidden_with_lyrics(self, ids: torch.Tensor, conditioning: object) -> tuple[torch.Tensor, None]:
            seen.append(ids)
            return torch.zeros(*ids.shape, 4), None

        def head(self, hidden: torch.Tensor) -> torch.Tensor:
            return torch.zeros(*hidden.shape[:2], 500)

    torch.manual_seed(0)
    ids = torch.randint(0, 500, (8, 257))
    batch = Batch(ids=ids, targets=ids, indices=torch.arange(8))
    network = Network()
    objective = MusicAndLyrics(noise=0.25)
    for learns in (True, False):
        objective.losses(network.train(learns), batch)
    disturbed, plain = seen
    assert torch.equal(plain, ids)
    assert torch.equal(disturbed[:, 0], ids[:, 0])
    assert (disturbed != ids).float().mean().item() == pytest.approx(0.25, abs=0.03)
    assert set(disturbed.flatten().tolist()) <= set(ids.flatten().tolist())
    with pytest.raises(ZooError, match="noise"):
        MusicAndLyrics(noise=1.0)
