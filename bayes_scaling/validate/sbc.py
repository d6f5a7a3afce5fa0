"""Simulation-based calibration: do posteriors of simulated runs contain their truths as often as they say?"""

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, get_args

import numpy as np
import xarray as xr

from bayes_scaling import laws
from bayes_scaling.design import design_of, grouped
from bayes_scaling.errors import InputError
from bayes_scaling.priors import given, stated
from bayes_scaling.progress import Progress
from bayes_scaling.runs import diverged, load_runs
from bayes_scaling.threads import one_blas_thread
from bayes_scaling.validate.bands import band, deviation, p_value
from bayes_scaling.validate.simulations import Kind, Of, Problem, Result, simulated
from bayes_scaling.viewed import Viewed

__all__ = ["FAMILY_ERROR", "SBC", "Uniformity", "sbc"]

FAMILY_ERROR = 0.01
"""Probability that a perfect sampler has any quantity outside its band."""


@dataclass(frozen=True)
class Uniformity:
    """Whether the ranks of one quantity are uniform.

    Attributes
    ----------
    quantity : str
        Name and group, as ``a_S[language, unstructured]``.
    deviation : float
        Largest distance of the ranks' ECDF from the diagonal; above zero where truths rank too low, that is where
        draws are too large.
    p_value : float
        Of the simultaneous band, not adjusted for the number of quantities.
    inside : bool
        Whether the ECDF stays inside its band, which is adjusted.
    """

    quantity: str
    deviation: float
    p_value: float
    inside: bool


@dataclass(frozen=True, repr=False)
class SBC(Viewed):
    """Ranks of truths in the posteriors of runs simulated from them; prints as a table.

    Attributes
    ----------
    law : str
        Name of the law.
    kind : {"prior", "posterior"}
        Where truths came from.
    simulations : int
        How many.
    family_error : float
        Probability that any quantity is outside its band although all is well (Bonferroni's bound).
    band : float
        The largest deviation that the bands allow anywhere.
    quantities : list of Uniformity
    ranks : Dataset
        By quantity, over ``simulation`` and groups, in (0, 1). As the group ``prior_sbc`` of a DataTree this is what
        ``arviz_plots.plot_ecdf_pit`` takes, with ``sample_dims="simulation"``.
    fits : Dataset
        Over ``simulation``: the refits' ``method``, ``khat`` and ``ess``.
    """

    law: str
    kind: str
    simulations: int
    family_error: float
    band: float
    quantities: list[Uniformity]
    ranks: xr.Dataset = field(repr=False)
    fits: xr.Dataset = field(repr=False)

    @property
    def ok(self) -> bool:
        """Whether every quantity stays inside its band."""
        return all(each.inside for each in self.quantities)

    def to_dict(self) -> dict[str, Any]:
        """Everything but the ranks as plain JSON."""
        return {
            "law": self.law,
            "kind": self.kind,
            "simulations": self.simulations,
            "ok": self.ok,
            "family_error": self.family_error,
            "band": self.band,
            "by_nuts": int((self.fits["method"] == "nuts").sum()),
            "quantities": [vars(each) for each in self.quantities],
        }

    def _view(self) -> Any:
        from bayes_scaling.validate.view import sbc_view

        return sbc_view(self)


def sbc(
    design: Any,
    law: str = "sparse",
    *,
    simulations: int = 300,
    seed: int = 0,
    of: Sequence[Of] = ("coefficients", "decision"),
    budgets: Sequence[float] = (1.0, 3.0, 10.0),
    kind: Kind = "prior",
    posterior: xr.DataTree | None = None,
    group: str = "modality",
    prior: Mapping[str, Any] | None = None,
    store: str | os.PathLike[str] | None = None,
    progressbar: bool = True,
) -> SBC:
    """Draw truths, simulate runs from each, refit them, and see whether the truths' ranks are uniform.

    With truths from the prior they are, whatever the prior, if model, sampler and answers agree with each other. With
    truths from a posterior of observed runs, and refits to observed and simulated runs together, the same is asked
    where it matters: near these runs' answers.

    Parameters
    ----------
    design : Dataset, DataFrame, path or list of dict
        A run table: its sizes, data and sparsities are simulated on. The prior is centred on its losses' rough size.
    law : str
        Name of the law.
    simulations : int
        How many; 20 at least.
    seed : int
        Seed of all random numbers; each simulation has a stream of its own, so more can be added later.
    of : sequence of {"coefficients", "decision", "populations"}
        What is ranked: the law's coefficients and the noise scale, in every group; optimal sparsity; population means
        and spreads.
    budgets : sequence of float
        Where optimal sparsity is asked for: at each modality's reference size, with multiples of 6 N D at its reference
        point as FLOPs.
    kind : {"prior", "posterior"}
        Where truths come from.
    posterior : DataTree, optional
        For ``posterior``: that of the same runs under the same law; fitted here unless given.
    group : str
        The column whose values are the groups of comparable losses.
    prior : dict of pymc_extras.prior.Prior, optional
        As `fit` takes it.
    store : path, optional
        A folder for finished simulations. A run that was interrupted goes on there, and a longer one adds to it.
    progressbar : bool
        Whether to show progress on stderr, where that is a terminal.

    Returns
    -------
    SBC

    Raises
    ------
    InputError
        If the law is not known, a setting is out of range, the runs are wrong or too few, the posterior is another
        law's or of other runs, or the store holds simulations of another kind.

    References
    ----------
    Talts, Betancourt, Simpson, Vehtari, Gelman, arXiv:1804.06788; Säilynoja et al., arXiv:2502.03279, for truths from a
    posterior; Säilynoja, Bürkner, Vehtari, arXiv:2103.10522, for the bands.
    """
    problem = _problem(design, law, seed, of, budgets, kind, posterior, group, prior, simulations)
    folder = None if store is None else _opened(Path(store), problem)
    results = []
    with one_blas_thread(), Progress(progressbar) as progress:
        for number in range(simulations):
            progress.say(f"simulation {number + 1} of {simulations}")
            results.append(_kept(problem, number, folder))
    return _judged(problem, results)


