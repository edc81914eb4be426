"""What is left of memory, and how its end is told from other errors."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from zoo import memory


def test_a_container_s_limit_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert memory._left_to_group(tmp_path) is None
    (tmp_path / "memory.max").write_text("max\n")
    (tmp_path / "memory.current").write_text("1000\n")
    (tmp_path / "memory.stat").write_text("anon 600\nfile 400\ninactive_file 250\nactive_file 50\n")
    assert memory._left_to_group(tmp_path) is None
    (tmp_path / "memory.max").write_text("5000\n")
    assert memory._left_to_group(tmp_path) == 5000 - (1000 - 300)
    monkeypatch.setattr(memory, "_left_to_group", lambda: 4000)
    assert memory.available_bytes() == 4000


def test_of_version_1_too(tmp_path: Path) -> None:
    folder = tmp_path / "memory"
    folder.mkdir()
    (folder / "memory.limit_in_bytes").write_text("700")
    (folder / "memory.usage_in_bytes").write_text("900")
    (folder / "memory.stat").write_text("inactive_file 7\ntotal_inactive_file 300\ntotal_active_file 0")
    assert memory._left_to_group(tmp_path) == 100
    (folder / "memory.usage_in_bytes").write_text("2000")
    assert memory._left_to_group(tmp_path) == 0


@pytest.mark.parametrize(
    ("error", "exhausted"),
    [
        (MemoryError(), True),
        (torch.OutOfMemoryError("CUDA out of memory"), True),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 4 bytes"), True),
        (RuntimeError("CUDA error: out of memory"), True),
        (RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling cublasCreate"), True),
        (RuntimeError("shape mismatch"), False),
    ],
)
def test_the_end_of_memory_is_known(error: Exception, exhausted: bool) -> None:
    assert memory.is_exhausted(error) is exhausted
