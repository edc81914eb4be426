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
    assert memory._left_to_group(tmp_path) is None
    (tmp_path / "memory.max").write_text("5000\n")
    assert memory._left_to_group(tmp_path) == 4000
    monkeypatch.setattr(memory, "_left_to_group", lambda: 4000)
    assert memory.available_bytes() == 4000


def test_of_version_1_too(tmp_path: Path) -> None:
    (tmp_path / "memory").mkdir()
    (tmp_path / "memory" / "memory.limit_in_bytes").write_text("700")
    (tmp_path / "memory" / "memory.usage_in_bytes").write_text("900")
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
