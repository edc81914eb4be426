"""The frame of the command line: words, flags, exit codes, one line for every failure."""

from __future__ import annotations

import dataclasses
import importlib
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.cli.conftest import Zoo
from zoo import ZooError, __version__
from zoo.cli.list import VERB
from zoo.cli.main import VERBS, _take_apart, main

ROOT = Path(__file__).resolve().parents[2]


def python(*words: str, **more: object) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    return subprocess.run(
        [sys.executable, *words],
        capture_output=True,
        text=True,
        env=environment,
        **more,  # type: ignore[call-overload]  # as people pass options on
    )


def test_help_is_quick() -> None:
    assert python("-m", "zoo", "--help").returncode == 0  # compiled files are there from here on
    seconds = []
    for _ in range(5):
        began = time.perf_counter()
        python("-m", "zoo", "--help")
        seconds.append(time.perf_counter() - began)
    assert min(seconds) < 0.5


def test_help_names_every_verb_and_fits_80_columns(zoo: Zoo, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    pages = [zoo("--help"), zoo(), zoo("help")]
    assert len({page.out for page in pages}) == 1
    for verb in VERBS:
        assert f"  {verb}  " in pages[0].out
        page = zoo(verb, "--help")
        assert page.code == 0
        assert page.out.startswith(f"Usage   zoo {verb}")
        assert "Examples" in page.out
        assert page == zoo("--help", verb) == zoo("help", verb)
    assert all(len(line) <= 80 for line in pages[0].out.splitlines())


def test_version(zoo: Zoo) -> None:
    assert zoo("--version").out == f"zoo {__version__}\n"
    assert f'version = "{__version__}"' in (ROOT / "pyproject.toml").read_text()


def test_json_of_help_is_one_document_too(zoo: Zoo) -> None:
    assert zoo("--version", "--json").document == {"version": __version__}
    for words in ((), ("help",), ("--help",)):
        assert zoo(*words, "--json").document == {"verbs": VERBS}
    for name in VERBS:
        page = zoo(name, "--help", "--json")
        assert page.document["usage"].startswith(f"zoo {name} ")
        assert page == zoo("help", name, "--json")
        verb = importlib.import_module(f"zoo.cli.{name}").VERB
        assert len(page.document["more"]) == len(verb.more)
        assert len(page.document["examples"]) == len(verb.examples)
    keys = zoo("pull", "--help", "--json").document["keys"]
    assert keys["overwrite"] == {"default": False, "meaning": "fetch again what is there"}


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["trian"], "unknown verb 'trian'; did you mean 'train'?"),
        (["list", "--resume"], "unknown flag '--resume'; settings are written without dashes: resume=VALUE"),
        (["list", "--max-steps=3"], "unknown flag '--max-steps=3'; settings are written without dashes: max_steps=3"),
        (["list", "--jsn"], "unknown flag '--jsn'; did you mean '--json'?"),
        (["list", "recipe"], "cannot list 'recipe'; did you mean 'recipes'?"),
        (["list", "a=b"], "unknown setting 'a'"),
        (["train"], "which recipe? For example: zoo train text/shakespeare_char size=tiny"),
        (["train", "text/adder", "+train.steps=3"], "'+train.steps=3': write key=value, without '+'"),
        (["generate", "nothing-here"], "no checkpoint 'nothing-here'"),
        (["demo", "text/adder"], "zoo demo takes no target, got 'text/adder'"),
        (["compare", "text/adder", "tokenizer=byte"], "name at least two tokenizers"),
    ],
)
def test_bad_input_gets_one_line_and_code_2(zoo: Zoo, words: list[str], message: str) -> None:
    done = zoo(*words)
    assert (done.code, done.out) == (2, "")
    assert done.err.startswith(f"zoo: error: {message}")
    assert done.err.count("\n") == 1


def test_values_keep_everything_after_the_first_equals_sign() -> None:
    targets, pairs = _take_apart(["a.txt", "prompt=x=y, {z} ${oc.env:HOME} 'q'\n--json", "./b=c.txt", "-", "k="], ())
    assert targets == ("a.txt", "./b=c.txt", "-")
    assert pairs == {"prompt": "x=y, {z} ${oc.env:HOME} 'q'\n--json", "k": ""}


