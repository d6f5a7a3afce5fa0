"""Posteriors of curves as DataTrees, and back: what `predict` and `score` need is all in the file."""

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from bayes_scaling.curve import forms as known
from bayes_scaling.curve.forms.base import Form
from bayes_scaling.curve.population import Population
from bayes_scaling.curve.sampler import Sample
from bayes_scaling.curve.table import Curve
from bayes_scaling.curve.target import COMMON, Target, quantities
from bayes_scaling.errors import InputError
from bayes_scaling.notes import Note, write_notes
from bayes_scaling.store import read_tree

__all__ = ["drawn_by_form", "load", "population_group", "population_of", "tree_of"]


def tree_of(
    targets: Sequence[Mapping[str, Target]],
    samples: Sequence[Mapping[str, Sample]],
    log_share: np.ndarray,
    passed: np.ndarray,
    seed: int,
) -> xr.DataTree:
    """A posterior whose draws come from each form as often as it is probable.

    Parameters
    ----------
    targets, samples : sequence of dict
        By curve and name of the form.
    log_share : ndarray, shape (curve, form)
        Log probability of each form.
    passed : ndarray, shape (curve,)
        Whether sampling may be trusted.
    seed : int

    Returns
    -------
    DataTree
    """
    forms = list(targets[0])
    names = [str(next(iter(each.values())).curve.name) for each in targets]
    variables = dict.fromkeys([*COMMON[:2], "floor", *COMMON[2:]])
    variables |= dict.fromkeys(name for form in forms for name in targets[0][form].form.shape)
    draws = len(next(iter(samples[0].values())).points)
    values = {name: np.full((1, draws, len(names)), np.nan) for name in variables}
    which = np.empty((draws, len(names)), dtype=int)
    for i, (target, sample) in enumerate(zip(targets, samples, strict=True)):
        rng = np.random.default_rng([seed, 1, *names[i].encode()])
        which[:, i] = rng.permutation(_even(np.exp(log_share[i]), draws, rng))
        for j, form in enumerate(forms):
            mine = np.flatnonzero(which[:, i] == j)
            drawn = target[form].natural(sample[form].points[mine])
            own = {name: drawn[name] for name in ("level", "slope", *target[form].form.shape)}
            for name, drawn_values in (drawn | {"floor": target[form].form.floor(**own)}).items():
                values[name][0, mine, i] = drawn_values
    coords = {
        "chain": [0],
        "draw": np.arange(draws),
        "curve": names,
        "form": (("draw", "curve"), np.array(forms)[which]),
    }
    posterior = xr.Dataset({n: (("chain", "draw", "curve"), v) for n, v in values.items()}, coords=coords)
    stats = _stats(samples, log_share, passed, names)
    tree = xr.DataTree.from_dict({"posterior": posterior, "sample_stats": stats, **_data(targets, names)})
    failed = [name for name, ok in zip(names, passed, strict=True) if not ok]
    tree.attrs["diagnostics"] = json.dumps({"failed": failed, "ok": not failed})
    write_notes(tree.attrs, [_untrusted(name) for name in failed])
    return tree


def load(path: str | os.PathLike[str]) -> xr.DataTree:
    """Read a posterior of curves that `bayes_scaling.save` wrote.

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
        If the file does not exist, is truncated, or is no posterior of curves.
    """
    posterior = read_tree(Path(path))
    if "population" not in posterior.children:
        raise InputError(f"{path} is no posterior of learning curves; bayes_scaling.curve.fit makes one")
    return posterior


def drawn_by_form(posterior: xr.DataTree, name: str) -> Iterator[tuple[Target, dict[str, np.ndarray], np.ndarray]]:
    """The draws of one curve, form by form.

    Parameters
    ----------
    posterior : DataTree
        From `fit`.
    name : str
        Of the curve.

    Yields
    ------
    target : Target
    drawn : dict of ndarray, shape (n,)
        The form's quantities.
    place : ndarray of int, shape (n,)
        Which of the posterior's draws they are.
    """
    draws = posterior["posterior"].to_dataset().sel(curve=name)
    constant = posterior["constant_data"].to_dataset().sel(curve=name)
    there = np.isfinite(constant["log_x"].to_numpy())
    curve = Curve(
        name,
        constant["log_x"].to_numpy()[there],
        posterior["observed_data"]["log_loss"].sel(curve=name).to_numpy()[there],
        constant["variance"].to_numpy()[there],
    )
    of_draw = draws["form"].to_numpy()
    for form in np.unique(of_draw):
        place = np.flatnonzero(of_draw == form)
        target = Target(curve, known.get(str(form)))
        yield target, {q: draws[q].to_numpy()[0, place] for q in quantities(target.form)}, place


