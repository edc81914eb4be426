"""A stack of priors behind the surface of a model: what ``zoo.load`` returns for music of several levels."""

from __future__ import annotations

import functools
import hashlib
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor

from zoo.architecture import count_parameters, outline
from zoo.errors import ZooError, suggest
from zoo.model import Model
from zoo.music.config import PriorConfig
from zoo.music.prior import Prior
from zoo.music.stack import StackConfig
from zoo.stack.codes import checked_codes
from zoo.stack.plan import Plan, Request, Tier, make_plan
from zoo.stack.run import Finished, carry_out
from zoo.stack.writing import write_stack
from zoo.tokenizers.audio.vqvae.network import Vqvae
from zoo.tokenizers.audio.vqvae.tokenizer import VqvaeTokenizer
from zoo.tokenizers.audio.waveform import Audio, Waveform
from zoo.weights.opened import Opened
from zoo.weights.replacing import check_target, replace_folder
from zoo.weights.stack import OpenedStack

CONDITIONS = ("artist", "genre", "lyrics")

_TABLES = re.compile(r"v\d_(artist|genre)_ids\.txt")
_HUGGING_FACE = re.compile(rf".*\.(json|safetensors|bin)|{_TABLES.pattern}")
"""What belongs to a checkpoint beside the file that its settings are in."""