def _problem(
    runs: Any,
    law: str,
    seed: int,
    of: Sequence[Of],
    budgets: Sequence[float],
    kind: Kind,
    posterior: xr.DataTree | None,
    group: str,
    prior: Mapping[str, Any] | None,
    simulations: int,
) -> Problem:
    """What all simulations share, checked."""
    for name, value, least in (("seed", seed, 0), ("simulations", simulations, 20)):
        if value < least:
            raise InputError(f"{name} is {value}; it is a whole number of at least {least}")
    if isinstance(of, str) or not of or not set(of) <= set(get_args(Of)):
        raise InputError(f"of is {of!r}; it is a list of any of {', '.join(get_args(Of))}")
    if not budgets or not all(0 < times < np.inf for times in budgets):
        raise InputError(f"budgets is {budgets!r}; it is a list of numbers above 0")
    if kind not in get_args(Kind):
        raise InputError(f"kind is {kind!r}; it is one of {', '.join(get_args(Kind))}")
    if posterior is not None and kind == "prior":
        raise InputError("posterior is given and kind is 'prior'; truths come from a posterior with kind 'posterior'")
    known_law = laws.get(law)
    if known_law.parts:
        raise InputError(
            f"the law {law!r} gives {', '.join(known_law.parts)} fixed shares of the draws, which no runs change, so "
            "truths from its prior are not its posterior's; check each of its laws"
        )
    table = load_runs(grouped(load_runs(runs), group))
    finished = table.isel(run=np.flatnonzero(~diverged(table).to_numpy()))
    if kind == "posterior" and posterior is None:
        from bayes_scaling.refit import refit

        posterior = refit(finished, known_law, prior=prior, seed=seed)
    if posterior is not None:
        _check_posterior(posterior, law, finished)
    known_law = given(known_law, stated(prior, known_law))
    return Problem(
        known_law, design_of(finished, known_law), finished, kind, posterior, tuple(of), tuple(budgets), seed
    )


def _check_posterior(posterior: xr.DataTree, law: str, runs: xr.Dataset) -> None:
    if posterior.attrs["law"] != law:
        raise InputError(f"the posterior was fitted with the law {posterior.attrs['law']!r}, not {law!r}")
    fitted = posterior["constant_data"]["run"].to_numpy().tolist()
    if fitted != runs["run_id"].to_numpy().tolist():
        raise InputError(f"the posterior was fitted to other runs than {runs.attrs.get('source', 'the run table')}")


def _opened(folder: Path, problem: Problem) -> Path:
    """The store, made or checked."""
    settings = problem.fingerprint()
    about = folder / "settings.json"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if not about.is_file():
            _write(about, json.dumps(settings))
            return folder
        there = json.loads(about.read_text())
    except (OSError, ValueError) as error:
        raise InputError(f"{folder} cannot be used as a store: {error}") from error
    for name, value in settings.items():
        if there.get(name) != value:
            raise InputError(
                f"{folder} holds simulations with {name} {there.get(name)!r}, not {value!r}; give these another store"
            )
    return folder


def _kept(problem: Problem, number: int, folder: Path | None) -> Result:
    """A simulation from the store, or done now and stored."""
    if folder is None:
        return simulated(problem, number)
    path = folder / f"{number:05d}.json"
    if path.is_file():
        return Result.from_json(path.read_text())
    result = simulated(problem, number)
    _write(path, result.to_json())
    return result


def _write(path: Path, text: str) -> None:
    """Write a file whole or not at all."""
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        part.write_text(text)
        os.replace(part, path)
    finally:
        part.unlink(missing_ok=True)


def _judged(problem: Problem, results: Sequence[Result]) -> SBC:
    """Whether ranks are uniform, quantity by quantity."""
    ranks = xr.concat([each.ranks for each in results], dim="simulation").assign_coords(
        simulation=np.arange(len(results))
    )
    columns = {_label(name, key): values for name, array in ranks.items() for key, values in _columns(array)}
    level = FAMILY_ERROR / len(columns)
    found = []
    for label, values in columns.items():
        probability = p_value(values)
        found.append(Uniformity(label, deviation(values), probability, probability > level))
    points, lower, upper = band(len(results), 1 - level)
    fits = {name: ("simulation", [each.fit[name] for each in results]) for name in ("method", "khat", "ess")}
    return SBC(
        law=problem.law.name,
        kind=problem.kind,
        simulations=len(results),
        family_error=FAMILY_ERROR,
        band=float(max((points - lower).max(), (upper - points).max())),
        quantities=found,
        ranks=ranks,
        fits=xr.Dataset(fits, {"simulation": ranks["simulation"]}),
    )


def _columns(array: xr.DataArray) -> list[tuple[tuple[str, ...], np.ndarray]]:
    """The ranks of each group, with the group's names."""
    groups = [str(dim) for dim in array.dims if dim != "simulation"]
    if not groups:
        return [((), array.to_numpy())]
    stacked = array.stack(ranked=groups).transpose("ranked", "simulation")
    named = [key if isinstance(key, tuple) else (key,) for key in stacked["ranked"].to_numpy().tolist()]
    words = [tuple(f"× {k:g}" if isinstance(k, float) else str(k) for k in key) for key in named]
    return list(zip(words, stacked.to_numpy(), strict=True))


def _label(name: Any, group: tuple[str, ...]) -> str:
    return f"{name}[{', '.join(group)}]" if group else str(name)
