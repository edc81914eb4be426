"""A trained model with its tokenizer: what ``zoo.load`` returns (made by ``zoo.loading``)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import chain
from pathlib import Path
from typing import Any, Literal, Unpack

import torch
from torch import Tensor

from zoo import settings
from zoo.architecture import AnyNetwork, NetworkConfig, count_parameters
from zoo.classify.predict import Classifier
from zoo.classify.prediction import Prediction as Prediction
from zoo.drawing import Drawer
from zoo.drawing import Drawn as Drawn
from zoo.drawing import TokenProbability as TokenProbability
from zoo.errors import ZooError
from zoo.filling import Filled, Filler
from zoo.generate.fill import Order
from zoo.generate.padding import PaddedIds, without_padding
from zoo.generate.sampler import prepared
from zoo.generate.settings import SamplingOptions
from zoo.generate.text import stream_until_stop
from zoo.inpainting import Inpainter
from zoo.prompts import prompts_of
from zoo.tokenizers.base import TextTokenizer, Tokenizer
from zoo.tokenizers.image.kept import Kept
from zoo.tokenizers.image.pixels import Picture
from zoo.tokenizers.none import NoTokenizer
from zoo.transformer.heads import AnyPool, Mean
from zoo.weights import folder as folders
from zoo.weights.tensors import named_weights

MEAN = Mean()


class Model:
    """A network, its tokenizer, and where both come from.

    Attributes:
        network: on its device, in evaluation mode.
        config: the network's settings.
        tokenizer: turns samples into ids and back; a ``NoTokenizer`` where the checkpoint has none.
        modality: what ``generate`` makes: ``text``, ``image`` or ``music``.
        card: licence, data, figures: what is in card.yaml.
        recipe: the recipe that it was trained by, ``{}`` if there was none.
        head: what fine-tuning made of it, e.g. ``classification``; None where it has no head.
    """

    def __init__(
        self,
        network: AnyNetwork,
        tokenizer: Tokenizer[Any] | None,
        *,
        card: Mapping[str, Any] | None = None,
        recipe: Mapping[str, Any] | None = None,
        head: str | None = None,
    ) -> None:
        tokenizer = NoTokenizer(network.vocabulary) if tokenizer is None else tokenizer
        spec = tokenizer.spec
        needed = spec.vocabulary_size if network.causal else spec.output_vocabulary  # no start without a direction
        if needed > network.vocabulary:
            raise ZooError(
                f"the tokenizer '{spec.type}' makes {needed} ids, the network reads "
                f"{network.vocabulary}; "
                "use the tokenizer that the network was trained with"
            )
        prompts_of(network, tokenizer)  # refuses what does not fit
        self.network = network.eval()
        self.config: NetworkConfig = network.config
        self.tokenizer = tokenizer
        self.modality = spec.modality
        self.card = dict(card or {})
        self.recipe = dict(recipe or {})
        own = network.config.head
        self.head = head or self.card.get("head") or (None if own is None else settings.tag(type(own)))

    @property
    def parameters(self) -> int:
        """Number of parameters, shared ones counted once."""
        return count_parameters(self.network)

    @property
    def device(self) -> torch.device:
        """Where the network computes."""
        return next(self.network.parameters()).device

    @property
    def reader(self) -> Model:
        """The model whose network reads samples: this one, or the part of it that does."""
        return self

    def generate(
        self,
        prompt: Any = None,
        *,
        count: int = 1,
        max_new_tokens: int | None = None,
        temperature: float = 1.0,
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
        guidance: float = 1.0,
    ) -> Any:
        """Return samples that go on from ``prompt``, prompt included: text, an image or sound.

        Where the network has an encoder, the prompt is the source and a sample its target alone. A masked language
        model (BERT) replaces each ``[MASK]`` of the prompt by what is likeliest there: see ``fill``. Of a picture, the
        upper half is kept and the rest drawn anew; ``complete`` keeps other parts.

        Args:
            prompt: what to continue, or a list of such. None or empty text begins from the tokenizer's start id, else
                from its end id (as between two documents), else from a new line, else from id 0. A picture is a PIL
                image, uint8 (height, width[, 1 or 3]), or a ``zoo.tokenizers.image.kept.Kept`` that says what is kept.
            count: samples for each prompt, of seeds ``seed, seed + 1, ...``; with beams, the best so many.
            max_new_tokens: None for what the recipe says, else as many as fill a sample of fixed shape, or the context.
            stop: text ends before the first of these; they may begin in one token and end in another.
            seed: of the first sample of each prompt. A sample does not depend on the others drawn with it.
            conditions: for models that take them. ``label``: name of a class (``config.classes``), or a list of one for
                each prompt; one prompt is drawn with each label of a list. None draws without.
            cache: False computes every step from nothing: slow, the same result.
            temperature, top_k, top_p, min_p, repetition_penalty, truncate, beams, length_penalty, guidance:
                see ``zoo.generate.settings.SamplingSettings``.

        Returns:
            One sample; a list if ``prompt`` is a list or there are several, all of the first prompt first.

        Raises:
            ZooError: a setting out of range, or a prompt that is longer than the context or cannot be encoded.
        """
        drawn = self.draw(
            prompt,
            count=count,
            stop=stop,
            conditions=conditions,
            cache=cache,
            max_new_tokens=max_new_tokens,
            temperature=temperature,
            top_k=top_k,
            top_p=top_p,
            min_p=min_p,
            repetition_penalty=repetition_penalty,
            seed=seed,
            truncate=truncate,
            beams=beams,
            length_penalty=length_penalty,
            guidance=guidance,
        )
        samples = [entry.sample for entry in drawn]
        return samples if isinstance(prompt, list) or len(samples) > 1 else samples[0]

    def draw(
        self,
        prompt: Any = None,
        *,
        count: int = 1,
        stop: str | Sequence[str] = (),
        conditions: Mapping[str, Any] | None = None,
        cache: bool = True,
        seeds: Sequence[int] | None = None,
        **sampling: Unpack[SamplingOptions],
    ) -> list[Drawn]:
        """Return what ``generate`` returns together with ids and seeds, always as a list.

        Different prompts have the same seeds, so what they are continued with is alike; where samples must not depend
        on each other, as in statistics, ``seeds`` says one for each sample.
        """
        self._need_tokenizer()
        drawer = self._drawer
        prompts = prompt if isinstance(prompt, list) else [prompt]
        if not self.network.causal:
            drawer.prompts.refuse(conditions)
            fills = Inpainter if self.modality == "image" else Filler
            return fills(self.network, self.tokenizer).draw(prompts, sampling, count, stop)
        starts = drawer.prompts.starts(prompts, conditions)
        wanted, stops = drawer.settings(sampling, starts, count), drawer.stops(stop)
        every = [start for start in starts for _ in range(count)]
        seeds = drawer.seeds(every, wanted) if seeds is None else seeds
        if len(seeds) != len(every):
            raise ZooError(f"seeds: expected one for each of {len(every)} samples, got {len(seeds)}")
        new = drawer.continue_all(starts, wanted, count, stops, cache, seeds)
        return [drawer.drawn(*each, stops) for each in zip(every, seeds, new, strict=True)]

    def stream(
        self,
        prompt: str | None = None,
        *,
        count: int = 1,
        stop: str | Sequence[str] = (),
        conditions: Mapping[str, Any] | None = None,
        cache: bool = True,
        **sampling: Unpack[SamplingOptions],
    ) -> Iterator[str]:
        """Return an iterator over one text as it is drawn; its pieces joined are what ``generate`` returns.

        The first pieces are the prompt. Arguments are those of ``generate``, for one prompt and one sample.

        Raises:
            ZooError: as ``generate``; several samples; a model that makes no text.
        """
        self._need_tokenizer()
        drawer = self._drawer
        if count > 1 or isinstance(prompt, list):
            raise ZooError("stream draws one sample of one prompt; use generate for several")
        if not isinstance(self.tokenizer, TextTokenizer):
            raise ZooError(f"stream is for text and this model makes {self.modality}; use generate")
        if not self.network.causal:  # all of the text is known at once
            return iter([one.sample for one in self.draw(prompt, stop=stop, conditions=conditions, **sampling)])
        start, *others = drawer.prompts.starts([prompt], conditions)
        if others:
            raise ZooError("stream draws one sample of one label; use generate for several")
        wanted, stops = drawer.settings(sampling, [start], count), drawer.stops(stop)
        if wanted.beams > 1:
            raise ZooError("beam search knows its text only at the end; use generate, or beams=1")
        ends = drawer.prompts.end_ids
        new = (index for _, index in drawer.run([start], wanted, 1, (), cache) if index not in ends)
        pieces = self.tokenizer.stream(chain(start.ids.tolist(), new))
        return stream_until_stop(pieces, stops, len(self.tokenizer.decode(start.ids)))

    def complete(
        self,
        image: Picture | Sequence[Picture],
        *,
        keep_rows: int | None = None,
        mask: Picture | None = None,
        count: int = 1,
        conditions: Mapping[str, Any] | None = None,
        cache: bool = True,
        **sampling: Unpack[SamplingOptions],
    ) -> Any:
        """Return pictures that begin with the top rows of ``image`` (or with all but what a mask says) and end anew.

        The kept part comes back as the tokenizer shows it. Arguments that do not stand here are those of ``generate``.

        Args:
            image: a PIL image or uint8 (height, width[, 1 or 3]) of any size, or a list of them.
            keep_rows: top rows of pixels to keep, of those of the model's grid (``tokenizer.rows``), all of them
                included; default: the upper half. Of a tokenizer whose ids stand for several pixels, whole rows of ids.
            mask: instead of ``keep_rows``, for models with Image GPT's BERT objective: a picture that is white where
                pixels are to be drawn.

        Returns:
            A PIL image; a list if ``image`` is a list or there are several, all of the first image first.

        Raises:
            ZooError: as ``generate``; too many rows, a mask for a model that draws from the top down.
        """
        if self.modality != "image":
            raise ZooError(f"complete is for pictures and this model makes {self.modality}; use generate")
        images: list[Any] = [*image] if isinstance(image, list | tuple) else [image]
        kept = [Kept(picture=one, rows=keep_rows, mask=mask) for one in images]
        drawn = self.draw(kept, count=count, conditions=conditions, cache=cache, **sampling)
        samples = [one.sample for one in drawn]
        return samples if isinstance(image, list | tuple) or len(samples) > 1 else samples[0]

    def fill(self, text: str, *, count: int = 5, order: Order = "at_once") -> Filled:
        """Put words in the place of each ``[MASK]`` of ``text``, as masked language models (BERT) can.

        ``[CLS]`` and ``[SEP]`` are put around the text; what comes after a ``[SEP]`` in it is its second part.

        Args:
            text: with at least one ``[MASK]``.
            count: candidates to return for each mask, the most likely first; the first one is put into the text.
            order: ``at_once`` fills every mask as if the others were still open, as Hugging Face's pipeline does;
                ``one_by_one`` fills the surest one first and looks at the others again, with it in place.

        Returns:
            The filled text, its ids, and the candidates with their probabilities.

        Raises:
            ZooError: no mask in the text, a text beyond the context, a model that fills no gaps.
        """
        self._need_tokenizer()
        return Filler(self.network, self.tokenizer).fill(text, count=count, order=order)

    def generate_ids(
        self,
        ids: Tensor,
        *,
        mask: Tensor | None = None,
        count: int = 1,
        stop: str | Sequence[str] = (),
        conditions: Mapping[str, Any] | None = None,
        cache: bool = True,
        **sampling: Unpack[SamplingOptions],
    ) -> Tensor:
        """Continue ids as they are: nothing is put before them. Other arguments are those of ``generate``.

        Args:
            ids: int64 (batch, time) or (time,), with the start id where the family has one; targets of networks with
                an encoder begin with ``tokenizer.spec.target_start_id``.
            mask: like ``ids``, 0 at padding on the left or the right of a row.
            count: samples for each row, one below the other in the result.
            conditions: see ``logits``.

        Returns:
            int64 (batch * count, time + new): the given columns as they were, then the new ids. Rows that end early are
            filled up with the tokenizer's pad id, else its end id, else id 0.
        """
        padded = PaddedIds(ids, mask, vocabulary=self.network.vocabulary)
        drawer = self._drawer
        starts = drawer.prompts.rows(padded, conditions)
        wanted, stops = drawer.settings(sampling, starts, count), drawer.stops(stop)
        new = drawer.continue_all(starts, wanted, count, stops, cache)
        fillers = (self.tokenizer.spec.pad_id, *drawer.prompts.end_ids)
        filler = next((index for index in fillers if index is not None), 0)
        longest = max(map(len, new))
        drawn = torch.tensor([row + [filler] * (longest - len(row)) for row in new], dtype=torch.int64)
        given = padded.given.repeat_interleave(count, dim=0)
        return torch.cat([given, drawn.to(given.device)], dim=1)

    @torch.no_grad()
    def logits(self, ids: Tensor, *, mask: Tensor | None = None, conditions: Mapping[str, Any] | None = None) -> Tensor:
        """Return logits, float32 (batch, time, vocabulary): column t predicts the id after ``ids[:, :t+1]``.

        Args:
            ids: int64 (batch, time) or (time,), with the start id where the family has one.
            mask: like ``ids``, 0 at padding on the left or the right of a row; logits are 0 there.
            conditions: for models that take them. ``label``: name of a class, or a list of one for each row.
                ``segments``: token types like ``ids`` (BERT). ``visible``: like ``ids``, 0 at pixels that are hidden
                (Image GPT's BERT objective). Networks with an encoder need ``source``: a text or a list of texts, or
                int64 (batch, source time), with ``source_mask`` like it, 0 at padding; one source alone is every
                row's.

        Raises:
            ZooError: ids outside the vocabulary or beyond the context, conditions that the model does not take.
        """
        hidden, padded = self._hidden(ids, mask, conditions)
        return padded.restore(self.network.head(hidden).float())

    @torch.no_grad()
    def class_logits(
        self, ids: Tensor, *, mask: Tensor | None = None, conditions: Mapping[str, Any] | None = None
    ) -> Tensor:
        """Return what the network's head says, float32: (batch, labels), or (batch, time, 2) of a span head.

        Args:
            ids: int64 (batch, time) or (time,), with the special ids that the head was trained with.
            mask: like ``ids``, 0 at padding on the left or the right of a row. None: pad ids at the end of a row are
                padding where the network reads left to right, since its head looks at the last id.
            conditions: see ``logits``.

        Raises:
            ZooError: the network has no head.
        """
        pad_id = self.tokenizer.spec.pad_id
        if mask is None and pad_id is not None and self.network.causal:
            mask = without_padding(ids, pad_id)
        padded = PaddedIds(ids, mask, vocabulary=self.network.vocabulary)
        told = prepared(self.network, self._drawer.prompts.told(padded, conditions))
        lengths = padded.lengths.cpu()
        logits = self.network.judge(padded.ids.to(self.device), lengths=lengths, conditioning=told)[0].float()
        return padded.restore(logits) if logits.ndim == 3 else logits

    def classify(self, samples: Sequence[Any], *, batch: int = 16) -> list[Prediction]:
        """Return what each sample is, as a head that was fine-tuned says it.

        Args:
            samples: texts, pairs of texts, ``zoo.data.records.TextRow`` (with ``choices``, of multiple choice),
                pictures (PIL images or uint8 arrays) or sounds (``zoo.Audio``); of a model that finds answers, pairs of
                question and passage.
            batch: how many are read at once.

        Returns:
            ``Prediction(label, probability, probabilities)`` of each; see ``zoo.classify.prediction``.

        Raises:
            ZooError: a model without such a head, or a sample that cannot be read, with its number.
        """
        if isinstance(samples, str) or not isinstance(samples, Sequence):
            raise ZooError(f"classify takes a list of samples, got {type(samples).__name__}; write [sample]")
        named = ((f"sample {number}", sample) for number, sample in enumerate(samples))
        return list(self.classifier().predict(named, batch=batch))

    def classifier(self) -> Classifier:
        """Return what ``classify`` uses, for samples that come one by one.

        Raises:
            ZooError: a model without such a head, or without a tokenizer.
        """
        read = self.reader
        ours = "head" in read.card  # transformers shows its classifiers pictures without the start id
        both, context = bool(read.card.get("both_orders")), read.card.get("context")
        return Classifier(read.network, read.tokenizer, both_orders=both, start=ours, context=context)

    @torch.no_grad()
    def hidden_states(
        self, ids: Tensor, *, mask: Tensor | None = None, conditions: Mapping[str, Any] | None = None
    ) -> tuple[Tensor, ...]:
        """Return depth + 1 tensors, float32 (batch, time, width): the embedding, then each block. See ``logits``."""
        padded = PaddedIds(ids, mask, vocabulary=self.network.vocabulary)
        told = prepared(self.network, self._drawer.prompts.told(padded, conditions))
        states = self.network.hidden_states(padded.ids.to(self.device), lengths=padded.lengths.cpu(), conditioning=told)
        return tuple(padded.restore(state.float()) for state in states)

    @torch.no_grad()
    def features(
        self,
        ids: Tensor,
        *,
        mask: Tensor | None = None,
        conditions: Mapping[str, Any] | None = None,
        pool: AnyPool = MEAN,
    ) -> tuple[Tensor, ...]:
        """Return one vector a row and layer, float32 (batch, width) each, depth + 1 of them: what a linear probe reads.

        Entry k is pooled over the real positions from what block k reads, which is its input behind its first norm
        (Chen et al. 2020, section 2.4: their f^l); the last entry from the last hidden state.

        Args:
            ids: see ``logits``.
            mask: see ``logits``; padding is left out.
            conditions: see ``logits``.
            pool: mean, first or last position: see ``zoo.transformer.heads``.
        """
        padded = PaddedIds(ids, mask, vocabulary=self.network.vocabulary)
        told = prepared(self.network, self._drawer.prompts.told(padded, conditions))
        lengths = padded.lengths.cpu()
        states = self.network.features(padded.ids.to(self.device), lengths=lengths, conditioning=told)
        return tuple(pool(state.float(), lengths) for state in states)

    @torch.no_grad()
    def next_token_probabilities(
        self, prompt: str | None = None, count: int = 10, **sampling: Unpack[SamplingOptions]
    ) -> list[TokenProbability]:
        """Return the ``count`` most likely next tokens after ``prompt``, the likeliest first.

        Temperature, filters and penalty act as they do on sampling.

        Raises:
            ZooError: as ``generate``.
        """
        self._need_tokenizer()
        drawer = self._drawer
        start = drawer.prompts.start(prompt)
        probabilities = drawer.next_probabilities(start, drawer.settings(sampling, [start], count))
        values, ids = probabilities.topk(min(count, len(probabilities)))
        return [
            TokenProbability(id=index, text=drawer.piece(index), probability=value)
            for index, value in zip(ids.tolist(), values.tolist(), strict=True)
            if value > 0
        ]

    def save(self, folder: str | Path, *, overwrite: bool = False) -> None:
        """Write a checkpoint folder that ``zoo.load`` reads.

        Raises:
            ZooError: the folder is not empty (unless ``overwrite``), or cannot be written to.
        """
        contents = folders.Contents(
            family=settings.tag(type(self.config)),
            modality=self.modality,
            network=settings.to_mapping(self.config),
            tokenizer=None if isinstance(self.tokenizer, NoTokenizer) else self.tokenizer,
            recipe=self.recipe,
            card=self.card,
            head=self.head,
        )
        folders.write(Path(folder), contents, named_weights(self.network), overwrite=overwrite)

    def summary(self) -> str:
        """Return a table of what the model is: family, size, tokenizer, data, figures."""
        spec, config = self.tokenizer.spec, settings.to_mapping(self.config)
        shape = [f"{name.replace('_', ' ')} {config[name]}" for name in SHAPE if config.get(name) is not None]
        data = [str(entry.get("name")) for entry in self.card.get("data") or () if isinstance(entry, Mapping)]
        metrics = [
            f"{name} {value:.4g}" if isinstance(value, float) else f"{name} {value}"
            for name, value in (self.card.get("metrics") or {}).items()
        ]
        rows = {
            "name": self.card.get("name"),
            "family": f"{config['type']}, makes {self.modality}",
            "parameters": f"{self.parameters:,}",
            "shape": ", ".join(shape),
            "tokenizer": f"{spec.type}, {spec.vocabulary_size:,} ids{'' if spec.lossless else ', lossy'}",
            "weights": f"{str(next(self.network.parameters()).dtype).removeprefix('torch.')} on {self.device}",
            "recipe": self.card.get("recipe"),
            "data": ", ".join(data),
            "license": self.card.get("license"),
            "metrics": ", ".join(metrics),
        }
        return "\n".join(f"{name:<11} {value}" for name, value in rows.items() if value)

    def _need_tokenizer(self) -> None:
        """Raise ZooError before anything is drawn that nobody could decode."""
        if isinstance(self.tokenizer, NoTokenizer):
            self.tokenizer.refuse()

    def __repr__(self) -> str:
        """Return the family and size in one line."""
        return f"Model({settings.tag(type(self.config))}, {self.parameters:,} parameters, makes {self.modality})"

    def _hidden(
        self, ids: Tensor, mask: Tensor | None, conditions: Mapping[str, Any] | None
    ) -> tuple[Tensor, PaddedIds]:
        """Return the last hidden states of rows that begin at the left, and how they stood."""
        padded = PaddedIds(ids, mask, vocabulary=self.network.vocabulary)
        told = prepared(self.network, self._drawer.prompts.told(padded, conditions))
        hidden = self.network.hidden(padded.ids.to(self.device), lengths=padded.lengths.cpu(), conditioning=told)
        return hidden, padded

    @property
    def _drawer(self) -> Drawer:
        """Return what draws from the network and the tokenizer that are in place now."""
        prompts = prompts_of(self.network, self.tokenizer)
        return Drawer(network=self.network, tokenizer=self.tokenizer, prompts=prompts, recipe=self.recipe)


SHAPE = ("depth", "width", "heads", "cell", "embedding_width", "context", "vocabulary", "output_vocabulary")
"""The settings that ``Model.summary`` shows."""
