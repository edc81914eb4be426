"""Jukebox with its codec and its priors in one folder, as a stack: OpenAI's files, or Hugging Face's ``JukeboxModel``.

OpenAI's: ``vqvae.pth.tar`` beside ``prior_level_2.pth.tar`` and those of finer levels. The tables of artists and
genres (``v2_artist_ids.txt``, ``v2_genre_ids.txt``, and v3's) are read where they lie in the same folder; they are
OpenAI's, and no part of this project.
"""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

from zoo.errors import ZooError
from zoo.music.config import PriorConfig
from zoo.music.names import Names, Style, Whole, Words
from zoo.music.stack import StackConfig
from zoo.weights import jukebox_codec, jukebox_huggingface, jukebox_prior
from zoo.weights.family import CONFIG
from zoo.weights.files import read_json
from zoo.weights.opened import Opened
from zoo.weights.stack import OpenedStack

PRIOR = re.compile(r"prior_level_(\d)\.pth\.tar")
TABLES: dict[str, Style] = {"v2": Words(), "v3": Whole()}
"""The original's versions of names, by how their files begin."""


def find(path: Path) -> bool:
    """Return whether a folder holds a codec and priors."""
    if not path.is_dir():
        return False
    if (path / CONFIG).is_file():
        settings = read_json(path / CONFIG)
        return settings.get("model_type") == "jukebox" and bool(settings.get("prior_config_list"))
    return (path / jukebox_codec.FILE).is_file() and any(PRIOR.fullmatch(file.name) for file in path.iterdir())


def read(path: Path) -> OpenedStack:
    """Open such a folder.

    Raises:
        ZooError: settings that our parts do not have, files that are broken, levels that are missing between others.
    """
    whole = (path / CONFIG).is_file()
    codec = jukebox_codec.read_huggingface(path) if whole else jukebox_codec.read(path / jukebox_codec.FILE)
    priors = jukebox_huggingface.read(path) if whole else _priors(path)
    coarsest = len(priors) - 1 if whole else _levels(path)[0]
    tables = _tables(path)
    levels = range(coarsest, coarsest - len(priors), -1)
    return OpenedStack(
        where=str(path),
        config=StackConfig(codec="codec", priors=tuple(f"level_{level}" for level in levels), coarsest=coarsest),
        codec=codec,
        priors=tuple(_named(prior, tables, path) for prior in priors) if tables else priors,
        card={"name": path.resolve().name, "modality": "music", "source": codec.card["source"]},
    )


def named(priors: tuple[Opened, ...], folder: Path) -> tuple[Opened, ...]:
    """Return priors that know artists and genres by name, of the tables in ``folder`` that have their numbers.

    Raises:
        ZooError: there are no tables in the folder, or none that fit a prior that is told labels.
    """
    tables = _tables(folder)
    if not tables:
        raise ZooError(f"{folder} has no tables of names; it needs v2_artist_ids.txt and v2_genre_ids.txt, or v3's")
    return tuple(_named(prior, tables, folder) for prior in priors)


def with_tables(prior: Opened, folder: Path) -> Opened:
    """Return a prior that knows artists and genres by name, where tables that have its numbers lie in ``folder``."""
    return _fitting(prior, _tables(folder)) or prior


def _named(prior: Opened, tables: list[Names], folder: Path) -> Opened:
    config = prior.config
    if not isinstance(config, PriorConfig) or config.labels is None or config.labels.names is not None:
        return prior
    if (found := _fitting(prior, tables)) is not None:
        return found
    raise ZooError(
        f"{prior.where} is told {config.labels.artists} artists and {config.labels.genres} genres, and the tables in "
        f"{folder} have " + " or ".join(f"{names.artist_count} and {names.genre_count}" for names in tables)
    )


def _fitting(prior: Opened, tables: list[Names]) -> Opened | None:
    config = prior.config
    if not isinstance(config, PriorConfig) or config.labels is None or config.labels.names is not None:
        return None
    labels = config.labels
    for names in tables:
        # The last numbers may be nobody's: the original counts the lines of its tables, some of which say a name twice.
        fits = names.genre_count <= labels.genres and names.artist_count <= labels.artists
        if fits and names.genre_count > labels.genres * 0.9 and names.artist_count > labels.artists * 0.9:
            return replace(prior, config=replace(config, labels=replace(labels, names=names)))
    return None


def _tables(folder: Path) -> list[Names]:
    found = []
    for version, style in TABLES.items():
        artists, genres = (folder / f"{version}_{kind}_ids.txt" for kind in ("artist", "genre"))
        if artists.is_file() and genres.is_file():
            found.append(Names.read(artists, genres, style))
    return found


def _levels(path: Path) -> list[int]:
    """Return the levels whose priors lie in the folder, the coarsest first."""
    found = (PRIOR.fullmatch(file.name) for file in path.iterdir())
    return sorted((int(match[1]) for match in found if match), reverse=True)


def _priors(path: Path) -> tuple[Opened, ...]:
    levels = _levels(path)
    if levels != list(range(levels[0], levels[-1] - 1, -1)):
        missing = next(level for level in range(levels[0], -1, -1) if level not in levels)
        raise ZooError(f"{path / f'prior_level_{missing}.pth.tar'} is missing: finer levels need it")
    return tuple(jukebox_prior.read(path / f"prior_level_{level}.pth.tar") for level in levels)
