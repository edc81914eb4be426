"""From a recipe to a checkpoint folder: data, tokenizer, network and training loop put together."""

from __future__ import annotations

import contextlib
import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from zoo.architecture import AnyNetwork, NetworkConfig, build_network, count_parameters, outline
from zoo.data.base import Corpus, TokenData
from zoo.download import Progress
from zoo.errors import ZooError
from zoo.loading import choose_device, open_checkpoint
from zoo.memory import total_bytes
from zoo.music.codebooks import begin_with
from zoo.music.config import PriorConfig
from zoo.music.extend import extend
from zoo.music.names import Names
from zoo.music.prior import Prior
from zoo.recipe import Recipe
from zoo.settings import tag, to_mapping
from zoo.tokenizers.audio.base import AudioTokenizer
from zoo.tokenizers.base import Modality, Tokenizer
from zoo.tokenizers.none import NoTokenizer
from zoo.train.loop import Trainer, TrainResult
from zoo.train.monitor import Monitor
from zoo.transformer.config import TransformerConfig
from zoo.weights.folder import Contents, read

LIMITS: dict[Modality, str] = {
    "text": "It imitates that text; what it states is not knowledge.",
    "image": "It imitates those pictures, and knows nothing else.",
    "music": "It imitates that music, and knows nothing else.",
}
"""What a card says of every model."""


@dataclass(frozen=True, kw_only=True)
class Run:
    """One training run.

    Attributes:
        recipe: what to train, on what, how.
        out: the run's folder, which becomes a checkpoint.
        seed: of the first weights, the batches and dropout.
        device: ``auto`` (the GPU if there is one), ``cpu``, ``cuda``, ...
        init: checkpoint whose network and tokenizer to go on from, None to start afresh.
        resume: go on with the run that is in ``out``.
        overwrite: replace the run that is in ``out``.
        asked_tokenizer: key by which the recipe's tokenizer was asked for by name; None if it is the recipe's choice.
        command: the command line, for the card.
    """

    recipe: Recipe
    out: Path
    seed: int = 0
    device: str = "auto"
    init: str | None = None
    resume: bool = False
    overwrite: bool = False
    asked_tokenizer: str | None = None
    command: str = ""

    def __post_init__(self) -> None:
        if not 0 <= self.seed < 2**62:  # as for samples, which the verbs draw with the same seed after training
            raise ZooError(f"seed: must lie in [0, 2**62), got {self.seed}")

    def prepare(self, progress: Progress | None = None) -> Prepared:
        """Open the data, make the tokenizer and the network, encode.

        Args:
            progress: is told of a download.

        Raises:
            ZooError: data that cannot be had or read, parts that do not fit together, a folder that is taken.
        """
        refuse_taken(self.out, allowed=self.resume or self.overwrite)
        device = choose_device(self.device)
        if not self.init:  # at once, not after data is fetched and a tokenizer made
            self._refuse_too_large(self.recipe.model, any_vocabulary=True)
        corpus = self.recipe.data.open(progress)
        tokenizer, network = self._from_checkpoint(corpus) if self.init else self._afresh(corpus)
        if tokenizer.spec.modality != corpus.modality:
            raise ZooError(
                f"tokenizer: {tokenizer.spec.type} is for {tokenizer.spec.modality}, the data is {corpus.modality}"
            )
        refuse_other_classes(network.config, corpus.classes)
        corpus.check(network.config)
        data = corpus.encode(tokenizer, network.context)
        data.check(network)
        return Prepared(run=self, corpus=corpus, tokenizer=tokenizer, data=data, network=network.to(device))

    def _afresh(self, corpus: Corpus) -> tuple[Tokenizer[Any], AnyNetwork]:
        tokenizer = self._earlier_tokenizer() or self.recipe.tokenizer.fit(corpus.samples())
        config = with_vocabulary(self.recipe.model, tokenizer, corpus.classes, corpus.names)
        self._refuse_too_large(config)
        torch.manual_seed(self.seed)
        network = build_network(config)
        if isinstance(network, Prior) and (codebooks := corpus.codebooks(tokenizer)) is not None:
            begin_with(network, codebooks)
        return tokenizer, network

    def _refuse_too_large(self, config: NetworkConfig, *, any_vocabulary: bool = False) -> None:
        train = self.recipe.train
        each = 4 * (1 if train.only else 4) + 4 * bool(train.average)
        refuse_too_large(config, any_vocabulary=any_vocabulary, each=each, device=choose_device(self.device))

    def _earlier_tokenizer(self) -> Tokenizer[Any] | None:
        """Return the tokenizer of the run that goes on, if it was made by the same settings: some take a while to fit.

        That the data is the same, too, is the trainer's to check.
        """
        if not self.resume:
            return None
        with contextlib.suppress(ZooError):  # nothing there yet, or cut off between its files: the run will mend it
            checkpoint = read(self.out)
            if checkpoint.recipe.get("tokenizer") == to_mapping(self.recipe.tokenizer):
                return checkpoint.tokenizer()
        return None

    def _from_checkpoint(self, corpus: Corpus) -> tuple[Tokenizer[Any], AnyNetwork]:
        assert self.init is not None
        opened = open_checkpoint(self.init)
        tokenizer = opened.tokenizer
        if isinstance(tokenizer, NoTokenizer):
            if not isinstance(opened.config, PriorConfig):
                raise ZooError(f"init: {self.init} has no tokenizer; put its files beside its config.json")
            if self.asked_tokenizer is None:  # which codec made its ids, nobody but its owner knows
                raise ZooError(
                    f"init: {self.init} comes without its codec; name the one that it was trained with: "
                    "tokenizer.path=CODEC tokenizer.level=LEVEL"
                )
            tokenizer = self.recipe.tokenizer.fit(())
        elif self.asked_tokenizer is not None:
            raise ZooError(f"init brings its own tokenizer; leave out {self.asked_tokenizer}= or init=")
        self._refuse_too_large(opened.config)
        network = opened.network(torch.device("cpu"), torch.float32)
        if isinstance(network, Prior):
            refuse_other_codes(network, tokenizer)
            if corpus.names is not None:
                extend(network, corpus.names)
        return tokenizer, network


