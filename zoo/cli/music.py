"""``zoo generate`` for music: wav files, their ids, and a picture of what can be heard."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from zoo.cli.asked import Asked, Prompt, read_beginning
from zoo.cli.files import clear_samples, npz, read_samples, refuse_taken, write_bytes, write_json
from zoo.cli.pictures import rows_at_once
from zoo.cli.terminal import put, say
from zoo.errors import ZooError

if TYPE_CHECKING:
    from zoo.model import Model
    from zoo.tokenizers.audio.base import AudioTokenizer
    from zoo.tokenizers.audio.waveform import Audio

FOLDER = "outputs/music"
"""Where music goes if nobody says."""
BESIDE = ("codes.npz", "spectrogram.png")
LEVEL = "level_0"
"""Name of the ids in codes.npz and samples.json; codecs with several levels have more."""
SHOWN = 6
"""Most sounds on the picture."""


@dataclass(frozen=True, kw_only=True)
class Job:
    """Sounds to be drawn into a folder.

    Attributes:
        model: draws them.
        tokenizer: the model's.
        prompts: at least one.
        count: sounds for each.
        sampling: arguments of ``Model.draw``.
        out: the folder.
        settings: what decides the sounds: another call may go on if all of it is the same.
    """

    model: Model
    tokenizer: AudioTokenizer
    prompts: Sequence[Prompt]
    count: int
    sampling: Mapping[str, Any]
    out: Path
    settings: Mapping[str, Any]

    def draw(self, samples: list[dict[str, Any]]) -> Iterator[list[dict[str, Any]]]:
        """Draw what is missing in ``samples``; yield them as they grow, their files written."""
        at_once, seed = rows_at_once(self.model, self.sampling["guidance"]), self.sampling["seed"]
        while len(samples) < len(self.prompts) * self.count:
            place, before = divmod(len(samples), self.count)
            prompt, count = self.prompts[place], min(self.count - before, at_once)
            told = {} if prompt.label is None else {"label": prompt.label}
            drawn = self.model.draw(
                prompt.given, count=count, conditions=told, **{**self.sampling, "seed": seed + before}
            )
            for one in drawn:
                file = self.write(len(samples), one.sample)
                own = {"index": len(samples), "seed": one.seed, **prompt.stated()}
                samples.append(
                    {**own, "file": str(file), "seconds": one.sample.seconds, "codes": {LEVEL: one.ids.tolist()}}
                )
            yield samples

    def write(self, index: int, sound: Audio) -> Path:
        """Write one sound."""
        from zoo.data.write_sound import write_wav

        path = self.out / f"{index:03d}.wav"
        try:
            self.out.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise ZooError(f"cannot write {path}: {error.strerror or error}; choose another out=DIR") from None
        write_wav(path, sound)
        return path

    def sound(self, sample: Mapping[str, Any]) -> Audio:
        """Return the sound of an entry of samples.json."""
        return self.tokenizer.decode(sample["codes"][LEVEL])

    def picture(self, samples: Sequence[Mapping[str, Any]]) -> bytes | None:
        """Return the spectrograms of the first sounds, a PNG file; None where there is nothing to hear."""
        from zoo.cli.sheet import png
        from zoo.cli.spectrogram import Panel, spectrograms

        sounds = [self.sound(sample) for sample in samples[:SHOWN]]
        panels = [
            Panel(title=f"{index:03d}.wav {sample['prompt']}", samples=sound.samples)
            for index, (sample, sound) in enumerate(zip(samples, sounds, strict=False))
            if len(sound.samples)
        ]
        return png(spectrograms(panels, self.tokenizer.rate)) if panels else None


def draw_music(
    model: Model,
    asked: Asked,
    sampling: Mapping[str, Any],
    count: int,
    out: Path,
    settings: Mapping[str, Any],
    *,
    resume: bool,
    overwrite: bool,
    quiet: bool,
) -> dict[str, Any]:
    """Draw music into ``out``: ``000.wav`` and so on, ``codes.npz``, ``spectrogram.png`` and samples.json.

    ``codes.npz`` holds ``level_0``, int64 (samples, time), the ids of every sound with those of its prompt; -1 where a
    sound is over before the longest. Arguments are those of ``zoo.cli.pictures.draw_pictures``.

    Raises:
        ZooError: something is in the folder and nobody said what to do about it; whatever ``Model.draw`` refuses.
    """
    refuse_taken(out, ("samples.json", *BESIDE, "000.wav"), allowed=resume or overwrite)
    tokenizer = _tokenizer(model)
    prompts = _prompts(model, asked)
    chosen = dict(sampling)
    if asked.seconds is not None:
        chosen["max_new_tokens"] = tokenizer.count(asked.seconds)
    told = {"audio": list(asked.sound_names), "keep_seconds": asked.keep_seconds, "label": asked.label,
            **({"count": count} if len(prompts) > 1 else {})}  # fmt: skip
    decided = {**settings, "max_new_tokens": chosen["max_new_tokens"], **told}
    job = Job(
        model=model, tokenizer=tokenizer, prompts=prompts, count=count, sampling=chosen, out=out, settings=decided
    )
    total = len(prompts) * count
    samples = _kept(out / "samples.json", job)[:total] if resume else []
    if overwrite and not resume:
        clear_samples(out, BESIDE, ".wav")
    document: dict[str, Any] = {"samples": samples, "settings": dict(job.settings)}
    for grown in job.draw(samples):
        write_json(out / "samples.json", document)
        if len(grown) < total and not quiet:
            say(f"{len(grown)} of {total} sounds drawn")
    write_bytes(out / "codes.npz", _codes(samples))
    document["codes"] = str(out / "codes.npz")
    if (picture := job.picture(samples)) is not None:
        write_bytes(out / "spectrogram.png", picture)
        document["spectrogram"] = str(out / "spectrogram.png")
    write_json(out / "samples.json", document)
    if not quiet:
        lengths = sorted({f"{sample['seconds']:.2f}" for sample in samples}, key=float)
        long = lengths[0] if len(lengths) == 1 else f"{lengths[0]} to {lengths[-1]}"
        say(f"{total} sound{'s' * (total > 1)} of {long} s, {tokenizer.rate:,} samples a second, in {out}")
        for sample in samples:
            put(sample["file"])
    return document


def _tokenizer(model: Model) -> AudioTokenizer:
    from zoo.tokenizers.audio.base import AudioTokenizer
    from zoo.tokenizers.none import NoTokenizer

    tokenizer = model.tokenizer
    if isinstance(tokenizer, NoTokenizer):
        tokenizer.refuse()
    if not isinstance(tokenizer, AudioTokenizer):
        raise ZooError(f"the tokenizer '{tokenizer.spec.type}' makes no sound")
    return tokenizer


def _prompts(model: Model, asked: Asked) -> list[Prompt]:
    """Return what sounds begin with: each file with each label."""
    labels = asked.labels(getattr(model.config, "classes", ()))
    if not asked.sounds:
        return [Prompt(name=label or "", label=label) for label in labels]
    return [
        Prompt(name=name, label=label, given=read_beginning(path, asked.keep_seconds))
        for name, path in zip(asked.sound_names, asked.sounds, strict=True)
        for label in labels
    ]


def _kept(file: Path, job: Job) -> list[dict[str, Any]]:
    """Return the samples that an earlier call left, their sounds written again where they are gone.

    Raises:
        ZooError: a file that is none of ours, or sounds that were drawn with other settings.
    """
    samples = read_samples(file, job.settings)
    try:
        for index, sample in enumerate(samples):
            sound = job.sound(sample)
            sample |= {"index": index, "file": str(job.out / f"{index:03d}.wav"), "seconds": sound.seconds}
            if not Path(sample["file"]).exists():
                job.write(index, sound)
    except (KeyError, TypeError, ValueError, RuntimeError):
        raise ZooError(f"{file} cannot be gone on with: it is not what generate wrote; use overwrite=true") from None
    return samples


def _codes(samples: Sequence[Mapping[str, Any]]) -> bytes:
    """Return codes.npz."""
    import numpy as np

    rows = [np.array(sample["codes"][LEVEL], dtype=np.int64) for sample in samples]
    longest = max(map(len, rows))
    return npz({LEVEL: np.stack([np.pad(row, (0, longest - len(row)), constant_values=-1) for row in rows])})
