"""From the recipe of a codec to a checkpoint folder: samples, codec and training loop put together."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path

import torch

from zoo.architecture import count_parameters
from zoo.data.base import Corpus, SampleData
from zoo.download import Progress
from zoo.errors import ZooError
from zoo.loading import choose_device, load_codec
from zoo.recipe import CodecRecipe
from zoo.run import licenses, refuse_taken
from zoo.settings import tag, to_mapping
from zoo.tokenizers.audio.vqvae.network import Vqvae
from zoo.tokenizers.codec import Codec
from zoo.tokenizers.codecs import build_codec
from zoo.train.loop import Trainer, TrainResult
from zoo.train.monitor import Monitor
from zoo.train.reconstruct import Bandwidth, PictureReconstruction, Reconstruction, SoundReconstruction
from zoo.weights.folder import Contents

OBJECTIVES: dict[str, type[Reconstruction]] = {"music": SoundReconstruction, "image": PictureReconstruction}
"""What codecs of a modality minimise."""


@dataclass(frozen=True, kw_only=True)
class CodecRun:
    """One training run of a codec.

    Attributes:
        recipe: what to train, on what, how.
        out, seed, device, init, resume, overwrite, command: see ``zoo.run.Run``.
    """

    recipe: CodecRecipe
    out: Path
    seed: int = 0
    device: str = "auto"
    init: str | None = None
    resume: bool = False
    overwrite: bool = False
    command: str = ""

    def __post_init__(self) -> None:
        if not 0 <= self.seed < 2**62:
            raise ZooError(f"seed: must lie in [0, 2**62), got {self.seed}")
        wanted, given = OBJECTIVES[self.recipe.modality], self.recipe.train.objective
        if not isinstance(given, wanted):
            raise ZooError(f"train.objective: a codec of this kind takes {tag(wanted)}, not {tag(type(given))}")

    def prepare(self, progress: Progress | None = None) -> PreparedCodec:
        """Open the data and make the codec.

        Args:
            progress: is told of a download.

        Raises:
            ZooError: data that cannot be had or read, parts that do not fit together, a folder that is taken.
        """
        refuse_taken(self.out, allowed=self.resume or self.overwrite)
        device = choose_device(self.device)
        corpus = self.recipe.data.open(progress)
        torch.manual_seed(self.seed)
        codec = load_codec(self.init, device="cpu") if self.init else build_codec(self.recipe.model)
        if corpus.modality != self.recipe.modality:
            raise ZooError(f"data: {self.recipe.name} is for {self.recipe.modality}, the data is {corpus.modality}")
        return PreparedCodec(run=self, corpus=corpus, data=corpus.crops(codec), codec=codec.to(device))


@dataclass(frozen=True, kw_only=True)
class PreparedCodec:
    """A codec's run with everything in memory, ready to train.

    Attributes:
        run: what was asked for.
        corpus: the raw data.
        data: its crops.
        codec: on its device.
    """

    run: CodecRun
    corpus: Corpus
    data: SampleData
    codec: Codec

    @property
    def out(self) -> Path:
        """The run's folder."""
        return self.run.out

    @property
    def parameters(self) -> int:
        """Parameters that are learnt by gradients; codebooks are not."""
        return count_parameters(self.codec)

    def train(self, monitor: Monitor | None = None) -> TrainResult:
        """Train into the run's folder.

        Args:
            monitor: hears of the progress.

        Raises:
            Interrupted: by a signal, after the run has been saved.
            ZooError: the folder is taken or full, or the loss is no longer finite.
        """
        run, recipe = self.run, self._measured()
        trainer = Trainer(
            self.codec.train(),
            self.data,
            recipe.train,
            contents=self._contents(recipe),
            out=run.out,
            seed=run.seed,
            resume=run.resume,
            overwrite=run.overwrite,
            monitor=monitor,
        )
        return trainer.run()

    def _measured(self) -> CodecRecipe:
        """Return the recipe with the bandwidth of the data, which losses of sound are divided by."""
        recipe, objective = self.run.recipe, self.run.recipe.train.objective
        if not isinstance(objective, SoundReconstruction) or objective.bandwidth is not None:
            return recipe
        assert isinstance(self.codec, Vqvae)
        rate = self.codec.config.rate
        bandwidth = Bandwidth.measure(self.data, rate=rate, size=recipe.train.batch, seed=self.run.seed)
        objective = dataclasses.replace(objective, bandwidth=bandwidth)
        return dataclasses.replace(recipe, train=dataclasses.replace(recipe.train, objective=objective))

    def _contents(self, recipe: CodecRecipe) -> Contents:
        run, config = self.run, self.codec.config
        data = self.corpus.describe()
        names = ", ".join(str(entry.get("name")) for entry in data)
        return Contents(
            family=tag(type(config)),
            modality=recipe.modality,
            network=to_mapping(config),
            tokenizer=None,
            recipe=recipe.to_mapping() | {"model": to_mapping(config)},
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
                "limits": f"Trained only on: {names}. It keeps such samples well, and others less so.",
            },
        )