def population_group(population: Population, forms: Sequence[Form]) -> xr.Dataset:
    """A population as a Dataset: NaN where a form lacks a quantity."""
    every = list(dict.fromkeys(name for form in forms for name in quantities(form)))
    table = {name: np.full((len(forms), len(every)), np.nan) for name in ("shift", "sd")}
    for i, form in enumerate(forms):
        place = [every.index(name) for name in quantities(form)]
        table["shift"][i, place], table["sd"][i, place] = population.shift[form.name], population.sd[form.name]
    names = [form.name for form in forms]
    return xr.Dataset(
        {name: (("form", "quantity"), values) for name, values in table.items()}
        | {"share": ("form", [population.share[name] for name in names])},
        coords={"form": names, "quantity": every},
    )


def population_of(posterior: xr.DataTree, forms: Sequence[Form]) -> Population:
    """The population that a posterior carries.

    Raises
    ------
    InputError
        It is no posterior of curves, or was fitted without one of the forms.
    """
    if not isinstance(posterior, xr.DataTree) or "population" not in posterior.children:
        raise InputError("population is no posterior that bayes_scaling.curve.fit returned")
    group = posterior["population"].to_dataset()
    if lacking := [form.name for form in forms if form.name not in group["form"].to_numpy()]:
        there = tuple(group["form"].values.tolist())
        raise InputError(
            f"population was fitted without the form {lacking[0]!r}; it can be the prior for forms={there}"
        )
    row: dict[str, Any] = {form.name: group.sel(form=form.name, quantity=list(quantities(form))) for form in forms}
    total = sum(float(each["share"]) for each in row.values())
    return Population(
        {name: each["shift"].to_numpy() for name, each in row.items()},
        {name: each["sd"].to_numpy() for name, each in row.items()},
        {name: float(each["share"]) / total for name, each in row.items()},
    )


def _even(share: np.ndarray, draws: int, rng: np.random.Generator) -> np.ndarray:
    """Forms of the draws, as near to their shares as whole numbers are."""
    position = (np.arange(draws) + rng.random()) / draws
    return np.searchsorted(np.cumsum(share), position).clip(max=len(share) - 1)


def _stats(
    samples: Sequence[Mapping[str, Sample]], log_share: np.ndarray, passed: np.ndarray, names: list[str]
) -> xr.Dataset:
    forms = list(samples[0])
    table = {
        "khat": [[each[form].khat for form in forms] for each in samples],
        "ess": [[each[form].ess for form in forms] for each in samples],
        "log_evidence": [[each[form].log_evidence for form in forms] for each in samples],
        "probability": np.exp(log_share),
    }
    return xr.Dataset(
        {name: (("curve", "form"), np.asarray(values)) for name, values in table.items()} | {"ok": ("curve", passed)},
        coords={"curve": names, "form": forms},
    )


def _data(targets: Sequence[Mapping[str, Target]], names: list[str]) -> dict[str, xr.Dataset]:
    curves = [next(iter(each.values())).curve for each in targets]
    longest = max(len(curve.log_x) for curve in curves)
    padded = {name: np.full((len(curves), longest), np.nan) for name in ("log_x", "log_loss", "variance")}
    for i, curve in enumerate(curves):
        for name, values in padded.items():
            values[i, : len(curve.log_x)] = getattr(curve, name)
    coords = {"curve": names}
    return {
        "observed_data": xr.Dataset({"log_loss": (("curve", "point"), padded["log_loss"])}, coords=coords),
        "constant_data": xr.Dataset(
            {name: (("curve", "point"), padded[name]) for name in ("log_x", "variance")}, coords=coords
        ),
    }


def _untrusted(name: str) -> Note:
    message = f"Do not trust curve {name!r}: importance sampling of a form that matters failed, even for longer."
    return Note("curve_gate", "error", message, about={"curve": name})
