"""From a posterior to the loss of runs that nobody has trained."""

import json
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import xarray as xr

from bayes_scaling import laws
from bayes_scaling.assemble import UNSEEN
from bayes_scaling.design import grouped, pretrain_data
from bayes_scaling.errors import InputError
from bayes_scaling.noise import draw_noise
from bayes_scaling.notes import Note, write_notes
from bayes_scaling.runs import load_runs

__all__ = [
    "coefficients",
    "dense_equivalent",
    "expected_loss",
    "names_of",
    "noise_scale",
    "predict",
    "runs_to_predict",
    "unseen_notes",
]

KINDS = ("mean", "new-run")


def predict(posterior: xr.DataTree, new_runs: Any, kind: str = "mean", *, seed: int | None = None) -> xr.DataArray:
    """Loss of runs that nobody has trained.

    Parameters
    ----------
    posterior : DataTree
        From `fit`.
    new_runs : Dataset, DataFrame, path or list of dict
        A run table without need of a loss; ``modality`` and ``data_unit`` may be absent where the posterior has one.
    kind : {"mean", "new-run"}
        ``mean`` is the law itself; ``new-run`` adds the noise of a single run. The noise is Student-t on the log, so
        draws of a new run have no mean: summarise them by quantiles.
    seed : int, optional
        Seed of the noise; the posterior's unless said.

    Returns
    -------
    DataArray
        Held-out loss over (``chain``, ``draw``, ``run``), in the unit of the runs fitted. The attribute ``notes``
        says which runs are answered from the population.

    Raises
    ------
    InputError
        If the kind or a modality is not known, or the runs are wrong.
    """
    if kind not in KINDS:
        raise InputError(f"kind is {kind!r}; it is one of {', '.join(KINDS)}")
    runs = runs_to_predict(posterior, new_runs)
    loss = expected_loss(posterior, runs)
    if kind == "new-run":
        rng = np.random.default_rng([_seed(posterior, seed), 5])
        loss = loss * np.exp(noise_scale(posterior, runs) * draw_noise(loss.shape, rng))
    loss = loss.assign_coords(run=runs["run_id"].to_numpy()).rename("loss")
    loss.attrs = {"kind": kind, "units": "loss", "long_name": "held-out loss"}
    asked = zip(*(runs[c].to_numpy().tolist() for c in ("modality", "structure", "sparsity")), strict=True)
    write_notes(loss.attrs, unseen_notes(posterior, [(m, s) for m, s, sparsity in asked if sparsity > 0]))
    return loss


def dense_equivalent(
    posterior: xr.DataTree,
    sparsity: Any,
    modality: str | Sequence[str] | None = None,
    structure: str | Sequence[str] | None = None,
    strategy: str | None = None,
) -> xr.DataArray:
    """How many parameters a dense model needs per non-zero parameter of a sparse one, for the same loss and data.

    Parameters
    ----------
    posterior : DataTree
        From `fit`.
    sparsity : float or DataArray
        Fraction of zeros, in [0, 1); a DataArray broadcasts by name.
    modality, structure, strategy : str or sequence of str, optional
        Which; all that the posterior has unless said.

    Returns
    -------
    DataArray
        The multiplier over (``chain``, ``draw``, ``modality``, ``structure``, …); a dimension is dropped where one
        name is given. The attribute ``notes`` says which pairs are answered from the population.

    Raises
    ------
    InputError
        If a sparsity lies outside [0, 1), or a modality is not known.
    """
    values = np.asarray(sparsity)
    if not ((values >= 0) & (values < 1)).all():
        raise InputError(f"sparsity is {values[~((values >= 0) & (values < 1))].flat[0]}; it lies in [0, 1)")
    here = coefficients(posterior, modality, structure, strategy)
    multiplier = law_of(posterior).dense_equivalent(sparsity, **here).rename("dense_equivalent")
    structures = names_of(posterior, "structure", structure)
    pairs = [(m, s) for m in names_of(posterior, "modality", modality) for s in structures]
    write_notes(multiplier.attrs, unseen_notes(posterior, pairs))
    return multiplier


def law_of(posterior: xr.DataTree) -> laws.Law:
    """The law that a posterior was fitted with."""
    return laws.get(posterior.attrs["law"])


