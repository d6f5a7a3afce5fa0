"""What a shell may put for a word that was begun: names that the package knows, and those in a posterior's file.

Each tab starts Python anew, so nothing here imports a sampler or torch, and a posterior is read by h5py alone.
"""

import inspect
import os
from collections.abc import Callable, Iterable, Iterator
from importlib import resources
from pathlib import Path
from typing import Any, get_args

from typer.models import ParameterInfo

import bayes_scaling as bs
from bayes_scaling.decide.next import targets
from bayes_scaling.tables import ENDINGS

__all__ = ["described", "laws", "tables"]


def laws(incomplete: str) -> list[str]:
    """Names of laws."""
    return _begun(bs.laws.names(), incomplete)


def tables(incomplete: str) -> list[str]:
    """Data sets by name, and tables of runs; where there is neither, shells look for files and folders themselves."""
    parent = Path(incomplete).parent
    files = sorted(parent.iterdir()) if parent.is_dir() else []
    begun = [str(file) for file in files if file.name.lower().endswith(ENDINGS)]
    return _begun([*bs.datasets.names(), *begun], incomplete)


def _plans(incomplete: str) -> list[str]:
    """Plans that ship, without importing what trains them."""
    entries = resources.files("runners").joinpath("plans").iterdir()
    return _begun(sorted(e.name.removesuffix(".toml") for e in entries if e.name.endswith(".toml")), incomplete)


def _costs(incomplete: str) -> list[str]:
    return _begun(bs.costs.names(), incomplete)


def _forms(incomplete: str) -> list[str]:
    return _begun(bs.curve.forms.names(), incomplete)


def _targets(incomplete: str) -> list[str]:
    kinds = (targets.OptimalSparsity, targets.Loss, targets.Coefficient, targets.Regret)
    return _begun([target.kind for target in kinds], incomplete)


def _of_posterior(dimension: str) -> Callable[[str], list[str]]:
    """Levels of a dimension of the posterior that stands on the command line."""

    def complete(incomplete: str) -> list[str]:
        # An option without its value stops the parser before it has the arguments, so the words are looked at.
        words = (os.environ.get("COMP_WORDS") or os.environ.get("_TYPER_COMPLETE_ARGS", "")).split()
        file = next((word for word in words if word.endswith(".nc")), None)
        return _begun(_levels(Path(file), dimension), incomplete) if file else []

    return complete


def _levels(file: Path, dimension: str) -> Iterator[str]:
    import h5py

    try:
        with h5py.File(file) as stored:
            yield from stored[f"posterior/{dimension}"].asstr()[:].tolist()
    except (OSError, KeyError, TypeError):  # no file of a posterior: nothing to put
        return


def _one_of(*words: str) -> Callable[[str], list[str]]:
    return lambda incomplete: _begun(words, incomplete)


_COMPLETIONS: dict[str, Callable[..., list[str]]] = {
    "law": laws,
    "cost": _costs,
    "plan": _plans,
    "form": _forms,
    "target": _targets,
    "new_runs": tables,
    "candidates": tables,
    "modality": _of_posterior("modality"),
    "structure": _of_posterior("structure"),
    "strategy": _one_of("scratch", "pretrained"),
    "by": _one_of("nonzero_params", "data_seen", "sparsity", "train_flops"),
    "device": _one_of("auto", "cpu", "cuda", "mps"),
    "executor": _one_of("local", "inline", "ray", "slurm"),
    "retry": _one_of("diverged", "changed"),
    "state": _one_of("finished", "diverged", "failed", "running", "interrupted"),
}
"""By the name of a command's parameter."""

_WORDS = {"bool": "", "Path": "FILE", "float": "NUMBER", "int": "NUMBER", "str": "TEXT"}
"""What help shows for a type, in place of Python's name for it; flags take nothing."""


def described(command: Callable[..., Any]) -> None:
    """Give a command's parameters their completions, and words for what they take, where they have none of their own.

    Parameters
    ----------
    command : callable
        With parameters annotated for typer.
    """
    for name, parameter in inspect.signature(command).parameters.items():
        kind, *infos = get_args(parameter.annotation)
        for info in infos:
            if isinstance(info, ParameterInfo):
                if info.autocompletion is None:
                    info.autocompletion = _COMPLETIONS.get(name)
                if info.metavar is None:
                    info.metavar = next((shown for python, shown in _WORDS.items() if python in str(kind)), None)


def _begun(words: Iterable[str], incomplete: str) -> list[str]:
    return [word for word in words if word.startswith(incomplete)]