@dataclass(frozen=True, kw_only=True)
class Prepared:
    """A run with everything in memory, ready to train.

    Attributes:
        run: what was asked for.
        corpus: the raw data.
        tokenizer: fitted or loaded.
        data: the encoded data.
        network: on its device.
    """

    run: Run
    corpus: Corpus
    tokenizer: Tokenizer[Any]
    data: TokenData
    network: AnyNetwork

    @property
    def out(self) -> Path:
        """The run's folder."""
        return self.run.out

    @property
    def parameters(self) -> int:
        """Parameters of the network, shared ones counted once."""
        return count_parameters(self.network)

    def train(self, monitor: Monitor | None = None) -> TrainResult:
        """Train into the run's folder.

        Args:
            monitor: hears of the progress.

        Raises:
            Interrupted: by a signal, after the run has been saved.
            ZooError: the folder is taken or full, or the loss is no longer finite.
        """
        run = self.run
        assert isinstance(self.network, nn.Module)
        trainer = Trainer(
            self.network,
            self.data,
            run.recipe.train,
            contents=self.contents(),
            out=run.out,
            seed=run.seed,
            resume=run.resume,
            overwrite=run.overwrite,
            monitor=monitor,
        )
        return trainer.run()

    def contents(self) -> Contents:
        """Return all of the checkpoint but its weights and figures."""
        run, recipe, config = self.run, self.run.recipe, self.network.config
        data = self.corpus.describe()
        recipe_mapping = recipe.to_mapping() | {"model": to_mapping(config)}
        names = ", ".join(str(entry.get("name")) for entry in data)
        return Contents(
            family=tag(type(config)),
            modality=recipe.modality,
            network=to_mapping(config),
            tokenizer=self.tokenizer,
            recipe=recipe_mapping,
            card={
                "name": run.out.resolve().name,
                "modality": recipe.modality,
                "recipe": recipe.name,
                "license": licenses(data),
                "data": data,
                "command": run.command,
                "seed": run.seed,
                "parameters": self.parameters,
                **({"init": run.init} if run.init else {}),
                "limits": f"Trained only on: {names}. {LIMITS[recipe.modality]}",
            },
        )


