"""Fine-tuning: a checkpoint, new data and a head, into a new checkpoint that says what it came from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import nn

from zoo.architecture import body_of, build_network
from zoo.classify.scores import Report
from zoo.data.text import Text
from zoo.errors import ZooError
from zoo.evaluate.language_model import evaluate
from zoo.finetune import low_rank
from zoo.finetune.course import Course
from zoo.finetune.heads import Head, tag_of
from zoo.finetune.labelled import Labelled
from zoo.finetune.language_model import LanguageModel
from zoo.finetune.material import AnyMaterial, Asked, Examples, HeadSettings, RunningText
from zoo.finetune.method import Full, Lora, Method
from zoo.generate.settings import SamplingSettings
from zoo.loading import choose_device, load
from zoo.memory import total_bytes
from zoo.model import Model
from zoo.run import licenses, refuse_taken
from zoo.settings import tag, to_mapping
from zoo.train import precision
from zoo.train.loop import Trainer, TrainResult
from zoo.train.monitor import Monitor
from zoo.train.settings import TrainSettings
from zoo.train.supervised import said
from zoo.transformer.block import PostNorm
from zoo.transformer.config import TransformerConfig
from zoo.transformer.model import Transformer
from zoo.weights.folder import Contents, restate
from zoo.weights.folder import read as read_checkpoint
from zoo.weights.tensors import fingerprint, load_weights

LIMITS = {
    False: "It imitates that text; what it states is not knowledge, and the limits of the model that it comes from are "
    "its own, too.",
    True: "It tells apart what it was shown; of anything else its probabilities mean nothing.",
}
"""What a card says of a fine-tuned model, without a head and with one."""


@dataclass(frozen=True, kw_only=True)
class Samples:
    """What is drawn before and after: the same prompt, the same seeds.

    Attributes:
        prompt: what to go on from, to the letter; None for the first words of the held-out part.
        count: samples, of seeds ``seed, seed + 1, ...``.
        max_new_tokens: length of each.
        temperature: see ``SamplingSettings``.
    """

    prompt: str | None = None
    count: int = 2
    max_new_tokens: int = 100
    temperature: float = 0.8

    def __post_init__(self) -> None:
        if self.count < 0:
            raise ZooError(f"count must be 0 or more, got {self.count}")
        SamplingSettings(max_new_tokens=self.max_new_tokens, temperature=self.temperature)


@dataclass(frozen=True, kw_only=True)
class FineTuning:
    """One fine-tuning run.

    Attributes:
        checkpoint: what to go on from: anything that ``zoo.load`` reads.
        data: the new text, or labelled samples.
        out: the run's folder, which becomes a checkpoint.
        head: what to make of the checkpoint.
        method: which weights learn.
        train: how long and how fast.
        context: ids in a row; None for the model's context, or less where there is little text.
        samples: drawn before and after, where the checkpoint goes on with text.
        fresh: the network forgets all that it has learnt first: what the same one makes of the data from scratch.
        seed: of new weights, batches, dropout and samples.
        device: ``auto`` (the GPU if there is one), ``cpu``, ``cuda``, ...
        resume: go on with the run that is in ``out``.
        overwrite: replace the run that is in ``out``.
        command: the command line, for the card.
    """

    checkpoint: str
    data: Text | Labelled
    out: Path
    head: Head = LanguageModel()
    method: Method = Full()
    train: Course = field(default_factory=Course)
    context: int | None = None
    samples: Samples = field(default_factory=Samples)
    fresh: bool = False
    seed: int = 0
    device: str = "auto"
    resume: bool = False
    overwrite: bool = False
    command: str = ""

    def __post_init__(self) -> None:
        if not 0 <= self.seed < 2**62:
            raise ZooError(f"seed: must lie in [0, 2**62), got {self.seed}")
        if self.context is not None and self.context < 1:
            raise ZooError(f"context must be at least 1, got {self.context}")

    def prepare(self) -> Prepared:
        """Load the checkpoint, read the data, look at what the checkpoint makes of it so far.

        Raises:
            ZooError: a checkpoint or data that cannot be had, parts that do not fit together, a folder that is taken.
        """
        refuse_taken(self.out, allowed=self.resume or self.overwrite)
        choose_device(self.device)
        model = load(self.checkpoint, device=self.device).reader
        name = Path(self.checkpoint).name  # as people know it; its card may call it something else
        head: HeadSettings[Any] = self.head
        if not isinstance(self.data, head.reads):
            raise ZooError(f"head={tag_of(head)} reads {head.reads.__name__}, got {type(self.data).__name__}")
        head.check(model, name)
        if self.context is not None and self.context > model.network.context:
            raise ZooError(f"context: {name} sees at most {model.network.context} tokens, got {self.context}")
        if self.fresh:
            _forget(model, self.seed)
        grows, frozen = self.method.grows, self.method.frozen
        asked = Asked(name=name, context=self.context, seed=self.seed, grows=grows, frozen=frozen)
        material: AnyMaterial = head.read(self.data, model, asked)
        model = Model(material.network, model.tokenizer, card=model.card, recipe=model.recipe, head=tag_of(head))
        parameters = model.parameters
        self.method.choose(model.network)
        _refuse_too_large(model.network, model.device)
        network = body_of(model.network).config
        settings = self.train.settings(
            tokens=material.data.train_tokens,
            context=material.data.context if isinstance(material, RunningText) else 1,
            width=network.width,
            post_norm=isinstance(network, TransformerConfig) and isinstance(network.block, PostNorm),
            objective=material.objective,
            rate=self.method.rate,
            stops=isinstance(material, RunningText) or len(material.data.validation) > 0,
        )
        return Prepared(asked=self, name=name, model=model, material=material, settings=settings, parameters=parameters)


@dataclass(frozen=True, kw_only=True)
class View:
    """What a model makes of the new data at one moment.

    Attributes:
        metrics: on the held-out part; see ``zoo.evaluate.language_model``.
        samples: ``{prompt, seed, text}`` each.
    """

    metrics: dict[str, Any]
    samples: list[dict[str, Any]]


@dataclass(frozen=True, kw_only=True)
class Prepared:
    """A fine-tuning run with everything in memory, ready to train.

    Attributes:
        asked: what was asked for.
        name: of the checkpoint that it starts from.
        model: that checkpoint; the network in it is the one that learns.
        material: the encoded data.
        settings: of the training loop.
        parameters: of the new checkpoint.
    """

    asked: FineTuning
    name: str
    model: Model
    material: AnyMaterial
    settings: TrainSettings
    parameters: int

    @property
    def out(self) -> Path:
        """The run's folder."""
        return self.asked.out

    @property
    def trainable(self) -> int:
        """Parameters that learn."""
        return sum(parameter.numel() for parameter in self.model.network.parameters() if parameter.requires_grad)

    @property
    def prompt(self) -> str:
        """What the samples go on from."""
        if self.asked.samples.prompt is not None:
            return self.asked.samples.prompt
        words = self.material.prompt.split() if isinstance(self.material, RunningText) else []
        room = max(1, self.model.network.context // 2)
        while len(words) > 1 and len(self.model.tokenizer.encode(" ".join(words))) > room:
            words.pop()
        return " ".join(words)

    def before(self) -> View:
        """Return what the checkpoint makes of the data, to be called before ``train``."""
        network = self.model.network
        assert isinstance(self.material, RunningText)
        name = precision.choose(self.settings.dtype, network)
        metrics = evaluate(
            network,
            self.material.data,
            batch=self.settings.batch,
            autocast=precision.autocast(name, self.model.device),
        )
        return View(metrics=metrics, samples=self._draw())

    def train(self, monitor: Monitor | None = None) -> TrainResult:
        """Train into the run's folder.

        Args:
            monitor: hears of the progress.

        Raises:
            Interrupted: by a signal, after the run has been saved.
            ZooError: the folder is taken or full, or the loss is no longer finite.
        """
        asked = self.asked
        trainer = Trainer(
            self.model.network,
            self.material.data,
            self.settings,
            contents=self.contents(),
            out=asked.out,
            seed=asked.seed,
            resume=asked.resume,
            overwrite=asked.overwrite,
            monitor=monitor,
            identity={
                "base": fingerprint(self.model.network),
                "head": to_mapping(asked.head),
                "method": to_mapping(asked.method),
                "context": self.context,
                **({} if isinstance(asked.data, Text) else {"samples": to_mapping(asked.data) | {"path": None}}),
            },
            published=asked.method.published if isinstance(asked.method, Lora) else None,
        )
        result = trainer.run()
        if isinstance(asked.method, Lora):
            told = self.material.facts if isinstance(self.material, Examples) else {}
            network = self.model.network
            facts = {
                "base": asked.checkpoint,
                "rank": asked.method.rank,
                "scale": asked.method.alpha / asked.method.rank,
                "head": to_mapping(body_of(network).config)["head"],
                "head_name": tag(type(asked.head)),
                "both_orders": bool(told.get("both_orders")),
                "context": told.get("context"),
            }
            learnt = {name for name, weight in network.named_parameters() if weight.requires_grad}
            low_rank.save(asked.out / "adapter", trainer.shown(), facts, learnt)
        return result

    @property
    def context(self) -> int:
        """Ids in a row, at most."""
        if isinstance(self.material, RunningText):
            return self.material.data.context
        return self.asked.context or self.model.network.context

    def after(self, result: TrainResult) -> View:
        """Return what came of it: the published weights are read back from the folder."""
        self._read_back()
        return View(metrics=result.metrics, samples=self._draw())

    def report(self, result: TrainResult) -> Report:
        """Return what the published weights make of the held-out part, and put it on the card."""
        assert isinstance(self.material, Examples)
        self._read_back()
        network, data = self.model.network, self.material.data
        found = None if len(data.validation) else data.latest  # the run has looked at the test part at its end
        if found is None:
            autocast = precision.autocast(precision.choose(self.settings.dtype, network), self.model.device)
            found = data.measure(said(network, data.test.batches(self.settings.batch), autocast=autocast))
        card = read_checkpoint(self.out).card
        chosen = result.metrics if len(data.validation) else {}
        metrics = {**found.metrics, **{f"validation_{name}": value for name, value in chosen.items()}}
        restate(self.out, card | {"metrics": metrics})
        return found

    def _read_back(self) -> None:
        self.asked.method.settle(self.model.network)
        load_weights(self.model.network, read_checkpoint(self.out).tensors(), self.out)

    def contents(self) -> Contents:
        """Return all of the new checkpoint but its weights and figures."""
        asked, model, entries = self.asked, self.model, self.material.entries
        base = {
            "checkpoint": asked.checkpoint,
            "name": str(model.card.get("name") or self.name),
            "license": str(model.card.get("license") or "unknown"),
            "data": [str(entry.get("name")) for entry in model.card.get("data") or () if isinstance(entry, Mapping)],
        }
        names = ", ".join(str(entry["name"]) for entry in entries)
        network = to_mapping(model.config)
        return Contents(
            family=tag(type(model.config)),
            modality=model.modality,
            network=network,
            tokenizer=model.tokenizer,
            recipe={
                "name": "finetune",
                "modality": model.modality,
                "base": asked.checkpoint,
                "head": to_mapping(asked.head),
                "method": to_mapping(asked.method),
                "context": self.context,
                **({"prompt": self.prompt} if isinstance(self.material, RunningText) else {}),
                "model": network,
                "data": to_mapping(asked.data),
                "train": to_mapping(self.settings),
                "generate": model.recipe.get("generate") or {},
            },
            card={
                "name": asked.out.resolve().name,
                "modality": model.modality,
                "recipe": "finetune",
                "license": licenses([base, *entries]),
                "base": base,
                "data": entries,
                "head": tag(type(asked.head)),
                "method": tag(type(asked.method)),
                **({"fresh": True} if asked.fresh else {}),
                "command": asked.command,
                "seed": asked.seed,
                "parameters": self.parameters,
                **(self.material.facts if isinstance(self.material, Examples) else {}),
                "limits": f"{self.name}, fine-tuned on: {names}. {LIMITS[isinstance(self.material, Examples)]}",
            },
            head=tag(type(asked.head)),
        )

    def _draw(self) -> list[dict[str, Any]]:
        wanted = self.asked.samples
        if not wanted.count:
            return []
        drawn = self.model.draw(
            self.prompt,
            count=wanted.count,
            seed=self.asked.seed,
            max_new_tokens=wanted.max_new_tokens,
            temperature=wanted.temperature,
        )
        return [{"prompt": self.prompt, "seed": one.seed, "text": one.sample} for one in drawn]


def _forget(model: Model, seed: int) -> None:
    """Draw all weights of a network anew."""
    network = model.network
    torch.manual_seed(seed)
    if not isinstance(network, Transformer):
        network.load_state_dict(build_network(network.config).state_dict())
        return
    with torch.no_grad():
        network.draw_weights()


def _refuse_too_large(network: nn.Module, device: torch.device) -> None:
    """Refuse what cannot fit the machine: weights, and for those that learn gradients and two moments."""
    memory = total_bytes() if device.type == "cpu" else None
    parameters = list(network.parameters())
    needed = sum(parameter.numel() * (16 if parameter.requires_grad else 4) for parameter in parameters)
    if memory is not None and needed > memory:
        raise ZooError(
            f"fine-tuning takes {needed / 2**30:,.0f} GiB, this machine has {memory / 2**30:,.0f}; use method=last, or "
            "a smaller checkpoint"
        )
