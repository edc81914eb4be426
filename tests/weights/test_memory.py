"""Loading takes the memory of the network in its own type, and little more: measured in a process of its own."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from zoo.transformer.config import TransformerConfig
from zoo.transformer.model import Transformer
from zoo.weights import folder as folders
from zoo.weights import gpt2
from zoo.weights.files import digest, write_file
from zoo.weights.links import own, written

MEASURE = """
import sys, time
def peak():
    with open("/proc/self/status") as file:
        return next(int(line.split()[1]) for line in file if line.startswith("VmHWM:")) * 1024
import torch, zoo
zoo.load  # all imports
import zoo.loading, zoo.tokenizers.registry
before, started = peak(), time.perf_counter()
model = zoo.load(sys.argv[1], device="cpu", dtype=sys.argv[2])
print(model.parameters, peak() - before, peak(), time.perf_counter() - started)
"""

pytestmark = pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="the peak is read from Linux's /proc")


def write_random(folder: Path, config: TransformerConfig, dtype: torch.dtype, *, foreign: bool) -> None:
    """Write a checkpoint of random weights, never more than a piece of one tensor in memory."""
    with torch.device("meta"):
        network = Transformer(config)
    links = gpt2.links(config) if foreign else own(network)
    shapes = {name: tuple(view.shape) for name, view in written(network, links)}
    header, offset = {}, 0
    for name, shape in shapes.items():
        size = torch.Size(shape).numel() * dtype.itemsize
        kind = {torch.float32: "F32", torch.bfloat16: "BF16"}[dtype]
        header[name] = {"dtype": kind, "shape": shape, "data_offsets": [offset, offset + size]}
        offset += size
    text = json.dumps(header).encode()
    piece = (torch.randn(1 << 20) * 0.02).to(dtype).view(torch.uint8).numpy().data

    def pieces() -> Iterator[bytes | memoryview]:
        yield len(text).to_bytes(8, "little") + text
        for start in range(0, offset, len(piece)):
            yield piece[: offset - start]

    write_file(folder / "model.safetensors", pieces())


def measured(folder: Path, dtype: str) -> tuple[int, float]:
    """Return the parameters of the loaded model, and the growth of the process's peak as a multiple of its weights."""
    result = subprocess.run(
        [sys.executable, "-c", MEASURE, str(folder), dtype], capture_output=True, text=True, check=True, timeout=600
    )
    parameters, grown, peak, seconds = result.stdout.split()
    size = int(parameters) * (2 if dtype == "bfloat16" else 4)
    print(f"{folder.name} as {dtype}: {size / 1e9:.3f} GB, peak +{int(grown) / 1e9:.3f} GB = {int(grown) / size:.3f} x,"
          f" whole process {int(peak) / 1e9:.3f} GB, {float(seconds):.1f} s")  # fmt: skip
    return int(parameters), int(grown) / size


MEDIUM = TransformerConfig(vocabulary=50257, context=1024, width=1024, depth=24, heads=16)


@pytest.mark.slow
@pytest.mark.parametrize("stored", [torch.float32, torch.bfloat16])
def test_a_foreign_folder_is_held_once(tmp_path: Path, stored: torch.dtype) -> None:
    (tmp_path / "config.json").write_text(json.dumps(gpt2.settings(MEDIUM)))
    write_random(tmp_path, MEDIUM, stored, foreign=True)
    parameters, ratio = measured(tmp_path, "bfloat16")
    assert parameters == 354_823_168
    assert ratio < 1.2


@pytest.mark.slow
def test_our_own_folder_is_held_once(tmp_path: Path) -> None:
    from zoo import settings

    contents = folders.Contents(
        family="transformer", modality="text", network=settings.to_mapping(MEDIUM), tokenizer=None, recipe={}, card={}
    )

    def put(path: Path) -> str:
        write_random(path.parent, MEDIUM, torch.float32, foreign=False)
        return digest(path)

    folders.publish(tmp_path, contents, put, 354_823_168)
    parameters, ratio = measured(tmp_path, "bfloat16")
    assert parameters == 354_823_168
    assert ratio < 1.2