def test_a_file_whose_name_has_an_equals_sign_is_a_target(zoo: Zoo) -> None:
    for name in ("a=b.txt", "out=b.txt"):
        Path(name).write_text("abc")
    assert zoo("tokenize", "a=b.txt", "tokenizer=byte", "out=there", "--json").code == 0
    assert zoo("tokenize", "c=d.txt", "tokenizer=byte").err.startswith("zoo: error: unknown setting 'c'")
    assert zoo("tokenize", "out=b.txt", "tokenizer=byte").err.startswith("zoo: error: which file")  # a known key
    assert zoo("tokenize", "./out=b.txt", "tokenizer=byte", "out=other", "--json").code == 0


@pytest.mark.parametrize(
    ("failure", "code", "line"),
    [
        (ZooError("two\nlines"), 2, "zoo: error: two lines"),
        (KeyboardInterrupt(), 130, "zoo: error: interrupted"),
        (RuntimeError("boom"), 1, "zoo: internal error: RuntimeError: boom; rerun with --debug to see where"),
        (PermissionError(13, "Permission denied", "/a b"), 2, "zoo: error: Permission denied: '/a b'"),
        (MemoryError(), 2, "zoo: error: out of memory; try a smaller model"),
        (SystemExit(143), 143, ""),
    ],
)
def test_exit_codes(zoo: Zoo, monkeypatch: pytest.MonkeyPatch, failure: BaseException, code: int, line: str) -> None:
    def run(call: object) -> None:
        raise failure

    monkeypatch.setattr("zoo.cli.list.VERB", dataclasses.replace(VERB, run=run))
    done = zoo("list")
    assert (done.code, done.out, done.err.strip()) == (code, "", line)
    if line:
        assert "Traceback" in zoo("list", "--debug").err


def test_signals_end_with_their_codes() -> None:
    code = (
        "import dataclasses, signal, sys, time; import zoo.cli.list as verb; from zoo.cli.main import main\n"
        "signal.signal(signal.SIGINT, signal.default_int_handler)\n"  # a shell's background jobs ignore it
        "def run(call): print('ready', flush=True); time.sleep(30)\n"
        "verb.VERB = dataclasses.replace(verb.VERB, run=run); sys.exit(main(['list']))"
    )
    for number, expected in ((signal.SIGINT, 130), (signal.SIGTERM, 143)):
        process = subprocess.Popen(
            [sys.executable, "-c", code], cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        process.send_signal(number)
        _, err = process.communicate(timeout=10)
        assert process.returncode == expected
        assert "Traceback" not in err


def test_a_reader_that_leaves_early_is_no_error() -> None:
    for words in ("list tokenizers", "--help"):
        command = f"{sys.executable} -m zoo {words} | true; echo ${{PIPESTATUS[0]}}"
        done = subprocess.run(["bash", "-c", command], cwd=ROOT, capture_output=True, text=True)
        assert (done.stdout, done.stderr) == ("0\n", "")


def test_main_leaves_signals_as_they_were() -> None:
    before = signal.getsignal(signal.SIGTERM)
    main(["list", "tokenizers"])
    assert signal.getsignal(signal.SIGTERM) is before


def test_import_gives_load_everywhere_without_torch() -> None:
    code = (
        "import sys, zoo, zoo.tokenizers; from zoo.tokenizers import load\n"
        "assert callable(zoo.load) and callable(zoo.tokenizers.load) and load is zoo.tokenizers.load\n"
        "assert issubclass(zoo.ZooError, ValueError)\n"
        "assert not {'torch', 'hydra', 'rich'} & sys.modules.keys()"
    )
    assert python("-c", code, cwd=ROOT).stderr == ""


def test_a_checkout_without_symlinks_works(tmp_path: Path) -> None:
    """Where git wrote the symlinks as small text files (core.symlinks=false), parts are found beside zoo."""
    import shutil

    ignore = shutil.ignore_patterns("__pycache__", "recipes", "tokenizers")
    shutil.copytree(ROOT / "zoo", tmp_path / "zoo", ignore=ignore)
    for name in ("tokenizers", "recipes"):
        shutil.copytree(ROOT / name, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__"))
        (tmp_path / "zoo" / name).write_text(f"../{name}")
    code = (
        "import zoo.tokenizers.base, zoo.paths, tokenizers, sys; from zoo.cli.main import main\n"
        "assert tokenizers.Tokenizer.__module__ == 'tokenizers', tokenizers\n"
        "assert zoo.paths.recipes_folder().name == 'recipes' and callable(zoo.tokenizers.load)\n"
        "sys.exit(main(['list', '--json']))"
    )
    environment = {**os.environ, "PYTHONPATH": ""}
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stderr
    assert "text/adder" in done.stdout
