"""What an evaluation shows beside its figures: texts, pictures and sounds, and how little they were expected."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from zoo.data.base import IGNORED, TokenData
from zoo.data.records import Records
from zoo.data.stream import Stream
from zoo.evaluate.outcome import Exhibit, Histogram, Pictures, Sounds, Surprise, Texts
from zoo.generate.sampler import evaluation_mode
from zoo.model import Model
from zoo.tokenizers.audio.waveform import Audio, to_mono
from zoo.tokenizers.base import TextTokenizer

PIECES = 400
"""Tokens of the beginning of a text that are shown by how little they were expected."""
SHOWN = 8
"""Pictures that are shown of the easiest and of the hardest."""
SOUNDS, HEARD = 4, 10
"""Sounds that are played, and seconds of each."""
BEGUN, WRITTEN, WRITES = 32, 2, 120
"""Tokens that the model goes on from, texts that it writes, and tokens of each."""


@torch.inference_mode()
def row_nats(model: Model, data: TokenData, batch: int) -> list[tuple[int, float]]:
    """Return (sample number, nats) of each held-out row."""
    found = []
    with evaluation_mode(model.network):
        for host in data.held_out(batch):
            rows = host.to(model.device)
            logits = model.network(rows.ids, lengths=rows.lengths, conditioning=rows.conditioning).float()
            wanted = rows.targets.clamp(min=0)
            logs = logits.log_softmax(-1).gather(-1, wanted[..., None])[..., 0]
            nats = -logs.where(rows.targets != IGNORED, 0).double().sum(1)
            found += list(zip(host.indices.tolist(), nats.tolist(), strict=True))
    return found


def of_pictures(model: Model, records: Records[Any], data: TokenData) -> list[Exhibit]:
    """Return the pictures with the fewest and the most nats, of the first batches."""
    nats = sorted(row_nats(model, data, 8), key=lambda pair: pair[1])

    def entries(pairs: list[tuple[int, float]]) -> list[tuple[str, Any]]:
        decoded = ((number, value, model.tokenizer.encode(records[number])) for number, value in pairs)
        return [
            (f"{records.names[number]}: {value:.0f} nats", model.tokenizer.decode(ids))
            for number, value, ids in decoded
        ]

    values = np.array([value for _, value in nats])
    return [
        Pictures(title="Easiest to predict", entries=entries(nats[:SHOWN])),
        Pictures(title="Hardest to predict", entries=entries(nats[::-1][:SHOWN])),
        Histogram(title="Nats of each picture", across="nats", groups={"held out": values}),
    ]


def of_sounds(model: Model, records: Records[Any]) -> Sounds:
    """Return the beginnings of some sounds, as the model's ids keep them: what it is asked to predict."""
    entries = []
    for number in list(records.held_out or range(len(records)))[:SOUNDS]:
        sound = records[number]
        mono = to_mono(sound.samples[: round(HEARD * sound.rate)])
        kept = model.tokenizer.decode(model.tokenizer.encode(Audio(mono, sound.rate)))
        entries.append((records.names[number], kept))
    return Sounds(title=f"The first {HEARD} seconds, as the ids keep them", entries=entries)


def of_text(model: Model, stream: Stream, seed: int) -> list[Exhibit]:
    """Return how much of a text was expected, and how the model itself goes on from its beginning."""
    assert isinstance(model.tokenizer, TextTokenizer)
    surprise = _surprise(model, stream)
    nats = np.array([value for _, value in surprise.pieces[1:]])
    begun = model.tokenizer.decode(torch.from_numpy(stream.ids[:BEGUN].astype(np.int64)))
    drawn = model.draw(begun, count=WRITTEN, max_new_tokens=WRITES, temperature=0.8, seed=seed, truncate="left")
    return [
        surprise,
        Histogram(title="Nats of each of these tokens", across="nats", groups={"held out": nats}),
        Texts(title="How the model goes on, temperature 0.8", entries=[(begun, str(one.sample)) for one in drawn]),
    ]


@torch.inference_mode()
def _surprise(model: Model, stream: Stream) -> Surprise:
    """Return the beginning of a text with the nats of each token."""
    assert isinstance(model.tokenizer, TextTokenizer)
    count = min(PIECES, model.network.context, len(stream.ids) - 1)
    ids: Tensor = torch.from_numpy(stream.ids[: count + 1].astype(np.int64))
    logs = model.logits(ids[None, :-1])[0].log_softmax(-1)
    nats = -logs.gather(1, ids[1:, None].to(logs.device))[:, 0]
    texts = [model.tokenizer.decode(ids[: end + 1]) for end in range(count + 1)]
    pieces = [(texts[0], 0.0)]
    for number in range(count):
        pieces.append((texts[number + 1][len(texts[number]) :], float(nats[number])))
    return Surprise(title="The beginning of the text: the darker, the less expected", pieces=pieces)
