"""Posteriors on disk: self-contained NetCDF files, written whole or not at all."""

import os
from pathlib import Path

import xarray as xr

from bayes_scaling import laws
from bayes_scaling.errors import InputError
from bayes_scaling.studies import FITTED

__all__ = ["load", "read_tree", "save"]

NEEDED = ("posterior", "sample_stats", "constant_data", "runs")


def save(posterior: xr.DataTree, path: str | os.PathLike[str]) -> Path:
    """Write a posterior to a NetCDF file.

    Parameters
    ----------
    posterior : DataTree
        From `fit`, or that of a study.
    path : path
        The file; it is replaced only when the new one is complete.

    Returns
    -------
    Path
        The file.

    Raises
    ------
    InputError
        If it cannot be written: its folder does not exist, it is a folder itself, the disk is full, …
    """
    target = Path(path)
    if not target.parent.is_dir():
        raise InputError(f"{target} cannot be written: the folder {target.parent} does not exist")
    if target.is_dir():
        raise InputError(f"{target} cannot be written: it is a folder")
    part = target.with_name(f".{target.name}.{os.getpid()}.part")
    try:
        posterior.to_netcdf(part, engine="h5netcdf")
        os.replace(part, target)
    except OSError as error:
        raise InputError(f"{target} cannot be written ({error.strerror or error})") from error
    finally:
        part.unlink(missing_ok=True)
    return target


def load(path: str | os.PathLike[str]) -> xr.DataTree:
    """Read a posterior that `save` wrote.

    Parameters
    ----------
    path : path
        A NetCDF file.

    Returns
    -------
    DataTree
        In memory; the file is closed.

    Raises
    ------
    InputError
        If the file does not exist, is truncated, or is no posterior of this package.
    """
    source = Path(path)
    posterior = read_tree(source)
    if "population" in posterior.children:
        raise InputError(f"{source} is a posterior of learning curves, which bs.curve.load reads")
    missing = [name for name in NEEDED if name not in posterior.children]
    if missing or "law" not in posterior.attrs:
        raise InputError(f"{source} is no posterior of bayes-scaling: it lacks {', '.join(missing) or 'the law'}")
    if posterior.attrs["law"] not in FITTED:
        laws.get(posterior.attrs["law"])
    return posterior


def read_tree(source: Path) -> xr.DataTree:
    """A NetCDF file of any posterior, in memory.

    Raises
    ------
    InputError
        If the file does not exist or is truncated.
    """
    if not source.is_file():
        raise InputError(f"{source} does not exist or is no file; `fit --out` writes a posterior")
    try:
        with xr.open_datatree(source, engine="h5netcdf") as opened:
            return opened.load()
    except (OSError, ValueError, RuntimeError, KeyError) as error:
        raise InputError(f"{source} is not a readable NetCDF file; it may be truncated or something else") from error
