"""What every test shares: one thread, an empty home for zoo, and where fixtures and real data are found."""

from __future__ import annotations

import os

# Before anything imports torch: bit-exact tests need a fixed number of threads, and test processes share the cores.
os.environ.setdefault("OMP_NUM_THREADS", "1")
# No test may need a network: a name that looks like a hub id must fail at once.
os.environ.setdefault("HF_HUB_OFFLINE", "1")

from collections.abc import Callable
from pathlib import Path

import hypothesis
import pytest

# The same examples every time, and no failure because a machine is busy.
hypothesis.settings.register_profile("zoo", deadline=None, derandomize=True, print_blob=False)
hypothesis.settings.load_profile("zoo")

ROOT = Path(__file__).resolve().parents[1]
SHARED = ROOT.parent / "shared"


@pytest.hookimpl(tryfirst=True)
def pytest_cmdline_main(config: pytest.Config) -> None:
    """Read ``pytest tests/parity --fixtures DIR``: the folder with the numbers that the original programs gave.

    pytest has a flag of this name without a value, which lists fixtures and still does where no folder follows.
    It took DIR for one more place to look for tests.
    """
    words = list(config.invocation_params.args)
    if "--fixtures" not in words[:-1]:
        return
    folder = words[words.index("--fixtures") + 1]
    if folder.startswith("-") or folder not in config.args:
        return
    config.option.showfixtures = False
    config.args.remove(folder)
    config.option.numeric_fixtures = config.invocation_params.dir / folder


def named_folder(config: pytest.Config) -> Path | None:
    """Return the folder given with ``--fixtures``; pytest-xdist hands options on to its workers."""
    return getattr(config.option, "numeric_fixtures", None)


@pytest.fixture(autouse=True)
def zoo_home(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Give each test a $ZOO_HOME of its own that does not exist yet, as on a fresh machine."""
    home = tmp_path_factory.getbasetemp() / f"zoo-home-{os.urandom(6).hex()}"
    monkeypatch.setenv("ZOO_HOME", str(home))
    return home


@pytest.fixture(scope="session", autouse=True)
def _session_zoo_home(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Cover fixtures of a wider scope, which run before ``zoo_home``."""
    os.environ["ZOO_HOME"] = str(tmp_path_factory.mktemp("zoo-home"))


@pytest.fixture(scope="session")
def fixtures_folder(pytestconfig: pytest.Config) -> Path:
    """Return the folder of numeric fixtures: ``--fixtures``, else the one beside the checkout, else tests/fixtures."""
    given = named_folder(pytestconfig)
    if given is not None:
        if not given.is_dir():
            pytest.fail(f"--fixtures {given}: no such folder", pytrace=False)
        return Path(given).resolve()
    beside = SHARED / "fixtures"
    return beside if beside.is_dir() else ROOT / "tests" / "fixtures"


@pytest.fixture(scope="session")
def fixture_case(fixtures_folder: Path, pytestconfig: pytest.Config) -> Callable[[str], Path]:
    """Return a function from a case's path (``text-image/gpt2``) to its place on disk.

    A case that is missing fails where the folder was named with ``--fixtures`` and skips where it was not.
    """

    def find(case: str) -> Path:
        path = fixtures_folder / case
        if not path.exists():
            message = f"fixture {case} is not in {fixtures_folder}"
            if named_folder(pytestconfig) is not None:
                pytest.fail(message, pytrace=False)
            pytest.skip(message)
        return path

    return find


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Return the folder of real data beside the checkout; tests that need it skip where it is not."""
    folder = SHARED / "data"
    if not folder.is_dir():
        pytest.skip("real data is not beside this checkout")
    return folder
