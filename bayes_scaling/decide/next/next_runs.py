"""Which runs to pay for next: those expected to tell most of what a decision hangs on."""

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr

from bayes_scaling.decide import costs
from bayes_scaling.decide.next import targets
from bayes_scaling.decide.next.batch import Pick, best_batch
from bayes_scaling.decide.next.candidates import Candidates, candidates_of
from bayes_scaling.decide.next.misses import Misses, law_alone
from bayes_scaling.decide.next.regret import Preposterior
from bayes_scaling.decide.next.variance import State, Variance
from bayes_scaling.decide.optimum import cost_of
from bayes_scaling.errors import InputError
from bayes_scaling.extrapolation import AXES, extrapolation
from bayes_scaling.intervals import PROB, check_prob, interval
from bayes_scaling.notes import Note, read_notes
from bayes_scaling.predict import expected_loss, predict
from bayes_scaling.viewed import Viewed

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["NextRuns", "next_runs", "state_of"]

MOST_DRAWS = 1000
"""Draws that are reweighted for a target of regret; covariances take all."""

PREDICTED = ("predicted_loss", "predicted_lower", "predicted_upper")


@dataclass(frozen=True, repr=False)
class NextRuns(Viewed):
    """Runs to train next, best first; prints as a table.

    Attributes
    ----------
    target : Target
        What they are to tell.
    measure : str
        What ``before`` and ``after`` are: ``standard deviation`` of the target, or ``expected regret``.
    prob : float
        Probability of every interval.
    now : dict
        The target before any of them: ``median``, ``lower``, ``upper``; of a regret, of the optimal sparsity.
    before, after : float
        The measure now, and as it is expected to be after all of them.
    budget_flops : float
    rule : str
        By what the batch was picked: ``gain per FLOP`` or ``gain``, whichever leaves less.
    runs : Dataset
        A run table, without losses, which `load_runs` and `save_runs` take: the columns of the candidates,
        ``train_flops``, and ``rank``; ``cumulative_flops``; ``before`` and ``after``, the measure expected before and
        after each; ``gain``, what each takes off the variance, or the regret; ``gain_per_flop``; and
        ``predicted_loss``, ``predicted_lower`` and ``predicted_upper``, what a new run would reach; many losses
        outside say that the law does not hold there.
    extrapolation : list of dict
        How far each lies beyond the runs trained, in nats.
    notes : list of Note
    """

    target: targets.Target
    measure: str
    prob: float
    now: dict[str, float]
    before: float
    after: float
    budget_flops: float
    rule: str
    runs: xr.Dataset = field(repr=False)
    extrapolation: list[dict[str, float]] = field(repr=False)
    notes: list[Note] = field(repr=False)

    def to_frame(self) -> "pd.DataFrame":
        """The run table as a DataFrame, a row per run."""
        return self.runs.reset_coords("run_id").to_dataframe().reset_index(drop=True)

    def to_dict(self) -> dict[str, Any]:
        """Everything as plain JSON."""
        rows = [{name: _plain(value) for name, value in row.items()} for row in self.to_frame().to_dict("records")]
        return {
            "target": self.target.to_dict(),
            "measure": self.measure,
            "units": self.target.units,
            "prob": self.prob,
            "now": self.now,
            "before": self.before,
            "after": self.after,
            "budget_flops": self.budget_flops,
            "train_flops": float(self.runs["train_flops"].sum()),
            "rule": self.rule,
            "runs": [row | {"extrapolation": far} for row, far in zip(rows, self.extrapolation, strict=True)],
            "notes": [note.to_dict() for note in self.notes],
        }

    def _view(self) -> Any:
        from bayes_scaling.decide.next.view import next_runs_view

        return next_runs_view(self)


