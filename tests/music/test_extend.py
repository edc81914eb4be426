"""New artists and genres of a trained prior: numbers, rows, and what does not change."""

from __future__ import annotations

import dataclasses
from dataclasses import replace
from pathlib import Path

import pytest
import torch

import zoo
from tests.cli.codecs import save_codec, write_sound
from zoo.errors import ZooError
from zoo.music.config import Labels, PriorConfig
from zoo.music.extend import extend
from zoo.music.names import Names, Words
from zoo.music.prior import Prior
from zoo.network import Conditioning
from zoo.recipe import Recipe, build, compose
from zoo.run import Run
from zoo.settings import to_mapping
from zoo.transformer.config import TransformerConfig
from zoo.weights.folder import Contents, write

KNOWN = Names(artists={"nina": 1, "otis": 2}, genres={"soul": 1})


def prior(labels: Labels | None) -> Prior:
    torch.manual_seed(0)
    begun = labels is None
    inner = TransformerConfig(
        vocabulary=7 + begun, output_vocabulary=7 if begun else None, context=8, width=16, depth=1, heads=2
    )
    return Prior(PriorConfig(transformer=inner, labels=labels)).eval()


def logits(network: Prior, artist: int, genre: int) -> torch.Tensor:
    row = torch.tensor([[800, 0, 8, artist, genre]])
    ids = torch.tensor([[network.start_id, 3, 1, 2]])
    with torch.no_grad():
        return network(ids, conditioning=Conditioning(labels=row))


def test_new_names_follow_the_known_ones_and_begin_as_unknown_ones() -> None:
    network = prior(Labels(artists=3, genres=2, names=KNOWN))
    before = {pair: logits(network, *pair) for pair in ((0, 0), (0, 1), (1, 1), (2, -1))}
    added = extend(network, Names.learned(["Sam", "nina", "Aretha"], ["soul", "funk"]))
    assert added == 3
    labels = network.config.labels
    assert labels is not None
    assert labels.names == Names(artists={"nina": 1, "otis": 2, "aretha": 3, "sam": 4}, genres={"soul": 1, "funk": 2})
    assert (labels.artists, labels.genres) == (5, 3)
    for pair, expected in before.items():
        assert torch.equal(logits(network, *pair), expected)
    assert torch.equal(logits(network, 4, 1), before[0, 1])
    again = Prior(network.config)
    again.load_state_dict(network.state_dict())


def test_a_released_prior_whose_names_nobody_gave_learns_new_ones_after_all_its_numbers() -> None:
    network = prior(Labels(artists=40, genres=6))
    assert extend(network, Names.learned(["Ann"], ["folk"])) == 2
    assert network.config.labels is not None
    assert network.config.labels.names == Names(artists={"ann": 40}, genres={"folk": 6})
    weight = network.label_embedding.artists.weight if network.label_embedding else torch.empty(0)
    assert weight.shape == (41, 16)
    assert weight.requires_grad


def test_nothing_changes_where_nothing_is_new_or_told() -> None:
    network = prior(Labels(artists=3, genres=2, names=KNOWN))
    assert network.label_embedding is not None
    table = network.label_embedding.artists
    assert extend(network, KNOWN) == 0
    assert network.label_embedding.artists is table
    assert extend(prior(None), KNOWN) == 0


def test_names_written_in_another_way_are_refused() -> None:
    network = prior(Labels(artists=3, genres=2, names=dataclasses.replace(KNOWN, style=Words())))
    with pytest.raises(ZooError, match=r"data\.style=words"):
        extend(network, KNOWN)


def recipe(songs: Path, codec: Path, **train: str) -> Recipe:
    """Return music/prior for songs that a codec of two levels encodes."""
    words = {
        "data.path": str(songs), "data.melodies": "0", "tokenizer.path": str(codec), "tokenizer.level": "1",
        "train.steps": "2", "train.dtype": "float32", **train,
    }  # fmt: skip
    made = build(compose("music/prior", words, size="tiny"))
    assert isinstance(made, Recipe)
    return made


def song_folder(place: Path, artists: list[str]) -> Path:
    for number, _ in enumerate(artists):
        write_sound(place / f"{number}.wav", 1.2, seed=number)
    rows = [f"{number}.wav,{artist},folk" for number, artist in enumerate(artists)]
    (place / "metadata.csv").write_text("\n".join(["file,artist,genre", *rows]) + "\n")
    return place


def test_a_trained_prior_goes_on_with_other_artists_and_learns_these_alone(tmp_path: Path) -> None:
    codec = save_codec(tmp_path / "codec")
    first = song_folder(tmp_path / "a", ["Ann", "Bob"])
    Run(recipe=recipe(first, codec), out=tmp_path / "one", device="cpu").prepare().train()
    then = song_folder(tmp_path / "b", ["Bob", "Cid", "Dot"])
    only = {"train.only": "[label_embedding.artists]", "train.optimizer": "{type: adamw, weight_decay: 0.0}"}
    tuned = recipe(then, codec, **only)
    prepared = Run(recipe=tuned, out=tmp_path / "two", device="cpu", init=str(tmp_path / "one")).prepare()
    prepared.train()
    old, new = zoo.load(tmp_path / "one", device="cpu"), zoo.load(tmp_path / "two", device="cpu")
    labels = new.config.labels
    assert labels.names.artists == {"ann": 1, "bob": 2, "cid": 3, "dot": 4}
    before, after = old.network.state_dict(), new.network.state_dict()
    table = "label_embedding.artists.weight"
    assert all(torch.equal(after[name], before[name]) for name in before if name != table)
    assert torch.equal(after[table][1], before[table][1])  # Ann was not heard again
    assert not torch.equal(after[table][3:], before[table][:1].expand(2, -1))


def test_a_prior_without_a_codec_takes_the_recipes(tmp_path: Path) -> None:
    codec, songs = save_codec(tmp_path / "codec"), song_folder(tmp_path / "a", ["Ann", "Bob"])
    config = recipe(songs, codec).model
    assert isinstance(config, PriorConfig)
    for codes, rate in ((32, 8000), (31, 8000), (32, 44_100)):
        network = Prior(config.with_codes(codes, rate))
        contents = Contents(
            family="prior", modality="music", network=to_mapping(network.config), tokenizer=None, recipe={}, card={}
        )
        write(tmp_path / f"{codes}-{rate}", contents, dict(network.state_dict()))
    plain = Run(recipe=recipe(songs, codec), out=tmp_path / "out", device="cpu", init=str(tmp_path / "32-8000"))
    with pytest.raises(ZooError, match="comes without its codec; name the one that it was trained with"):
        plain.prepare()
    prepared = replace(plain, asked_tokenizer="tokenizer.path").prepare()
    assert prepared.tokenizer.spec.vocabulary_size == 32
    assert prepared.train().step == 2
    for name, message in (("31-8000", "predicts 31 ids, and vqvae has 32"), ("32-44100", "44,100 samples a second")):
        other = replace(plain, asked_tokenizer="tokenizer.path", out=tmp_path / "no", init=str(tmp_path / name))
        with pytest.raises(ZooError, match=message):
            other.prepare()
