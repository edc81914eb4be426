"""A model of ours behind the interface of lm-evaluation-harness, so that its tasks run here, offline on local files.

    import lm_eval
    from zoo.evaluate.harness import harness_model

    lm_eval.simple_evaluate(model=harness_model(zoo.load("shakespeare")), tasks=["my_task"], task_manager=...)

Needs ``pip install 'tokenzoo[harness]'``; nothing else of zoo does.
"""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from typing import Any

import torch

from zoo.data.stream import Stream
from zoo.errors import ZooError
from zoo.evaluate.language_model import evaluate
from zoo.evaluate.scoring import lead_of, score, text_tokenizer
from zoo.evaluate.windows import Windows
from zoo.model import Model


class Requests:
    """Answers the three kinds of requests that the harness makes.

    Args:
        model: causal, of text.
        batch: rows in a forward pass.

    Raises:
        ZooError: the model cannot go on with text.
    """

    def __init__(self, model: Model, *, batch: int = 16) -> None:
        super().__init__()
        self.model, self.batch, self.tokenizer = model, batch, text_tokenizer(model)

    def loglikelihood(self, requests: Sequence[Any], disable_tqdm: bool = False) -> list[tuple[float, bool]]:
        """Return (nats, whether each token is the likeliest) of continuations after their contexts.

        Of a context that is too long, the end is kept, as the harness does.
        """
        pairs = [(str(context), str(text)) for context, text in (request.args for request in requests)]
        shortened = [self._fitting(context, text) for context, text in pairs]
        found = score(self.model, shortened, [text for _, text in pairs], batch=self.batch)
        return [(one.log_likelihood, one.greedy) for one in found]

    def loglikelihood_rolling(self, requests: Sequence[Any], disable_tqdm: bool = False) -> list[float]:
        """Return the nats of whole texts, the first token after what a document begins after."""
        return [self._rolling(str(request.args[0])) for request in requests]

    def generate_until(self, requests: Sequence[Any], disable_tqdm: bool = False) -> list[str]:
        """Return what the model writes after contexts, up to the first of the texts that end it."""
        written = []
        for request in requests:
            context, settings = request.args
            until = settings.get("until") or ()
            stops = (until,) if isinstance(until, str) else tuple(until)
            count = int(settings.get("max_gen_toks", 128))
            sampling = {"temperature": float(settings.get("temperature", 0.0))} if settings.get("do_sample") else {}
            prompt = self._fitting(str(context), "", room=min(count, self.model.network.context // 2))
            text = self.model.generate(
                prompt or None, max_new_tokens=count, stop=stops, temperature=sampling.get("temperature", 0.0)
            )
            told = self.tokenizer.decode(self.tokenizer.encode(prompt)) if prompt else ""
            written.append(text[len(told) :])
        return written

    def _fitting(self, context: str, text: str, room: int = 0) -> str:
        """Return the end of a context for which there is room before ``text``."""
        whole = len(self.tokenizer.encode(context + text)) + len(lead_of(self.model)[0]) - (1 if text else 0) + room
        excess = whole - self.model.network.context
        if excess <= 0 or not context:
            return context
        _, offsets = self.tokenizer.encode_with_offsets(context)
        if excess >= len(offsets):
            raise ZooError(f"the text {text[:40]!r} alone is longer than the context of {self.model.network.context}")
        return context[int(offsets[excess, 0]) :]

    def _rolling(self, text: str) -> float:
        _, empty = lead_of(self.model)
        ids = torch.cat([torch.tensor(empty, dtype=torch.int64), self.tokenizer.encode(text)]).numpy()
        if len(ids) < 2:
            return 0.0
        stream = Stream(ids=ids, text_bytes=len(text.encode()), lossless=True)
        context = min(self.model.network.context, len(ids) - 1)
        windows = Windows(stream, context=context, stride=context)
        return -float(evaluate(self.model.network, windows, batch=self.batch)["loss"]) * windows.tokens


def harness_model(model: Model, *, batch: int = 16) -> Any:
    """Return ``model`` as an ``lm_eval.api.model.LM``.

    Raises:
        ZooError: lm-eval is not installed, or the model cannot go on with text.
    """
    try:
        base = importlib.import_module("lm_eval.api.model").LM
    except ImportError:
        raise ZooError("lm-eval is not installed; pip install 'tokenzoo[harness]'") from None
    return type("ZooLM", (Requests, base), {})(model, batch=batch)