class Stack(Model):
    """A codec and a prior for each of its levels. Weights of a prior are in memory only while its level is drawn.

    What a ``Model`` does with its one network (``logits``, ``hidden_states``, …) is refused: load a part for that.

    Args:
        tiers: levels with a prior, the coarsest first.
        tokenizers: of each level of the codec that codes are decoded at.
        config: names of the parts; None for a single prior.
        opened: the files of the parts, for ``save``.
        parameters: of all parts.
        fingerprint: of the weights: a run that was stopped goes on with the same ones only.
        device, dtype: where and in what priors draw.
    """

    def __init__(
        self,
        tiers: Sequence[Tier],
        tokenizers: Mapping[int, VqvaeTokenizer],
        *,
        config: StackConfig,
        parameters: int,
        fingerprint: str,
        device: torch.device,
        dtype: torch.dtype,
        card: Mapping[str, Any] | None = None,
        opened: OpenedStack | None = None,
    ) -> None:
        self.tiers, self.tokenizers = tuple(tiers), dict(tokenizers)
        self.tokenizer = self.finest = self.tokenizers[min(self.tokenizers)]
        self.stack_config, self.fingerprint, self.opened = config, fingerprint, opened
        self.modality: Literal["music"] = "music"
        self.card, self.recipe = dict(card or {}), {}
        self.head = None
        self._parameters, self._device, self.dtype = parameters, device, dtype
        self._check()

    def _check(self) -> None:
        for place, tier in enumerate(self.tiers):
            above = tier.config.above
            book = self.tokenizers[tier.level].spec.vocabulary_size
            if tier.config.codes != book:
                raise ZooError(
                    f"the prior of level {tier.level} makes {tier.config.codes} codes, and the codec has {book} there; "
                    "use the codec that it was trained with"
                )
            if not place and above is not None:
                raise ZooError(
                    f"the first prior, of level {tier.level}, makes codes of a coarser level finer and cannot begin; "
                    "name priors from coarse to fine, the coarsest first"
                )
            timing = tier.config.labels.timing if tier.config.labels else None
            if timing is not None and timing.rate != self.rate:
                raise ZooError(
                    f"the prior of level {tier.level} counts {timing.rate:,} samples a second, and the codec has "
                    f"{self.rate:,}; use the codec that it was trained with"
                )
            if place and (above is None or above.ratio != self.tiers[place - 1].hop // tier.hop):
                has = "none" if above is None else above.ratio
                wanted = self.tiers[place - 1].hop // tier.hop
                raise ZooError(
                    f"the prior of level {tier.level} must be told one code of the level above for {wanted} of its "
                    f"own, and has {has}; name priors from coarse to fine"
                )

    @classmethod
    def of(cls, opened: OpenedStack, *, device: torch.device, dtype: torch.dtype) -> Stack:
        """Return the stack of opened files.

        Raises:
            ZooError: parts that do not fit each other.
        """
        codec = opened.codec.codec(device)
        if not isinstance(codec, Vqvae):
            raise ZooError(
                f"{opened.where}: '{opened.config.codec}' is a codec of pictures; a stack needs one of sound"
            )
        coarsest = codec.levels - 1 if opened.config.coarsest is None else opened.config.coarsest
        if coarsest >= codec.levels or len(opened.priors) > coarsest + 1:
            raise ZooError(f"{opened.where}: {len(opened.priors)} priors do not fit a codec of {codec.levels} levels")
        tiers = [
            _tier(part, level, codec.hops[level], device, dtype)
            for part, level in zip(opened.priors, range(coarsest, -1, -1), strict=False)
        ]
        names = hashlib.sha256()
        for where in (opened.codec.where, *(part.where for part in opened.priors)):
            names.update(_state(Path(where)))
        stack = cls(
            tiers,
            {level: codec.level(level) for level in range(codec.levels)},
            config=opened.config,
            parameters=count_parameters(codec) + sum(count_parameters(outline(tier.config)) for tier in tiers),
            fingerprint=names.hexdigest()[:16],
            device=device,
            dtype=dtype,
            card=opened.card,
            opened=opened,
        )
        for part, tier in zip(opened.priors, tiers, strict=True):
            own = part.tokenizer
            if isinstance(own, VqvaeTokenizer) and own.spec.fingerprint != codec.level(tier.level).spec.fingerprint:
                raise ZooError(
                    f"{part.where} was trained on other ids than level {tier.level} of this codec; use its own codec, "
                    "and name priors from coarse to fine"
                )
        return stack

    @classmethod
    def of_prior(cls, model: Model, where: str) -> Stack:
        """Return a stack of one prior of the coarsest level, which its own tokenizer decodes.

        Args:
            model: was trained alone.
            where: its folder.

        Raises:
            ZooError: it is told codes of a level above, or has no tokenizer.
        """
        network, tokenizer = model.network, model.tokenizer
        if not isinstance(network, Prior) or not isinstance(tokenizer, VqvaeTokenizer):
            raise ZooError(f"{where} has no codec to make sound of its codes; put a stack together: zoo stack")
        if network.config.above is not None:
            raise ZooError(
                f"{where} makes codes of a coarser level finer and cannot begin by itself; put a stack together: "
                "zoo stack codec=… priors=COARSEST,…,FINEST out=DIR"
            )
        level = tokenizer.config.levels - 1
        tier = Tier(level=level, hop=tokenizer.hop, config=network.config, load=lambda: network, loaded=True)
        weight = next(network.parameters())
        return cls(
            [tier],
            {level: tokenizer},
            config=StackConfig(codec=Path(where).name or "codec", priors=(Path(where).name or "prior",)),
            parameters=model.parameters,
            fingerprint=_state(Path(where) / "config.json").hex()[:16],
            device=model.device,
            dtype=weight.dtype,
            card=model.card,
        )

    def __getattr__(self, name: str) -> Any:
        """Say what to do instead where something needs the one network of a model."""
        if name == "network":
            parts = ", ".join(self.stack_config.priors)
            raise ZooError(f"a stack has several networks, and this needs one: load one of its priors ({parts})")
        if name == "config":
            return self.stack_config
        raise AttributeError(name)

    @property
    def parameters(self) -> int:
        """Parameters of all parts."""
        return self._parameters

    @property
    def device(self) -> torch.device:
        """Where priors draw."""
        return self._device

    @property
    def rate(self) -> int:
        """Samples a second."""
        return self.finest.rate

    @property
    def levels(self) -> tuple[int, ...]:
        """Levels with a prior, the coarsest first."""
        return tuple(tier.level for tier in self.tiers)

    def prior(self, level: int) -> Model:
        """Return the prior of a level as a model of its own, with that level's tokenizer.

        Raises:
            ZooError: no such level.
        """
        for place, tier in enumerate(self.tiers):
            if tier.level == level:
                recipe = {} if self.opened is None else self.opened.priors[place].recipe
                return Model(tier.load(), self.tokenizers[level], card=self.card, recipe=recipe)
        raise ZooError(f"there is no prior of level {level}; there are {', '.join(map(str, self.levels))}")

    @functools.cached_property
    def reader(self) -> Model:
        """Its coarsest prior, which hears most of a piece at once."""
        return self.prior(self.levels[0])

    def plan(
        self,
        request: Request,
        given: Mapping[int, Tensor] | None = None,
        fits: Mapping[str, Any] | None = None,
        came: Sequence[Mapping[str, Any]] = (),
    ) -> Plan:
        """Return what a request comes to; see ``make_plan``."""
        return make_plan(
            request,
            self.tiers,
            rate=self.rate,
            given=given or {},
            device=self.device,
            dtype=self.dtype,
            fits=fits,
            came=came,
        )

    def encode(self, sounds: Sequence[Waveform], seconds: float | None = None) -> dict[int, Tensor]:
        """Return the codes of sounds at every level with a prior, (sounds, time) each, of whole ids of the coarsest.

        Args:
            sounds: of one length, or cut to one.
            seconds: of the beginning of each that is kept; None for all of it.

        Raises:
            ZooError: sounds of several lengths, or too short ones.
        """
        unit = self.tiers[0].hop
        samples = [self.finest.prepare(sound) for sound in sounds]
        most = min(len(one) for one in samples)
        if seconds is None and len({len(one) // unit for one in samples}) > 1:
            raise ZooError(f"audio: sounds of several lengths; say keep_seconds=, at most {most / self.rate:.2f}")
        kept = (most if seconds is None else min(round(seconds * self.rate), most)) // unit * unit
        if not kept:
            raise ZooError(f"audio: less than {unit / self.rate:.3f} s is kept, which no id of the coarsest level is")
        return {
            tier.level: torch.stack(
                [self.tokenizers[tier.level].encode_samples(torch.from_numpy(one[:kept].copy())) for one in samples]
            )
            for tier in self.tiers
        }

    def decode(self, codes: Tensor, level: int) -> Audio:
        """Return the sound of codes (time,) of a level."""
        return self.tokenizers[level].decode(codes)

    def generate(
        self,
        prompt: Any = None,
        *,
        count: int = 1,
        max_new_tokens: int | None = None,
        temperature: float | tuple[float, ...] | None = None,
        top_k: int = 0,
        top_p: float = 1.0,
        min_p: float = 0.0,
        repetition_penalty: float = 1.0,
        stop: str | Sequence[str] = (),
        seed: int = 0,
        conditions: Mapping[str, Any] | None = None,
        cache: bool = True,
        truncate: Literal["error", "left"] = "error",
        beams: int = 1,
        length_penalty: float = 1.0,
        guidance: float | tuple[float, ...] = 1.0,
        seconds: float | None = None,
        total_seconds: float | None = None,
        hop: float | tuple[float, ...] | None = None,
        levels: tuple[int, ...] | None = None,
        parallel_segments: int = 1,
        unknown: Literal["error", "ok"] = "error",
    ) -> Any:
        """Return music of the finest level drawn: a sound, or a list where there are several.

        Args:
            prompt: a sound to go on from (or a list of them), or codes: a mapping of level to (pieces, time) int64.
            count: pieces, of each prompt.
            conditions: ``artist``, ``genre``, ``lyrics``, as people write them.
            temperature, top_k, top_p, min_p, seed, guidance, seconds, total_seconds, hop, levels, parallel_segments:
                see ``zoo.stack.plan.Request``.
            unknown: ``ok`` goes on where an artist or a genre is not known.
            max_new_tokens, repetition_penalty, stop, cache, truncate, beams, length_penalty: for other models; refused.

        Raises:
            ZooError: settings, names or lengths that cannot be.
        """
        foreign = {
            "max_new_tokens": max_new_tokens is not None,
            "repetition_penalty": repetition_penalty != 1,
            "stop": bool(stop),
            "cache": not cache,
            "truncate": truncate != "error",
            "beams": beams != 1,
            "length_penalty": length_penalty != 1,
        }
        for name, said in foreign.items():
            if said:
                raise ZooError(f"{name}: a stack does not take it; its length is seconds=")
        told: dict[str, Any] = {name: str(value) for name, value in (conditions or {}).items()}
        for name in told:
            if name not in CONDITIONS:
                raise ZooError(
                    f"conditions: a stack takes {', '.join(CONDITIONS)}, got '{name}'{suggest(name, CONDITIONS)}"
                )
        request = Request(
            **told,
            seconds=seconds,
            total_seconds=total_seconds,
            count=count,
            seed=seed,
            temperature=temperature,
            top_k=top_k,
            top_p=top_p,
            min_p=min_p,
            guidance=guidance,
            hop=hop,
            levels=levels,
            parallel_segments=parallel_segments,
            unknown=unknown == "ok",
        )
        plan = self.plan(request, self._given(prompt))
        last = [event for event in carry_out(plan) if isinstance(event, Finished)][-1]
        sounds = [self.decode(codes, last.level) for codes in last.codes]
        return sounds if isinstance(prompt, list) or len(sounds) > 1 else sounds[0]

    def _given(self, prompt: Any) -> dict[int, Tensor]:
        if prompt is None:
            return {}
        if isinstance(prompt, Mapping):
            return checked_codes(prompt, self.tiers)
        return self.encode(prompt if isinstance(prompt, list) else [prompt])

    def save(self, folder: str | Path, *, overwrite: bool = False) -> None:
        """Write the stack with all of its parts into a folder, which stands there complete or not at all.

        Raises:
            ZooError: the folder is not empty (unless ``overwrite``), holds what is no part of a checkpoint or what this
                stack reads, or cannot be written to; this is a single prior.
        """
        target = Path(folder)
        if self.opened is not None:
            for where in (self.opened.codec.where, *(part.where for part in self.opened.priors)):
                if target.resolve() in Path(where).resolve().parents:
                    raise ZooError(
                        f"{target} holds weights that this stack reads while it plays; choose another folder"
                    )
        check_target(target, overwrite=overwrite)
        replace_folder(target, self.write)

    def write(self, folder: Path, dtype: torch.dtype | None = None) -> None:
        """Write the stack into an empty folder; see ``zoo.stack.writing``.

        Raises:
            ZooError: the folder cannot be written to; this is a single prior.
        """
        if self.opened is None:
            raise ZooError("this is a prior alone: save it, and put a stack together by zoo stack")
        coarsest, size = self.levels[0], self.parameters
        write_stack(self.opened, folder, coarsest=coarsest, parameters=size, card=self.card, dtype=dtype)

    def summary(self) -> str:
        """Return a table of the stack: its levels, sizes, and what each is told."""
        lines = [f"{self.card.get('name', 'stack')}: {self.parameters:,} parameters, {self.rate:,} samples a second"]
        for tier in self.tiers:
            config = tier.config
            told = [
                name
                for name, has in (
                    ("artist and genre", config.labels),
                    ("lyrics", config.lyrics),
                    ("the level above", config.above),
                )
                if has
            ]
            size = count_parameters(outline(config))
            window = config.context * tier.hop / self.rate
            lines.append(
                f"level {tier.level}: {size:,} parameters, {self.rate / tier.hop:,.0f} ids a second, windows of "
                f"{window:.2f} s, told {', '.join(told) or 'nothing'}"
            )
        return "\n".join(lines)


def _tier(part: Opened, level: int, hop: int, device: torch.device, dtype: torch.dtype) -> Tier:
    config = part.config

    def load() -> Prior:
        network = part.network(device, dtype)
        assert isinstance(network, Prior)
        return network.eval()

    assert isinstance(config, PriorConfig)
    return Tier(level=level, hop=hop, config=config, load=load)


def _state(path: Path) -> bytes:
    """Return what tells these files of a checkpoint from others: its list of sums, else size and time of each file."""
    manifest = path.parent / "manifest.json"
    if manifest.is_file():
        return hashlib.sha256(manifest.read_bytes()).digest()
    beside = _HUGGING_FACE if path.name == "config.json" else _TABLES
    files = {path, *(file for file in path.parent.glob("*") if beside.fullmatch(file.name))}
    seen = hashlib.sha256()
    for file in sorted(files):
        if file.is_file():
            stat = file.stat()
            seen.update(f"{file.name} {stat.st_size} {stat.st_mtime_ns}\n".encode())
    return seen.digest()
