"""How well priors of music predict the codes of sounds, each told of a sound what its training told of one."""

from __future__ import annotations

import math
from typing import Any, Literal

from zoo.data.read_sound import SoundRecords
from zoo.data.song_tokens import SongPart, SongTokens
from zoo.data.songs import facts_of
from zoo.data.sound_tokens import TokenPart, encode_parts
from zoo.errors import ZooError
from zoo.evaluate.held_out import Limited, measured, one_to_learn
from zoo.evaluate.outcome import Outcome
from zoo.evaluate.part import Data
from zoo.evaluate.shown import of_sounds
from zoo.model import Model
from zoo.music.hearing import codec_of
from zoo.music.prior import Prior
from zoo.stack.model import Stack

Parts = tuple[TokenPart, TokenPart]
"""Ids of what is learned from (here of one sound, for form's sake), and of what is held out."""
TOP = (None, None)
"""In the place of ``Parts``: no level stands above."""
ENDS = 0.1
"""Part of each sound that is held out where no whole ones are, as in training."""
COMPARE = "bits per second compare at an equal loss of the codec only: see zoo reconstruct"
TOLD = "artist, genre and lyrics are told as metadata.csv has them; names that a prior has not heard as unknown"


def of_prior(model: Model, data: Data, batch: int) -> Outcome:
    """Evaluate one prior of a coarsest level.

    Raises:
        ZooError: a prior without its codec, or one that is told a coarser level's codes; no such sounds.
    """
    network = model.network
    assert isinstance(network, Prior)
    if network.config.above is not None:
        raise ZooError(
            "this prior is told the codes of a coarser level; evaluate the stack that both are parts of: "
            "zoo stack codec=CODEC priors=COARSEST,…,FINEST out=DIR"
        )
    records = _records(data)
    metrics, tokens = _level(model, _encoded(model, records), TOP, records, batch)
    return _outcome(model, records, metrics, tokens)


def of_stack(stack: Stack, data: Data, batch: int) -> Outcome:
    """Evaluate every prior of a stack, those of finer levels told the true codes of the level above.

    ``loss``, ``bits_per_token`` and ``accuracy`` are over the ids of all levels, ``bits_per_second`` is their sum;
    those of one level have ``level_N_`` before them.

    Raises:
        ZooError: no such sounds.
    """
    records = _records(data)
    metrics: dict[str, Any] = {}
    nats, right, bits, tokens = 0.0, 0.0, 0.0, 0
    above: Parts | tuple[None, None] = TOP
    for level in stack.levels:
        model = stack.prior(level)
        own = _encoded(model, records)
        found, count = _level(model, own, above, records, batch)
        metrics |= {f"level_{level}_{name}": value for name, value in found.items()}
        nats, right = nats + found["loss"] * count, right + found["accuracy"] * count
        bits, tokens = bits + found["bits_per_second"], tokens + count
        above = own
    loss = nats / tokens
    whole = {
        "loss": loss,
        "bits_per_token": loss / math.log(2),
        "accuracy": right / tokens,
        "bits_per_second": bits,
    }
    return _outcome(stack, records, whole | metrics, tokens)


def _records(data: Data) -> SoundRecords:
    records = data.sounds()
    return one_to_learn(records) if records.held_out else records


def _encoded(model: Model, records: SoundRecords) -> Parts:
    return encode_parts(records, codec_of(model.tokenizer), fraction=ENDS, classes=None)


def _level(
    model: Model, own: Parts, above: Parts | tuple[None, None], records: SoundRecords, batch: int
) -> tuple[dict[str, Any], int]:
    """Return the metrics of one prior on ids of its level and of the one above, and how many ids it predicted."""
    tokenizer = codec_of(model.tokenizer)
    genre: Literal["genre", "label"] = model.recipe.get("data", {}).get("genre", "genre")
    facts = facts_of(records)
    train, held_out = (
        SongPart(ids=ids, above=coarser, facts=facts, names=records.names, genre=genre)
        for ids, coarser in zip(own, above, strict=True)
    )
    rows = SongTokens(train=train, held_out=held_out, tokenizer=tokenizer, unlabelled=0.0)
    rows.check(model.network)
    counted = Limited(rows, None)
    return measured(model, counted, batch), counted.tokens


def _outcome(model: Model, records: SoundRecords, metrics: dict[str, Any], tokens: int) -> Outcome:
    return Outcome(
        data=records.title,
        sha256=records.sha256,
        samples=len(records.held_out) or len(records),
        tokens=tokens,
        metrics=metrics,
        notes=[TOLD, COMPARE],
        exhibits=[of_sounds(model, records)],
    )
