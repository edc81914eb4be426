"""Windows of running text: each token predicted once, from as much before it as is promised."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from tests.evaluate.models import random_model
from zoo.data.base import IGNORED
from zoo.data.stream import Stream
from zoo.errors import ZooError
from zoo.evaluate.language_model import evaluate
from zoo.evaluate.windows import Windows


def stream(count: int) -> Stream:
    ids = (np.arange(count) * 37 % 251).astype(np.uint16)
    return Stream(ids=ids, text_bytes=count, lossless=True)


@given(st.integers(2, 60), st.integers(1, 9), st.integers(1, 9), st.integers(1, 4))
def test_each_token_but_the_first_is_predicted_once(count: int, context: int, stride: int, size: int) -> None:
    context = min(context, count - 1)
    stride = min(stride, context)
    text = stream(count)
    seen: list[int] = []
    for batch in Windows(text, context=context, stride=stride).held_out(size):
        for row, start in enumerate(batch.indices.tolist()):
            for column in range(batch.ids.shape[1]):
                assert batch.ids[row, column] == text.ids[start + column]
                if batch.targets[row, column] != IGNORED:
                    place = start + column + 1
                    assert batch.targets[row, column] == text.ids[place]
                    assert place <= context or column >= context - stride  # so many read before it
                    seen.append(place)
    assert seen == list(range(1, count))


def test_a_stride_of_one_gives_every_token_a_full_context() -> None:
    model, text, context = random_model(), stream(40), 8
    found = evaluate(model.network, Windows(text, context=context, stride=1), batch=3)
    ids = torch.from_numpy(text.ids.astype(np.int64))
    nats = 0.0
    for place in range(1, len(ids)):
        begin = max(0, place - context)
        logs = model.logits(ids[None, begin:place])[0, -1].log_softmax(-1)
        nats -= float(logs[ids[place]])
    assert found["loss"] == pytest.approx(nats / 39, rel=1e-5)
    assert found["bits_per_byte"] == pytest.approx(nats / (40 * math.log(2)), rel=1e-5)


def test_side_by_side_is_the_contract_s_validation() -> None:
    model, text = random_model(), stream(43)
    found = evaluate(model.network, Windows(text, context=8, stride=8), batch=4)
    ids = torch.from_numpy(text.ids.astype(np.int64))
    nats = 0.0
    for begin in range(0, 42, 8):
        window = ids[begin : begin + 9]
        logs = model.logits(window[None, :-1])[0].log_softmax(-1)
        nats -= float(logs.gather(1, window[1:, None]).sum())
    assert found["loss"] == pytest.approx(nats / 42, rel=1e-5)


def test_what_has_nothing_to_predict() -> None:
    with pytest.raises(ZooError, match="fewer than two tokens"):
        Windows(stream(1), context=8, stride=4)
    with pytest.raises(ZooError, match="stride must be 1 to 8, the context, got 9"):
        Windows(stream(20), context=8, stride=9)
