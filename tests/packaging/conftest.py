"""Wheels of this checkout, built three ways, and a clean environment with one of them."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SOURCES = ["pyproject.toml", "README.md", "LICENSE", "zoo", "tokenizers", "recipes"]

Run = Callable[..., subprocess.CompletedProcess[str]]


def copy_checkout(target: Path, *, symlinks: bool) -> Path:
    """Copy what a build needs, so that no build output of ours or of earlier builds gets in.

    Without ``symlinks``, a link becomes a file that holds its target, as git writes it with core.symlinks=false.
    """
    target.mkdir()
    for name in SOURCES:
        source = ROOT / name
        if source.is_dir():
            shutil.copytree(
                source, target / name, symlinks=True, ignore=shutil.ignore_patterns("__pycache__", "*.egg-info")
            )
        else:
            shutil.copy2(source, target / name)
    if not symlinks:
        for link in [path for path in (target / "zoo").iterdir() if path.is_symlink()]:
            text = os.readlink(link)
            link.unlink()
            link.write_text(text)
    return target


def build(kind: str, source: Path, out: Path) -> Path:
    """Build a ``wheel`` or ``sdist`` with the setuptools at hand: no network."""
    command = [sys.executable, "-m", "build", f"--{kind}", "--no-isolation", "--outdir", str(out), str(source)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=source.parent)
    assert done.returncode == 0, done.stdout + done.stderr
    (result,) = out.iterdir()
    return result


@pytest.fixture(scope="session")
def wheels(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Return the wheel built from the checkout, from one without symlinks, and through the sdist."""
    folder = tmp_path_factory.mktemp("wheels")
    checkout = copy_checkout(folder / "checkout", symlinks=True)
    plain = copy_checkout(folder / "plain", symlinks=False)
    sdist = build("sdist", checkout, folder / "sdist")
    with tarfile.open(sdist) as archive:
        archive.extractall(folder / "unpacked", filter="data")
    (unpacked,) = (folder / "unpacked").iterdir()
    return {
        "checkout": build("wheel", checkout, folder / "from-checkout"),
        "without symlinks": build("wheel", plain, folder / "from-plain"),
        "sdist": build("wheel", unpacked, folder / "from-sdist"),
    }


@pytest.fixture(scope="session")
def clean(wheels: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Run:
    """Install the wheel that came through the sdist into a new environment; return a function that runs commands there.

    Its dependencies are those of the running environment, added by a .pth file: PyTorch takes minutes to install.
    A .pth file's folders are searched last and their own .pth files are not read, so an editable install stays out.
    """
    folder = tmp_path_factory.mktemp("clean")
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(folder / "venv")], check=True)
    binaries = folder / "venv" / "bin"
    python = binaries / "python"
    install = ["install", "--quiet", "--no-deps", "--no-index", str(wheels["sdist"])]
    subprocess.run([sys.executable, "-m", "pip", "--python", str(python), *install], check=True, capture_output=True)
    query = [str(python), "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"]
    site = Path(subprocess.run(query, check=True, capture_output=True, text=True).stdout.strip())
    (site / "dependencies.pth").write_text(sysconfig.get_path("purelib") + "\n")
    environment = {key: value for key, value in os.environ.items() if not key.startswith("PYTHON")}
    environment |= {"PATH": f"{binaries}{os.pathsep}{environment['PATH']}", "ZOO_HOME": str(folder / "home")}

    def run(*command: str, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
        program = [str(binaries / command[0]), *command[1:]]
        return subprocess.run(program, cwd=cwd or folder, env=environment, capture_output=True, text=True, timeout=300)

    return run