def coefficients(
    posterior: xr.DataTree,
    modality: Any = None,
    structure: Any = None,
    strategy: Any = None,
) -> dict[str, xr.DataArray]:
    """Draws of the law's coefficients, for the groups asked for.

    Parameters
    ----------
    posterior : DataTree
    modality, structure, strategy : str, sequence of str or DataArray of str, optional
        One name drops the dimension; a sequence keeps it; DataArrays with a common dimension pick pairs. All of the
        posterior's unless said. A structure that no run had is answered from the population.

    Returns
    -------
    dict of DataArray
        By name, over ``chain``, ``draw`` and the dimensions left.

    Raises
    ------
    InputError
        If the posterior does not have a modality or a strategy.
    """
    draws = posterior["posterior"].to_dataset()
    law = law_of(posterior)
    known = draws[[name for name in law.coefficients if name in draws]]
    unseen = posterior[UNSEEN].to_dataset()
    # The structure that no run had comes last, so that every unknown name can point at it.
    extended = xr.concat([known.drop_vars("structure"), unseen], dim="structure", data_vars="minimal", coords="minimal")
    levels = {
        "modality": draws["modality"].to_numpy().tolist(),
        "structure": draws["structure"].to_numpy().tolist(),
        "strategy": np.unique(posterior["constant_data"]["strategy"].to_numpy())[::-1].tolist(),  # scratch first
    }
    index = {
        dim: _positions(dim, levels[dim] if asked is None else asked, levels[dim])
        for dim, asked in {"modality": modality, "structure": structure, "strategy": strategy}.items()
    }
    picked = extended.isel(index, missing_dims="ignore")  # a strategy that is the only one is no dimension
    labels = {
        dim: (levels[dim] if asked is None else list(asked))
        for dim, asked in {"modality": modality, "structure": structure, "strategy": strategy}.items()
        if dim in picked.dims and not isinstance(asked, xr.DataArray)
    }
    picked = picked.assign_coords(labels).drop_vars([d for d in levels if d not in labels], errors="ignore")
    return {str(name): values for name, values in picked.data_vars.items()}


def _positions(dim: str, names: Any, levels: list[str]) -> Any:
    """Where names stand among the levels; -1 for structures that no run had."""

    def position(name: Any) -> int:
        if name in levels:
            return levels.index(name)
        if dim == "structure":
            return 0 if name == "dense" else -1  # at sparsity 0 every structure gives the same loss
        raise InputError(f"{dim} {str(name)!r} is not in the posterior, which has {', '.join(levels)}")

    if isinstance(names, str):
        return position(names)
    if isinstance(names, xr.DataArray):
        unique, inverse = np.unique(names.to_numpy(), return_inverse=True)
        found = np.array([position(str(name)) for name in unique])
        return names.copy(data=found[inverse])
    return [position(name) for name in names]


def runs_to_predict(posterior: xr.DataTree, new_runs: Any) -> xr.Dataset:
    """A run table without need of a loss, with the posterior's modality and units where the source is silent."""
    group = json.loads(posterior.attrs["settings"])["group"]
    runs = grouped(load_runs(new_runs, need_loss=False), group)
    known = posterior["posterior"]["modality"].to_numpy().tolist()
    if len(known) == 1 and set(runs["modality"].to_numpy()) == {"all"}:
        runs = runs.assign(modality=runs["modality"].copy(data=np.full(runs.sizes["run"], known[0])))
    for name in dict.fromkeys(runs["modality"].to_numpy().tolist()):
        if name not in known:
            where = runs["run_id"].to_numpy()[runs["modality"].to_numpy() == name][0]
            raise InputError(
                f"{runs.attrs.get('source', 'the runs')}: run {where!r} has modality {name!r}, "
                f"which is not in the posterior; that has {', '.join(known)}"
            )
    return runs


def expected_loss(posterior: xr.DataTree, runs: xr.Dataset) -> xr.DataArray:
    """The law at each run of a validated table, over (``chain``, ``draw``, ``run``)."""
    at = coefficients(posterior, *(_labels(runs, name) for name in ("modality", "structure", "strategy")))
    columns = [xr.DataArray(runs[name].to_numpy(), dims="run") for name in ("sparsity", "nonzero_params", "data_seen")]
    before = xr.DataArray(pretrain_data(runs), dims="run")
    return law_of(posterior).loss(*columns, before, **at).transpose("chain", "draw", "run")


def noise_scale(posterior: xr.DataTree, runs: xr.Dataset, log_loss_se: Any = 0.0) -> xr.DataArray:
    """Scale of a run's noise on log loss, over (``chain``, ``draw``, ``run``)."""
    sigma = posterior["posterior"].to_dataset()["sigma"].sel(modality=_labels(runs, "modality")).drop_vars("modality")
    given = xr.DataArray(np.broadcast_to(log_loss_se, runs.sizes["run"]), dims="run")
    return (sigma**2 + given**2) ** 0.5


def names_of(posterior: xr.DataTree, dim: str, asked: str | Sequence[str] | None) -> list[str]:
    """The names asked for along a dimension of groups; all that the posterior has if none are."""
    if asked is None:
        return [str(name) for name in posterior["posterior"][dim].to_numpy()]
    return [asked] if isinstance(asked, str) else list(asked)


def unseen_notes(posterior: xr.DataTree, pairs: Iterable[tuple[str, str]]) -> list[Note]:
    """A note for each pair of modality and structure that had no sparse runs."""
    runs = posterior["constant_data"].to_dataset()
    sparse = runs["sparsity"].to_numpy() > 0
    columns = (runs[name].to_numpy()[sparse].tolist() for name in ("modality", "structure"))
    trained = set(zip(*columns, strict=True))
    return [
        Note(
            "unseen_pair",
            "warning",
            f"No run of {modality} had structure {structure}: this answer comes from the population of structures.",
        )
        for modality, structure in dict.fromkeys(pairs)
        if (modality, structure) not in trained
    ]


def _labels(runs: xr.Dataset, name: str) -> xr.DataArray:
    return xr.DataArray(runs[name].to_numpy(), dims="run")


def _seed(posterior: xr.DataTree, seed: int | None) -> int:
    return int(json.loads(posterior.attrs["settings"])["seed"]) if seed is None else seed
