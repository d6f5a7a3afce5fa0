import os
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import matplotlib as mpl
import numpy as np
import pytest
from helpers import one_modality, two_modalities, two_starts
from hypothesis import settings

import bayes_scaling as bs

mpl.use("Agg")

# Checks of a change try the same examples every time; a run at one's desk tries others each time.
settings.register_profile("ci", derandomize=True)
if os.environ.get("CI"):
    settings.load_profile("ci")

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="session")
def data_folder() -> Path:
    """The folder of public run tables: BAYES_SCALING_DATA, or shared/data beside the project."""
    folder = Path(os.environ.get("BAYES_SCALING_DATA", ROOT.parent / "shared" / "data"))
    if not folder.is_dir():
        pytest.skip(f"no public run tables at {folder}; set BAYES_SCALING_DATA to the folder that holds them")
    return folder


# Posteriors are fitted once a session; a test that changes one works on a copy. A fit compiles once per number of
# modalities and cells, which takes longer than sampling, so further fits keep to the shapes of these four.


@pytest.fixture(scope="session")
def frantar_runs(data_folder):
    """The 48 T5 and 112 ViT runs of arXiv:2309.08520."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("BAYES_SCALING_DATA", str(data_folder))
        return bs.datasets.load("frantar2023")


@pytest.fixture(scope="session")
def frantar(frantar_runs):
    """Two modalities, one structure: real runs."""
    return bs.fit(frantar_runs, law="sparse", seed=0, progressbar=False)


@pytest.fixture(scope="session")
def simulated():
    """Two modalities and two structures, one pair of them without runs: known coefficients."""
    return bs.fit(bs.load_runs(two_modalities()), law="sparse", seed=0, progressbar=False)


@pytest.fixture(scope="session")
def single():
    """One modality, one structure."""
    return bs.fit(bs.load_runs(one_modality()), law="sparse", seed=0, progressbar=False)


@pytest.fixture(scope="session")
def starts():
    """From scratch and from a pretrained model."""
    return bs.fit(bs.load_runs(two_starts()), law="sparse", seed=0, progressbar=False)


@pytest.fixture(scope="session")
def saved(tmp_path_factory, simulated, single) -> dict[str, Path]:
    """Files of the posteriors by name."""
    folder = tmp_path_factory.mktemp("posteriors")
    return {
        name: bs.save(posterior, folder / f"{name}.nc")
        for name, posterior in {"simulated": simulated, "single": single}.items()
    }


@dataclass
class Done:
    """What a command left: its exit status and what it printed."""

    status: int
    out: str
    err: str


@pytest.fixture(scope="session")
def texts(tmp_path_factory):
    """A user's own corpus: sixty files that share no three lines."""
    words = ("sparse", "dense", "weight", "loss", "token", "layer")
    folder = tmp_path_factory.mktemp("texts")
    rng = np.random.default_rng(0)
    for i in range(60):
        lines = (f"{rng.choice(words)} {rng.choice(words)} {rng.integers(1000)}" for _ in range(60))
        (folder / f"{i}.txt").write_text("\n".join(lines))
    return folder


@pytest.fixture
def command(monkeypatch, capsys) -> Callable[..., Done]:
    """Run `bayes-scaling` in this process, where models that were compiled once stay so."""
    from bayes_scaling import cli

    def run(*arguments) -> Done:
        monkeypatch.setattr(sys, "argv", ["bayes-scaling", *map(str, arguments)])
        capsys.readouterr()
        with pytest.raises(SystemExit) as exit_:
            cli.main()
        printed = capsys.readouterr()
        return Done(exit_.value.code or 0, printed.out, printed.err)

    return run


@pytest.fixture
def write(tmp_path, monkeypatch):
    """Write lines to a file in the working folder, so that messages show the short name."""
    monkeypatch.chdir(tmp_path)

    def write(*lines, name="sweep.csv", end="\n"):
        (tmp_path / name).write_text(end.join(lines) + end, encoding="utf-8", newline="")
        return name

    return write
