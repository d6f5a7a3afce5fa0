"""Sweeps by name: those that ship with the package, and public ones that are fetched on first use.

Public data are not copied into the package. Their files come from the authors' repository, at one commit and with a
known checksum, into the platform's cache folder, or are found in the folder that the environment variable
``BAYES_SCALING_DATA`` names, one sub-folder per data set, under their own names.
"""

import csv
import hashlib
import json
import os
from collections.abc import Callable
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

import xarray as xr

from bayes_scaling.errors import InputError
from bayes_scaling.runs import load_runs

__all__ = ["Entry", "Upstream", "describe", "load", "names"]


@dataclass(frozen=True)
class Upstream:
    """A file of a public repository.

    Attributes
    ----------
    name : str
        The file's name there, in the cache and in the data folder.
    folder : str
        The address of the folder it lies in, without a slash at the end.
    sha256 : str
        Its checksum; a file with another one is not used.
    """

    name: str
    folder: str
    sha256: str


@dataclass(frozen=True)
class Entry:
    """What is known about a data set.

    Attributes
    ----------
    name : str
        What `load` is asked for.
    description : str
        One sentence: how many runs of what.
    reference : str
        Whom to cite.
    licence : str
        SPDX identifier of the data's licence.
    upstream : tuple of Upstream
        The files it is made from; empty where it ships with the package.
    """

    name: str
    description: str
    reference: str
    licence: str
    upstream: tuple[Upstream, ...] = ()


def names() -> list[str]:
    """The names that `load` knows."""
    return list(_SETS)


def describe(name: str) -> Entry:
    """Description, reference and licence of a data set.

    Raises
    ------
    InputError
        If there is none of that name.
    """
    return _set(name)[0]


def load(name: str) -> xr.Dataset:
    """A data set as a run table.

    Parameters
    ----------
    name : str
        One of `names`.

    Returns
    -------
    Dataset
        Dimension ``run``, as `bayes_scaling.load_runs` returns it; the attributes ``reference`` and ``licence`` come
        with it.

    Raises
    ------
    InputError
        If there is none of that name, or if an upstream file cannot be fetched or is not the known one.
    """
    entry, read = _set(name)
    runs = read(entry)
    runs.attrs.update(source=name, reference=entry.reference, licence=entry.licence)
    return runs


def _set(name: str) -> tuple[Entry, Callable[[Entry], xr.Dataset]]:
    if name not in _SETS:
        raise InputError(f"there is no data set {name!r}; there are {', '.join(_SETS)}")
    return _SETS[name]


def _shipped(entry: Entry) -> xr.Dataset:
    with resources.as_file(resources.files("bayes_scaling") / "data" / f"{entry.name}.csv") as path:
        return load_runs(path)


def _frantar2023(entry: Entry) -> xr.Dataset:
    t5, vit = (_file(entry.name, upstream) for upstream in entry.upstream)
    with t5.open(encoding="utf-8", newline="") as file:
        rows = [_t5_run({key: float(cell) for key, cell in row.items()}) for row in csv.DictReader(file)]
    columns = json.loads(vit.read_text(encoding="utf-8"))  # each column an object from row number to value
    rows += [_vit_run({key: column[row] for key, column in columns.items()}) for row in columns["val-loss"]]
    return load_runs(rows)


def _t5_run(row: dict[str, float]) -> dict[str, Any]:
    return {
        "run_id": f"t5-S{row['sparsity']}-x{row['scale']}-{row['steps'] / 1e3:.0f}k",
        "setting": "T5/C4",
        "modality": "language",
        "data_seen": row["steps"] * 128 * 512,  # sequences a step × tokens a sequence
        "data_unit": "tokens",
        "steps": int(row["steps"]),
        **_common(row, dense_params=24 * 12 * 768**2),
    }


def _vit_run(row: dict[str, float]) -> dict[str, Any]:
    return {
        "run_id": f"vit-S{row['sparsity']}-x{row['scale']}-{row['total_examples'] / 1e6:.0f}M",
        "setting": "ViT/JFT-4B",
        "modality": "vision",
        "data_seen": row["total_examples"],
        "data_unit": "examples",
        **_common(row, dense_params=12 * 12 * 768**2),
    }


def _common(row: dict[str, float], dense_params: int) -> dict[str, Any]:
    """What both families share; `dense_params` is their dense non-embedding count at scale 1, layers × 12 × width²."""
    return {
        "dataset": "frantar2023",
        "sparsity": row["sparsity"],
        "scale": row["scale"],
        "total_params": row["scale"] * dense_params,
        "nonzero_params": row["scale"] * dense_params * (1 - row["sparsity"]),
        "param_kind": "non_embedding",
        "strategy": "scratch",
        "loss": row["val-loss"],
    }