def with_vocabulary(
    config: NetworkConfig, tokenizer: Tokenizer[Any], classes: tuple[str, ...] = (), names: Names | None = None
) -> NetworkConfig:
    """Return ``config`` for the ids of ``tokenizer``, ``classes`` and ``names``: all that other data take.

    A start id that is the tokenizer's last one is read and not predicted; a network that sees both sides of an id has
    no use for it and does not read it either.
    """
    spec = tokenizer.spec
    if isinstance(config, PriorConfig):
        rate = tokenizer.rate if isinstance(tokenizer, AudioTokenizer) else None
        return (config if names is None else config.with_names(names)).with_codes(spec.vocabulary_size, rate)
    if isinstance(config, TransformerConfig):
        config = dataclasses.replace(config, classes=classes)
        if config.encoder is not None:
            encoder = dataclasses.replace(config.encoder, vocabulary=spec.vocabulary_size)
            read, predicted = spec.target_start_id + 1, spec.target_end_id + 1
            return dataclasses.replace(config, encoder=encoder, vocabulary=read, output_vocabulary=predicted)
    read = spec.vocabulary_size if getattr(config, "causal", True) else spec.output_vocabulary
    fewer = None if read == spec.output_vocabulary else spec.output_vocabulary
    return dataclasses.replace(config, vocabulary=read, output_vocabulary=fewer)


def refuse_other_classes(config: NetworkConfig, classes: tuple[str, ...]) -> None:
    """Refuse data that tells a network of classes which it does not have, or has in another order.

    Raises:
        ZooError: say so.
    """
    known: tuple[str, ...] = getattr(config, "classes", ())
    if classes and known != classes:
        raise ZooError(
            f"data: its {len(classes)} classes are not those of the network, which has {len(known)}; "
            "use data.conditional=false, or train a transformer afresh"
        )


def refuse_other_codes(prior: Prior, tokenizer: Tokenizer[Any]) -> None:
    """Refuse a level of another codec than that whose ids a prior predicts.

    Raises:
        ZooError: their numbers of ids, or their rates, differ.
    """
    codes, given = prior.config.codes, tokenizer.spec.vocabulary_size
    mend = "name the codec that it was trained with: tokenizer.path=CODEC tokenizer.level=LEVEL"
    if codes != given:
        raise ZooError(f"tokenizer: this prior predicts {codes:,} ids, and {tokenizer.spec.type} has {given:,}; {mend}")
    timing = prior.config.labels.timing if prior.config.labels is not None else None
    if timing is not None and isinstance(tokenizer, AudioTokenizer) and timing.rate != tokenizer.rate:
        raise ZooError(
            f"tokenizer: this prior counts {timing.rate:,} samples a second, and {tokenizer.spec.type} has "
            f"{tokenizer.rate:,}; {mend}"
        )


def refuse_too_large(
    config: NetworkConfig, *, any_vocabulary: bool = False, each: int = 16, device: torch.device | None = None
) -> None:
    """Raise ZooError if training the network cannot fit this machine's memory, before any of it is taken.

    Counted are weights, gradients and an optimizer's two moments, 4 bytes each, and an average, if there is one; what
    activations take comes on top.

    Args:
        config: of the network.
        any_vocabulary: its number of ids is not known yet, so refuse only what would be too large with any.
        each: bytes of a parameter.
        device: that it is trained on; None for a CPU.
    """
    try:
        network = outline(config)
    except ZooError:
        raise ZooError("model: no tensor can be this large; lower model.width, model.depth or the vocabulary") from None
    parameters, memory = count_parameters(network), total_bytes(device)
    ids = {config.vocabulary, config.output_vocabulary or config.vocabulary}
    of_ids = sum(weight.numel() for weight in network.parameters() if ids & set(weight.shape))
    if memory is not None and each * (parameters - any_vocabulary * of_ids) > memory:
        has = "this machine" if device is None or device.type == "cpu" else str(device)
        raise ZooError(
            f"model: {parameters:,} parameters need {each * parameters / 2**30:,.0f} GiB to train, {has} has "
            f"{memory / 2**30:,.0f}; lower model.width, model.depth or the vocabulary"
        )


def refuse_taken(out: Path, *, allowed: bool) -> None:
    """Raise ZooError if there is something in a run's folder and nobody has said what to do about it (``allowed``)."""
    if not allowed and out.is_dir() and any(out.iterdir()):
        raise ZooError(
            f"{out} is not empty; add resume=true to go on with a run that is there, "
            "overwrite=true to replace it, or choose another out=DIR"
        )


def licenses(data: list[dict[str, Any]]) -> str:
    """Return what the weights inherit from what they were made of, each entry with a ``license``."""
    stated = sorted({str(entry.get("license") or "unknown") for entry in data})
    return "; ".join(stated) if stated else "unknown"
