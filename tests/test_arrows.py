"""The arrows of the design: which part of the library may import which, read from the source."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]

GROUND = {"errors", "settings", "paths", "network", "download", "memory", "precision"}
CORE = GROUND | {"transformer", "recurrent", "music", "architecture"}
MIDDLE = CORE | {"tokenizers", "data"}
WORK = MIDDLE | {"weights", "generate", "evaluate", "filling", "inpainting", "model", "loading", "train", "classify"}

ALLOWED: dict[str, set[str]] = {
    "errors": set(),
    "settings": {"errors"},
    "paths": {"errors"},
    "catalogue": {"errors", "paths"},
    "network": {"errors", "settings"},
    "memory": set(),
    "precision": set(),
    "download": {"errors"},
    "tokenizers": GROUND,
    "data": GROUND | {"tokenizers", "music"},
    "transformer": GROUND,
    "recurrent": GROUND | {"transformer"},
    "music": GROUND | {"transformer", "tokenizers"},
    "architecture": GROUND | {"transformer", "recurrent", "music"},
    "weights": CORE | {"tokenizers"},
    "generate": CORE,
    "evaluate": MIDDLE | {"generate", "prompts", "model", "stack", "loading", "features", "classify"},
    "prompts": MIDDLE | {"generate"},
    "classify": MIDDLE | {"generate"},
    "drawing": MIDDLE | {"generate", "prompts"},
    "filling": MIDDLE | {"generate", "drawing"},
    "inpainting": MIDDLE | {"generate", "drawing"},
    "model": MIDDLE | {"classify", "weights", "generate", "prompts", "drawing", "filling", "inpainting"},
    "stack": MIDDLE | {"weights", "generate", "model"},
    "loading": MIDDLE | {"weights", "model", "stack"},
    "train": WORK - {"model", "stack", "loading"},
    "features": MIDDLE | {"generate"},
    "recipe": WORK | {"catalogue"},
    "run": WORK | {"recipe"},
    "codec": WORK | {"recipe", "run"},
    "finetune": WORK | {"run"},
    "coding": MIDDLE | {"catalogue", "evaluate", "loading", "recipe", "weights"},
    "cli": WORK | {"catalogue", "stack", "recipe", "run", "codec", "finetune", "coding", "features"},
    "__main__": {"cli"},
}
"""Part of zoo -> the parts that it may import. A part may always import itself."""

LAZY: dict[str, set[str]] = {
    "__init__": {"model", "loading", "tokenizers", "errors"},
    "tokenizers": {"loading", "weights"},
}
"""Imports that point up and therefore stand inside functions: ``zoo.load`` is the library's front door, and a codec is
a tokenizer that is a checkpoint, which ``tokenizer.path`` may name in every format, or by its name on the Hub."""

CONFIGURATION = {"hydra", "omegaconf"}
SLOW = {"torch", "hydra", "omegaconf", "transformers", "librosa"}
TORCH_FREE = [
    "zoo",
    "zoo.cli.main",
    "zoo.__main__",
    "zoo.errors",
    "zoo.settings",
    "zoo.paths",
    "zoo.tokenizers.registry",
]


@dataclass(frozen=True)
class Import:
    """One imported module: by whom, on which line, and whether it is imported as soon as the importer is."""

    source: str
    target: str
    line: int
    at_import: bool


def sources() -> Iterator[tuple[str, Path]]:
    """Yield (module name, file) of the library; tokenizers/ counts as zoo.tokenizers, wherever it is linked."""
    for folder, package in ((ROOT / "zoo", "zoo"), (ROOT / "tokenizers", "zoo.tokenizers")):
        for path in sorted(folder.rglob("*.py")):
            relative = path.relative_to(folder)
            if folder.name == "zoo" and relative.parts[0] in {"tokenizers", "recipes"}:
                continue  # symlinks to the folders at the root
            parts = relative.with_suffix("").parts
            if parts[-1] == "__init__" and len(parts) > 1:
                parts = parts[:-1]
            yield ".".join((package, *parts)), path


def imports_of(module: str, path: Path) -> Iterator[Import]:
    """Yield every import of a file, those inside functions and ``if TYPE_CHECKING`` included."""
    tree = ast.parse(path.read_text(encoding="utf-8"), str(path))
    deferred = {
        id(inner)
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
        or (isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test))
        for inner in ast.walk(node)
    }
    is_package = path.name == "__init__.py"
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            targets = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                package = module.split(".") if is_package else module.split(".")[:-1]
                base = ".".join([*package[: len(package) - node.level + 1], *([base] if base else [])])
            targets = [f"{base}.{alias.name}" for alias in node.names]
        else:
            continue
        for target in targets:
            yield Import(module, target, node.lineno, id(node) not in deferred)


MODULES = dict(sources())
IMPORTS = [found for module, path in MODULES.items() for found in imports_of(module, path)]


def part(module: str) -> str | None:
    """Return the part of zoo that a module belongs to, None for other libraries."""
    names = module.split(".")
    return None if names[0] != "zoo" else names[1] if len(names) > 1 else "__init__"


def owner(target: str) -> str | None:
    """Return the module of ours that ``target`` (a module, or a name inside one) is."""
    while target:
        if target in MODULES:
            return target
        target = target.rpartition(".")[0]
    return None


def test_every_part_has_its_arrows() -> None:
    parts = {name for module in MODULES if (name := part(module)) not in {None, "__init__"}}
    assert parts <= ALLOWED.keys(), f"say in ALLOWED what these may import: {sorted(parts - ALLOWED.keys())}"


def test_imports_follow_the_arrows() -> None:
    wrong = []
    for found in IMPORTS:
        source, target = part(found.source), part(found.target)
        if target is None or source is None or source == target or found.target in {"zoo", "zoo.__version__"}:
            continue
        allowed = ALLOWED.get(source, set()) | (set() if found.at_import else LAZY.get(source, set()))
        if source == "__init__":
            allowed |= {"errors"}
        if target not in allowed:
            wrong.append(f"{found.source}:{found.line} imports {found.target}")
    assert not wrong, "\n".join(wrong)


def test_only_the_recipe_module_knows_hydra() -> None:
    users = {found.source for found in IMPORTS if found.target.split(".")[0] in CONFIGURATION}
    assert users <= {"zoo.recipe"}


def test_no_module_is_part_of_a_cycle() -> None:
    edges = {module: set[str]() for module in MODULES}
    for found in IMPORTS:
        target = owner(found.target)
        if found.at_import and target is not None and target != found.source:
            edges[found.source].add(target)
    free: set[str] = set()
    while ready := {module for module, targets in edges.items() if module not in free and targets <= free}:
        free |= ready
    assert not edges.keys() - free, f"these import each other in a circle: {sorted(edges.keys() - free)}"


@pytest.mark.parametrize("module", TORCH_FREE)
def test_torch_stays_out_of_what_help_imports(module: str) -> None:
    if module != "zoo" and module not in MODULES:
        pytest.fail(f"{module} is gone: update TORCH_FREE")
    code = (
        f"import sys, {module}; "
        "sys.exit(','.join(sorted({'torch', 'hydra', 'transformers'} & sys.modules.keys())) or None)"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_hugging_face_keeps_its_name_at_the_root() -> None:
    code = "import tokenizers, zoo.tokenizers.base as ours; print(tokenizers.Tokenizer.__module__, ours.__file__)"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    theirs, file = done.stdout.split(maxsplit=1)
    assert theirs == "tokenizers"
    assert Path(file.strip()).resolve() == ROOT / "tokenizers" / "base.py"
