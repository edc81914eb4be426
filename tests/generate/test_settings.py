from __future__ import annotations

import math
from typing import Any

import pytest

from zoo import settings
from zoo.errors import ZooError
from zoo.generate.settings import SamplingOptions, SamplingSettings


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"max_new_tokens": -1}, "max_new_tokens: must be 0 or more, got -1"),
        ({"max_new_tokens": 2.5}, "max_new_tokens: must be a whole number, got 2.5"),
        ({"max_new_tokens": True}, "max_new_tokens: must be a whole number, got True"),
        ({"temperature": -0.1}, "temperature: must be 0 (always the most likely id) or more, got -0.1"),
        ({"temperature": math.nan}, "temperature: must be a finite number, got nan"),
        ({"temperature": math.inf}, "temperature: must be a finite number, got inf"),
        ({"temperature": "hot"}, "temperature: must be a finite number, got 'hot'"),
        ({"temperature": None}, "temperature: must be a finite number, got None"),
        ({"top_k": -1}, "top_k: must be 0 (off) or more, got -1"),
        ({"top_p": 0}, "top_p: must lie in (0, 1], 1 is off, got 0"),
        ({"top_p": 1.5}, "top_p: must lie in (0, 1], 1 is off, got 1.5"),
        ({"top_p": math.nan}, "top_p: must be a finite number, got nan"),
        ({"min_p": -0.5}, "min_p: must lie in [0, 1], 0 is off, got -0.5"),
        ({"min_p": 1.01}, "min_p: must lie in [0, 1], 0 is off, got 1.01"),
        ({"repetition_penalty": 0}, "repetition_penalty: must be more than 0, 1 is off, got 0"),
        ({"beams": 0}, "beams: must be at least 1, got 0"),
        ({"seed": -1}, "seed: must lie in [0, 2**62), got -1"),
        ({"seed": 2**62}, f"seed: must lie in [0, 2**62), got {2**62}"),
        ({"truncate": "right"}, "truncate: must be 'error' or 'left', got 'right'"),
    ],
)
def test_refuses(change: dict[str, Any], message: str) -> None:
    with pytest.raises(ZooError) as caught:
        SamplingSettings(**{"max_new_tokens": 1, **change})
    assert str(caught.value) == message


def test_options_are_the_settings() -> None:
    assert set(SamplingOptions.__annotations__) == set(SamplingSettings.__dataclass_fields__)


def test_built_from_a_recipe() -> None:
    built = settings.build(SamplingSettings, {"max_new_tokens": "7", "top_p": "0.5"}, "generate", from_text=True)
    assert built == SamplingSettings(max_new_tokens=7, top_p=0.5)