def next_runs(
    posterior: xr.DataTree,
    candidates: Any,
    budget_flops: float,
    *,
    target: targets.Target | None = None,
    count: int | None = None,
    replicates: int = 1,
    cost: str | costs.Cost = "gradual",
    flops_per_unit: float | None = None,
    prob: float = PROB,
    seed: int | None = None,
) -> NextRuns:
    """Pick runs to train next, by what their losses are expected to tell of a target per FLOP.

    Each pick takes those before it for trained. The expected reduction of the target's variance is that of the best
    linear estimate (`variance`), with a run's noise, and what the law may miss beyond the runs, against it; a target of
    `targets.Regret` is rechecked by reweighting draws (`regret`). The draws believe in their laws, so a batch cannot
    show that these are wrong: refit after each batch (`bayes_scaling.update`), look whether losses fell
    inside their intervals, and spend some of a budget on the largest scale that it reaches.

    Parameters
    ----------
    posterior : DataTree
        From `fit`.
    candidates : Dataset, DataFrame, path, list of dict or dict of sequences
        A run table without need of a loss. A dict of columns, each one value or several, stands for all combinations;
        a cube from `bayes_scaling.grid` for all its cells. ``modality`` may be absent where the posterior has one.
    budget_flops : float
        What all runs together may cost.
    target : Target, optional
        What they are to tell, from `bayes_scaling.targets`. Unless said, it is optimal sparsity at the largest size
        trained and ten times the compute of the largest run: what the demo asks, one step beyond a sweep in the
        direction in which compute grows first. The ranking is for that question, so state your own.
    count : int, optional
        Most runs to pick; as many as the budget pays for and the target gains from unless said. After some ten runs
        the covariances are best made anew, by training and refitting.
    replicates : int
        How many runs of one design are wanted in all, trained ones counted: with 1, no design is trained twice.
    cost : str or Cost
        How sparsity changes the cost of training; see `decide.costs`. It counts the FLOPs of candidates without a
        ``train_flops`` of their own, and what the target's budget buys.
    flops_per_unit : float, optional
        FLOPs per non-zero parameter and token or example; 6 unless said.
    prob : float
        Probability of every interval.
    seed : int, optional
        Seed of the noise in predicted losses and of the losses simulated for a regret; the posterior's unless said.

    Returns
    -------
    NextRuns
        Prints as a table; ``runs`` is a run table, ``to_dict`` plain JSON. Notes say why it has no runs, if so.

    Raises
    ------
    InputError
        If there are no candidates, they or the target are wrong, or an argument is out of range.
    """
    check_prob(prob)
    if not (np.isfinite(budget_flops) and budget_flops > 0):
        raise InputError(f"budget_flops is {budget_flops}; it is a number above 0")
    for name, value, least in (("count", count, 1), ("replicates", replicates, 1), ("seed", seed, 0)):
        if value is not None and value < least:
            raise InputError(f"{name} is {value}; it is a whole number of at least {least}")
    if target is not None and not isinstance(target, targets.Target):
        raise InputError(f"target is {target!r}; it is one of bayes_scaling.targets, such as targets.Loss(1e9, 2e10)")
    how = cost_of(posterior, cost)
    known = candidates_of(posterior, candidates, how, flops_per_unit, replicates)
    goal = (target or targets.default_target(posterior, known.table, how, flops_per_unit)).settled(posterior)
    if seed is None:
        seed = int(json.loads(posterior.attrs["settings"])["seed"])

    values = goal.draws(posterior, how, flops_per_unit)
    state = state_of(posterior, known, goal, values, how, flops_per_unit, seed)
    picks, rule = best_batch(state, known.flops, known.room, float(budget_flops), count)
    measure: Callable[[float], float] = float if isinstance(goal, targets.Regret) else _root
    runs = _table(posterior, known, picks, measure, prob, seed)
    far = _distances(posterior, runs)
    left = picks[-1].after if picks else state.left
    return NextRuns(
        target=goal,
        measure="expected regret" if isinstance(goal, targets.Regret) else "standard deviation",
        prob=prob,
        now=interval(_shown(posterior, goal, values), prob),
        before=measure(state.left),
        after=measure(left),
        budget_flops=float(budget_flops),
        rule=rule,
        runs=runs,
        extrapolation=far,
        notes=[
            *(note for note in read_notes(posterior.attrs) if note.severity == "error"),
            *_why_none(known, picks, goal, float(budget_flops)),
            *_beyond_notes(far),
            *_unit_notes(known, flops_per_unit),
        ],
    )