def _file(dataset: str, upstream: Upstream) -> Path:
    """Where an upstream file lies: in the data folder if it is there, else in the cache, fetched if need be."""
    if root := os.environ.get("BAYES_SCALING_DATA"):
        for folder in (Path(root) / dataset, Path(root) / dataset / "upstream"):
            path = folder / upstream.name
            if path.is_file():
                found = hashlib.sha256(path.read_bytes()).hexdigest()
                if found != upstream.sha256:
                    raise InputError(
                        f"{path} is not the file that the data set {dataset} is made from: "
                        f"its SHA-256 is {found}, not {upstream.sha256}"
                    )
                return path
    return _fetch(dataset, upstream)


def _fetch(dataset: str, upstream: Upstream) -> Path:
    import platformdirs
    import pooch

    url = f"{upstream.folder}/{upstream.name}"
    cache = Path(platformdirs.user_cache_dir("bayes-scaling")) / dataset
    try:
        return Path(pooch.retrieve(url, f"sha256:{upstream.sha256}", fname=upstream.name, path=cache))
    except (OSError, ValueError) as error:
        raise InputError(
            f"{url} cannot be fetched ({_why(error)}); "
            f"without a network, set BAYES_SCALING_DATA to a folder that holds {dataset}/{upstream.name}"
        ) from error


def _why(error: Exception) -> str:
    response = getattr(error, "response", None)
    if response is not None:
        return f"HTTP status {response.status_code}"
    if not isinstance(error, OSError):  # from the comparison of checksums
        return "what came has another checksum than the known file"
    return getattr(error, "strerror", None) or type(error).__name__


_BIGSPARSE = (
    "https://raw.githubusercontent.com/google-research/jaxpruner/"
    "f133ee50f31a03d0152b8b272edb534065152f5d/jaxpruner/projects/bigsparse"
)

_ENTRIES: tuple[tuple[Entry, Callable[[Entry], xr.Dataset]], ...] = (
    (
        Entry(
            name="structures",
            description=(
                "453 runs of two-layer transformers on the bytes of Python's standard library and on photographs, "
                "dense, unstructured to sparsity 0.875, 2:4, 1:4 and 2:8, from scratch and from trained dense models."
            ),
            reference="This package's own sweep, trained by its runners.",
            licence="Apache-2.0",
        ),
        _shipped,
    ),
    (
        Entry(
            name="python-stdlib",
            description=(
                "107 runs of two-layer decoder-only transformers on the bytes of Python's standard library: dense, "
                "unstructured to sparsity 0.875, and 2:4."
            ),
            reference="This package's own sweep, trained by its runners.",
            licence="Apache-2.0",
        ),
        _shipped,
    ),
    (
        Entry(
            name="transfer",
            description=(
                "48 runs of two-layer decoder-only transformers on the bytes of Python's standard library: from "
                "scratch and fine-tuned after C++ headers, over sizes and amounts of data, and the models started from."
            ),
            reference="This package's own sweep, trained by its runners.",
            licence="Apache-2.0",
        ),
        _shipped,
    ),
    (
        Entry(
            name="regularisers",
            description=(
                "48 runs of two-layer decoder-only transformers under weight decay, dropout, noise on the input and "
                "sparsity, on little data and on more, with figures of the spectra of their weights."
            ),
            reference="This package's own sweep, trained by its runners.",
            licence="Apache-2.0",
        ),
        _shipped,
    ),
    (
        Entry(
            name="batch_size",
            description=(
                "78 runs of two-layer decoder-only transformers on the bytes of Python's standard library until a "
                "target loss, dense and sparse from the first step, over batch sizes and learning rates."
            ),
            reference="This package's own sweep, trained by its runners.",
            licence="Apache-2.0",
        ),
        _shipped,
    ),
    (
        Entry(
            name="mixtures",
            description=(
                "63 runs of two-layer decoder-only transformers on mixtures of the bytes of three packages' sources: a "
                "uniform mixture and each text reduced and increased, at three scales."
            ),
            reference="This package's own sweep, trained by its runners.",
            licence="Apache-2.0",
        ),
        _shipped,
    ),
    (
        Entry(
            name="frantar2023",
            description="48 T5 runs on C4 and 112 ViT runs on JFT-4B, pruned gradually to sparsities from 0 to 0.9375.",
            reference=(
                "Frantar, Ruiz, Houlsby, Alistarh, Evci: Scaling Laws for Sparsely-Connected Foundation Models, "
                "ICLR 2024, arXiv:2309.08520"
            ),
            licence="Apache-2.0",
            upstream=(
                Upstream("t5-data.csv", _BIGSPARSE, "a9c31ee9e3c2c6fb815f15eb0c6cb07b55383148621abc1973feac72eaaa1cab"),
                Upstream(
                    "vit-data.json", _BIGSPARSE, "7ab6f79e94978c03f77182691f49cbf55725e205db2ba2d9da78a857fc515aa8"
                ),
            ),
        ),
        _frantar2023,
    ),
)
_SETS = {entry.name: (entry, read) for entry, read in _ENTRIES}
