"""The usual point estimate of a law, converged: the minimum of a robust misfit, with what shows that it is one.

Point fits of scaling laws minimise a Huber function of the residuals (Hoffmann et al., arXiv:2203.15556; Frantar et
al., arXiv:2309.08520). The objective is tiny and has long flat valleys, so an optimiser with absolute tolerances stops
early and says that it is done: the published T5 coefficients of arXiv:2309.08520 have an objective half as large again
as its minimum. Here the gradient is exact, the objective is scaled, and independent starts must agree.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, get_args

import numpy as np
import xarray as xr

from bayes_scaling import laws
from bayes_scaling.bootstrap import Kind, noise_of_a_run, resampled
from bayes_scaling.design import Design, design_of, grouped
from bayes_scaling.errors import InputError
from bayes_scaling.estimate import convergence_notes, design_notes, expected_loss, physical, scores, unseen_notes
from bayes_scaling.intervals import PROB, check_prob
from bayes_scaling.misfit import Misfit, misfit_of
from bayes_scaling.notes import Note, read_notes, write_notes
from bayes_scaling.predict import KINDS, check_held, runs_to_predict
from bayes_scaling.runs import diverged, load_runs
from bayes_scaling.viewed import Viewed

__all__ = ["PointFit", "point_fit"]

Objective = Literal["huber", "squared"]
On = Literal["log", "loss"]

DELTA: dict[str, float] = {"log": 1e-3, "loss": 1e-2}
"""Of arXiv:2309.08520: for T5 on the log loss, for ViT on the loss."""

STARTS = 16

AGREEMENT = 1e-4
"""Objectives that differ by less than this share are the same minimum."""


@dataclass(frozen=True, repr=False)
class PointFit(Viewed):
    """A point estimate, and what to judge it by; prints as a table.

    Attributes
    ----------
    law : str
        Name of the law.
    settings : dict
        ``objective``, ``on``, ``delta``, ``starts``, ``seed``, ``group``.
    coefficients : Dataset
        The law's coefficients in physical units, over ``modality`` and ``structure`` (and ``strategy`` where runs have
        two) as in a posterior. What no run bears on stands at its prior centre, and a note says so.
    scores : Dataset
        Over ``modality``: ``objective``, the mean over runs; ``rmse`` in units of loss; ``max_relative_error``.
    convergence : Dataset
        Over ``modality``: ``gradient``, the largest relative change of the objective per unit of a coordinate (log or
        logit of what has a prior); ``starts_agreeing``, how many of the starts ended in the same minimum.
    notes : list of Note
        What limits the estimate.
    """

    law: str
    settings: Mapping[str, Any]
    coefficients: xr.Dataset
    scores: xr.Dataset
    convergence: xr.Dataset
    notes: list[Note]
    _runs: xr.Dataset = field(repr=False)
    _design: Design = field(repr=False)
    _misfits: Sequence[Misfit] = field(repr=False)
    _points: Sequence[np.ndarray] = field(repr=False)

    @property
    def objective(self) -> xr.DataArray:
        """Mean over runs of the objective at the optimum, over ``modality``; times the runs it is the usual sum."""
        return self.scores["objective"]

    def _view(self) -> Any:
        from bayes_scaling.display import point_view

        return point_view(self)

    def evaluate(self, coefficients: xr.Dataset | Mapping[str, Any]) -> xr.Dataset:
        """The scores of other coefficients on the runs fitted, under the same objective.

        Parameters
        ----------
        coefficients : Dataset or dict
            The law's coefficients in physical units: numbers, which hold for all runs, or as in `coefficients`.

        Returns
        -------
        Dataset
            As `scores`.

        Raises
        ------
        InputError
            If a coefficient or a level is missing, or there is another dimension.

        Examples
        --------
        >>> published = laws.get("sparse").published["t5-c4"].coefficients
        >>> point.evaluate(published)["objective"].sel(modality="language")  # doctest: +SKIP
        """
        if missing := [name for name in self.coefficients if name not in coefficients]:
            raise InputError(f"coefficients have no {', '.join(map(str, missing))}, which the law {self.law} needs")
        given = xr.Dataset({name: coefficients[str(name)] for name in self.coefficients})
        if others := sorted(set(map(str, given.dims)) - {"modality", "structure", "strategy"}):
            raise InputError(
                f"coefficients have the dimension {others[0]!r}; modality, structure and strategy are allowed"
            )
        return scores(laws.get(self.law), given, self._runs, self._design, self._misfits)

    def predict(
        self, new_runs: Any, draws: xr.Dataset | None = None, kind: str = "mean", *, seed: int = 0
    ) -> xr.DataArray:
        """Loss of runs that nobody has trained.

        Parameters
        ----------
        new_runs : Dataset, DataFrame, path or list of dict
            A run table without need of a loss; ``modality`` and ``data_unit`` may be absent where the fit has one.
        draws : Dataset, optional
            From `bootstrap`; the point estimate unless given.
        kind : {"mean", "new-run"}
            ``mean`` is the law itself; ``new-run`` adds a resampled residual to every draw.
        seed : int
            Seed of what is resampled.

        Returns
        -------
        DataArray
            Held-out loss over ``run``, or over (``draw``, ``run``). The attribute ``notes`` says which runs the fit
            knows nothing of.

        Raises
        ------
        InputError
            If the kind, a modality, a structure or a strategy is not known, if ``new-run`` is asked of the point
            estimate, if the seed is negative, or if the runs are wrong or count another data unit.
        """
        if kind not in KINDS:
            raise InputError(f"kind is {kind!r}; it is one of {', '.join(KINDS)}")
        if kind == "new-run" and draws is None:
            raise InputError("kind is 'new-run' without draws; it needs those of bootstrap()")
        if draws is not None and "draw" not in draws.dims:
            raise InputError("draws have no dimension 'draw'; what bootstrap() returns has")
        _check_whole("seed", seed, 0)
        runs = self._asked(new_runs)
        loss = expected_loss(laws.get(self.law), self.coefficients if draws is None else draws, runs)
        if kind == "new-run":
            of_run = np.array([self._design.modality.index(name) for name in runs["modality"].to_numpy().tolist()])
            rng = np.random.default_rng([seed, 22])
            noise = noise_of_a_run(self._misfits, self._points, of_run, loss.sizes["draw"], rng)
            loss = loss * np.exp(noise) if self.settings["on"] == "log" else loss + noise
        loss = loss.assign_coords(run=runs["run_id"].to_numpy()).rename("loss")
        loss.attrs = {"kind": kind, "units": "loss", "long_name": "held-out loss"}
        sparse = runs["sparsity"].to_numpy() > 0
        asked = zip(*(runs[c].to_numpy()[sparse].tolist() for c in ("modality", "structure", "strategy")), strict=True)
        write_notes(loss.attrs, unseen_notes(self._runs, asked))
        return loss

    def bootstrap(self, draws: int = 200, seed: int = 0, kind: Kind = "runs") -> xr.Dataset:
        """Coefficients of refits to resampled runs.

        ``runs`` draws whole runs with replacement, dense ones and each structure and strategy apart, so that none is
        lost: what point fits of scaling laws usually do (Efron, Ann. Statist. 7, 1979; Besiroglu et al.,
        arXiv:2404.10102). ``residual`` keeps the runs' sizes, data and sparsities, and adds to the fitted losses
        residuals drawn with replacement from their modality's, which are widened by √(n / (n - p)) for p quantities
        fitted to n runs (Davison and Hinkley, "Bootstrap Methods and their Application", 1997, section 6.2).

        Every refit starts from the optimum, so draws stay in its valley: what other minima would say is not in them.
        Intervals are percentiles of the draws. They say what chance did to these runs under the law, and nothing of the
        chance that another law takes over beyond them.

        Parameters
        ----------
        draws : int
            Refits of each modality.
        seed : int
            Seed of what is resampled.
        kind : {"runs", "residual"}
            What is resampled.

        Returns
        -------
        Dataset
            As `coefficients`, with the dimension ``draw`` in front.

        Raises
        ------
        InputError
            If a setting is out of range, the kind is not known, or residuals are asked for where a modality has no
            more runs than quantities.
        """
        _check_whole("draws", draws, 1)
        _check_whole("seed", seed, 0)
        if kind not in get_args(Kind):
            raise InputError(f"kind is {kind!r}; it is one of {', '.join(get_args(Kind))}")
        points = []
        for i, (misfit, point) in enumerate(zip(self._misfits, self._points, strict=True)):
            again = resampled(misfit, point, kind, draws, np.random.default_rng([seed, 21, i]))
            # A quantity that ran off to where nothing depends on it would stay there, whatever the new runs say.
            start = np.where(misfit.flat(point), misfit.center, point)
            points.append(np.stack([each.minimised(start, tolerance=1e-4) for each in again]))
        found = physical(laws.get(self.law), self._design, self._misfits, points)
        return found.assign_coords(draw=np.arange(draws)).assign_attrs(kind=kind, seed=seed)

    def intervals(
        self, new_runs: Any, draws: xr.Dataset, kind: str = "new-run", *, prob: float = PROB, seed: int = 0
    ) -> xr.Dataset:
        """Median and equal-tailed interval of the loss of runs that nobody has trained.

        Parameters
        ----------
        new_runs, draws, kind, seed
            As `predict` takes them.
        prob : float
            Probability of the intervals.

        Returns
        -------
        Dataset
            ``median``, ``lower`` and ``upper`` over ``run``; the attributes ``prob``, ``kind`` and ``notes``.

        Raises
        ------
        InputError
            As `predict`, and if the probability does not lie between 0 and 1.
        """
        tail = (1 - check_prob(prob)) / 2
        loss = self.predict(new_runs, draws, kind, seed=seed)
        quantiles = np.quantile(loss.to_numpy(), [0.5, tail, 1 - tail], axis=loss.get_axis_num("draw"))
        found = xr.Dataset({n: ("run", q) for n, q in zip(("median", "lower", "upper"), quantiles, strict=True)})
        return found.assign_coords(run=loss["run"]).assign_attrs(loss.attrs | {"prob": prob})

    def _asked(self, new_runs: Any) -> xr.Dataset:
        """A run table to predict, of modalities, units and strategies that the fit has."""
        known = xr.DataTree.from_dict(
            {"posterior": self.coefficients, "constant_data": self._runs[["modality", "data_unit"]]}
        )
        known.attrs["settings"] = json.dumps({"group": self.settings["group"]})
        runs = runs_to_predict(known, new_runs)
        check_held(laws.get(self.law), runs, self._runs)
        known_strategies = self._design.strategy  # where there is one only, coefficients do not name it
        if strangers := sorted(set(runs["strategy"].to_numpy().tolist()) - set(known_strategies)):
            raise InputError(
                f"strategy {strangers[0]!r} is not in the point fit, which has {', '.join(known_strategies)}"
            )
        return runs


def point_fit(
    runs: Any,
    law: str = "sparse",
    objective: Objective = "huber",
    *,
    on: On = "log",
    delta: float | None = None,
    starts: int = STARTS,
    seed: int = 0,
    group: str = "modality",
) -> PointFit:
    """Fit a law by minimising a misfit, modality by modality, without priors and pooling.

    BFGS with exact gradients (`bayes_scaling.misfit`) moves through the quantities that have priors, on scales without
    bounds, from the priors' centre and from draws of the priors. Of the starts that end in the same minimum, the one
    nearest to the priors' centre is kept, which matters only where the runs leave a direction flat.

    Parameters
    ----------
    runs : Dataset, DataFrame, path or list of dict
        A run table, or anything that `load_runs` takes; ``loss_se`` is not used.
    law : str
        Name of the law.
    objective : {"huber", "squared"}
        Mean over runs of the Huber function of residuals r (r²/2 up to ``delta`` in size, lines beyond), or of r²/2.
    on : {"log", "loss"}
        Whether r is of log losses or of losses.
    delta : float, optional
        In units of r; unless given 0.001 on the log and 0.01 on the loss, as in arXiv:2309.08520.
    starts : int
        Number of starts per modality.
    seed : int
        Seed of the starts.
    group : str
        The column whose values are the groups of comparable losses; its levels become the dimension ``modality``.

    Returns
    -------
    PointFit

    Raises
    ------
    InputError
        If the law or the group is not known, a setting is out of range, or the runs are wrong or too few.
    """
    for name, given, allowed in (("objective", objective, Objective), ("on", on, On)):
        if given not in get_args(allowed):
            raise InputError(f"{name} is {given!r}; it is one of {', '.join(get_args(allowed))}")
    if delta is not None and objective == "squared":
        raise InputError(f"delta is {delta}, and the objective 'squared' has none; it belongs to 'huber'")
    if delta is not None and not 0 < delta < np.inf:
        raise InputError(f"delta is {delta}; it is a finite number above 0")
    _check_whole("starts", starts, 1)
    _check_whole("seed", seed, 0)
    known_law = laws.get(law)
    table = load_runs(grouped(load_runs(runs), group))
    finished = table.isel(run=np.flatnonzero(~diverged(table).to_numpy()))
    design = design_of(finished, known_law)
    turn = np.inf if objective == "squared" else DELTA[on] if delta is None else delta
    misfits = [misfit_of(known_law, design, i, on_log=on == "log", delta=turn) for i in range(len(design.modality))]

    points, agreeing = [], []
    for i, misfit in enumerate(misfits):
        rng = np.random.default_rng([seed, 20, i])
        begun = [misfit.center, *(misfit.drawn(rng) for _ in range(starts - 1))]
        ends = [misfit.minimised(start) for start in begun]
        values = np.array([misfit.value(end)[0] for end in ends])
        excess = values - values.min()
        same = np.flatnonzero(excess <= 1e-9 * misfit.scale(values.min()))
        points.append(min((ends[k] for k in same), key=lambda end: float(np.sum((end - misfit.center) ** 2))))
        agreeing.append(int((excess <= AGREEMENT * misfit.scale(values.min())).sum()))

    coefficients = physical(known_law, design, misfits, points)
    gradient = [misfit.gradient(point) for misfit, point in zip(misfits, points, strict=True)]
    modality = {"modality": list(design.modality)}
    notes = [
        *design_notes(finished, design, misfits, points),
        *convergence_notes(misfits, gradient, agreeing, starts),
    ]
    return PointFit(
        law=known_law.name,
        settings={"objective": objective, "on": on, "delta": turn, "starts": starts, "seed": seed, "group": group},
        coefficients=coefficients,
        scores=scores(known_law, coefficients, finished, design, misfits),
        convergence=xr.Dataset(
            {"gradient": ("modality", gradient), "starts_agreeing": ("modality", agreeing)}, modality
        ),
        notes=[*read_notes(table.attrs), *notes],
        _runs=finished,
        _design=design,
        _misfits=misfits,
        _points=points,
    )


def _check_whole(name: str, value: int, least: int) -> None:
    if value < least:
        raise InputError(f"{name} is {value}; it is a whole number of at least {least}")