def state_of(
    posterior: xr.DataTree,
    known: Candidates,
    goal: targets.Target,
    values: np.ndarray,
    cost: costs.Cost,
    flops_per_unit: float | None,
    seed: int,
) -> State:
    """What is known of the target, before any pick."""
    loss = expected_loss(law_alone(posterior), known.table).transpose("chain", "draw", "run").to_numpy()
    log_loss = np.log(loss).reshape(values.size, -1)
    noise = known.noise_variance(posterior, log_loss)
    misses = Misses.of(posterior, known.table, goal.run(posterior))
    linear = Variance.of(values, log_loss, noise.mean(axis=0), misses, _independent_draws(posterior, values.size))
    if not isinstance(goal, targets.Regret):
        return linear
    losses, least = goal.losses(posterior, cost, flops_per_unit, values)
    some = slice(None, None, -(-values.size // MOST_DRAWS))
    drawn = (losses[some], least[some], log_loss[some], noise[some])
    return Preposterior.of(*drawn, optimum=linear, flops=known.flops, seed=seed)


def _shown(posterior: xr.DataTree, goal: targets.Target, values: np.ndarray) -> xr.DataArray:
    """The target with what the law may miss there."""
    run = goal.run(posterior)
    if run is not None:
        loss = expected_loss(posterior, run).isel(run=0)
        return loss.copy(data=np.log(loss.to_numpy()))
    return xr.DataArray(values[None], dims=("chain", "draw"))


def _independent_draws(posterior: xr.DataTree, count: int) -> float:
    """As how many independent draws those of the posterior are worth."""
    found = json.loads(posterior.attrs.get("diagnostics", "{}"))
    worth = found.get("ess") if found.get("method") == "importance" else found.get("min_ess_bulk")
    return float(min(count, worth or count))


def _table(
    posterior: xr.DataTree,
    known: Candidates,
    picks: list[Pick],
    measure: Callable[[float], float],
    prob: float,
    seed: int,
) -> xr.Dataset:
    """The picks as a run table, with what they cost and are expected to tell."""
    order = [pick.candidate for pick in picks]
    flops = known.flops[order]
    gain = np.array([pick.before - pick.after for pick in picks])
    columns = {
        "train_flops": flops,
        "rank": np.arange(1, len(picks) + 1),
        "cumulative_flops": np.cumsum(flops),
        "before": np.array([measure(pick.before) for pick in picks]),
        "after": np.array([measure(pick.after) for pick in picks]),
        "gain": gain,
        "gain_per_flop": gain / flops,
    }
    runs = known.table.isel(run=order).assign({name: ("run", values) for name, values in columns.items()})
    if picks:
        losses = predict(posterior, runs.drop_vars("run_id"), "new-run", seed=seed)
        each = [interval(losses.isel(run=i), prob) for i in range(len(picks))]
        for name, key in zip(PREDICTED, ("median", "lower", "upper"), strict=True):
            runs[name] = ("run", np.array([row[key] for row in each]))
    taken = set(posterior["runs"]["run_id"].to_numpy().tolist()) if "run_id" in posterior["runs"] else set()
    return runs.assign_coords(run_id=("run", _free_ids(runs["run_id"].to_numpy().tolist(), taken)))


def _free_ids(names: list[str], taken: set[str]) -> np.ndarray:
    """Names of runs that no other run has."""
    found: list[str] = []
    for name in names:
        free, again = name, 1
        while free in taken:
            again += 1
            free = f"{name}-{again}"
        taken = taken | {free}
        found.append(free)
    return np.array(found, dtype=str)


def _distances(posterior: xr.DataTree, runs: xr.Dataset) -> list[dict[str, float]]:
    columns = ("modality", "structure", "nonzero_params", "data_seen", "sparsity")
    rows = zip(*(runs[name].to_numpy().tolist() for name in columns), strict=True)
    return [
        extrapolation(posterior, modality, structure, nonzero_params=size, data_seen=data, sparsity=sparsity)
        for modality, structure, size, data, sparsity in rows
    ]


def _why_none(known: Candidates, picks: list[Pick], goal: targets.Target, budget: float) -> list[Note]:
    """Why there are no runs, or no more of them."""
    count = known.flops.size
    if not known.room.any():
        return [
            Note(
                "all_trained",
                "warning",
                f"Every one of {count} candidates was trained; replicates= asks for more runs of the same designs.",
                numbers={"candidates": count},
            )
        ]
    open_, cheapest = known.room > 0, float(known.flops[known.room > 0].min())
    if cheapest > budget * (1 + 1e-9):
        return [
            Note(
                "nothing_affordable",
                "warning",
                f"No candidate fits the budget of {budget:.3g} FLOPs; the cheapest costs {cheapest:.3g}.",
                numbers={"budget_flops": budget, "cheapest_flops": cheapest},
            )
        ]
    spent = known.flops[[pick.candidate for pick in picks]].sum()
    room = known.room.copy()
    np.subtract.at(room, [pick.candidate for pick in picks], 1)
    affordable = int(((room > 0) & (known.flops <= budget - spent)).sum())
    if picks or not affordable:
        return []
    return [
        Note(
            "no_gain",
            "warning",
            f"None of {int(open_.sum())} candidates is expected to tell more of the {goal} than chance would show in "
            "these draws.",
            numbers={"candidates": int(open_.sum())},
        )
    ]


def _beyond_notes(far: list[dict[str, float]]) -> list[Note]:
    """A note where half of the picks or more lie beyond the runs."""
    outside = [each for each in far if max(each.values()) > 0]
    if not outside or 2 * len(outside) < len(far):
        return []
    most = {axis: max(each[axis] for each in outside) for axis in AXES}
    reach = ", ".join(f"{np.exp(nats):.3g} times in {axis}" for axis, nats in most.items() if nats > 0)
    return [
        Note(
            "picks_beyond_runs",
            "info",
            f"{len(outside)} of {len(far)} runs lie beyond those trained, up to {reach}: what they are expected to "
            "tell assumes that the law holds there.",
            numbers={"beyond": len(outside), "runs": len(far)},
        )
    ]


def _unit_notes(known: Candidates, flops_per_unit: float | None) -> list[Note]:
    examples = known.counted & (known.table["data_unit"].to_numpy() == "examples")
    if flops_per_unit is not None or not examples.any():
        return []
    return [
        Note(
            "flops_per_example",
            "warning",
            "Candidates count examples and neither train_flops nor flops_per_unit was given: their cost is counted as "
            "if each example were one token.",
        )
    ]


def _root(variance: float) -> float:
    return float(np.sqrt(max(variance, 0.0)))


def _plain(value: Any) -> Any:
    """A value of a table as JSON has it."""
    value = value.item() if isinstance(value, np.generic) else value
    return None if isinstance(value, float) and not np.isfinite(value) else value
