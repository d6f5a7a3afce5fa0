"""Which run next? Public sweeps trained once more, in the orders that several rules would have picked.

    python benchmarks/replay.py --store replay.jsonl --picture docs/replay.png
    python benchmarks/replay.py --store replay.jsonl --law sparse+coupled --orders 5 --truths 0 --batch 6

Each modality of frantar2023 starts from its 12 cheapest runs. A rule picks a few of the others, the law is refitted,
and so on until 36 runs are in. After each refit, optimal sparsity (at the largest size, 1 and 10 times the budget at
which a dense model of it is compute-optimal) and the log loss of the largest run (sparsity 0.75) are held against what
all runs say. For simulated sweeps the losses of the same grid are drawn from the law at coefficients taken from the
posterior of all runs, and the answers held against those coefficients.

Rules: runs that are expected to reduce the variance of a target most, per run or per FLOP (`bayes_scaling.next_runs`),
for optimal sparsity or for the loss; D-optimal design, which wants all coefficients sharp and knows no target, per run
or per FLOP; cheapest first; and random orders. Every refit is a line of ``--store``, so an interrupted run goes on.
"""

import argparse
import json
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import replay_tables
import xarray as xr

import bayes_scaling as bs
from bayes_scaling import laws
from bayes_scaling.decide import costs
from bayes_scaling.decide.next import targets
from bayes_scaling.decide.next.batch import greedy
from bayes_scaling.decide.next.candidates import candidates_of
from bayes_scaling.decide.next.misses import law_alone
from bayes_scaling.decide.next.next_runs import state_of
from bayes_scaling.decide.next.variance import Variance
from bayes_scaling.intervals import PROB, interval
from bayes_scaling.noise import draw_noise
from bayes_scaling.predict import expected_loss, noise_scale
from bayes_scaling.refit import refit

START, END = 12, 36
DRAWS = 1000
SPARSITY = 0.75
TIMES = 10.0
"""The budget of the question that rules are to sharpen, in multiples of the dense compute-optimal one."""

MODEL_BASED = [f"{what} {rule}" for what in ("sparsity", "loss", "D-optimal") for rule in ("per FLOP", "per run")]


@dataclass(frozen=True)
class Entropy:
    """D-optimal design: the entropy of everything predicted, and no target.

    Attributes
    ----------
    variance : Variance
        Whose target is not looked at.
    left : float
        Entropy, up to a constant.
    """

    variance: Variance
    left: float = 0.0

    @property
    def gains(self) -> np.ndarray:
        """What each run tells, in nats of entropy."""
        own = np.diag(self.variance.covariance)[1:].clip(min=0)
        return 0.5 * np.log1p(own / (self.variance.noise + self.variance.misses.at))

    def take(self, i: int) -> "Entropy":
        """After a run."""
        return Entropy(self.variance.take(i), self.left - float(self.gains[i]))


@dataclass(frozen=True)
class Sweep:
    """Runs of one modality with losses that were measured or simulated, and what the answers are held against.

    Attributes
    ----------
    key : dict
        What it is called in the store: ``kind``, ``law``, ``modality`` and ``truth``.
    runs : Dataset
    flops : ndarray, shape (run,)
    size, budget, data : float
        Of the question: the largest size, its dense compute-optimal budget, and the largest data.
    reference : dict
        By quantity.
    """

    key: dict[str, Any]
    runs: xr.Dataset
    flops: np.ndarray
    size: float
    budget: float
    data: float
    reference: dict[str, float]

    @property
    def law(self) -> laws.Law:
        """The law that is fitted."""
        return laws.get(self.key["law"])

    def quantities(self, posterior: xr.DataTree) -> dict[str, xr.DataArray]:
        """Draws of what is compared."""
        at = (self.key["modality"], "unstructured")
        sparsity = bs.optimal_sparsity(posterior, self.size, np.array([1.0, TIMES]) * self.budget, *at)
        largest = {"nonzero_params": self.size, "data_seen": self.data, "sparsity": SPARSITY, "modality": at[0]}
        loss = np.log(bs.predict(posterior, [largest]).isel(run=0))
        return {
            "optimal sparsity × 1": sparsity.isel(train_flops=0),
            f"optimal sparsity × {TIMES:g}": sparsity.isel(train_flops=1),
            "log loss": loss,
        }

    def target(self, policy: str) -> targets.Target:
        """What a rule wants to know; D-optimal design is given one that it does not look at."""
        modality = self.key["modality"]
        if policy.startswith("loss"):
            return targets.Loss(self.size, self.data, SPARSITY, modality, "unstructured")
        return targets.OptimalSparsity(self.size, TIMES * self.budget, modality, "unstructured")


def sweeps(modality: str, law: str, truths: int) -> Iterator[Sweep]:
    """The measured sweep, and simulated ones."""
    table = bs.datasets.load("frantar2023")
    runs = table.isel(run=np.flatnonzero(table["modality"].to_numpy() == modality))
    size, data = float(runs["nonzero_params"].max()), float(runs["data_seen"].max())
    flops = 6 * runs["nonzero_params"] * runs["data_seen"] * costs.get("gradual").multiplier(runs["sparsity"])
    whole = refit(runs, laws.get(law), draws=2 * DRAWS)
    budget = float(bs.dense_optimal_flops(whole, size, modality).median())
    key = {"kind": "measured", "law": law, "modality": modality, "truth": 0}
    measured = Sweep(key, runs, flops.to_numpy(), size, budget, data, {})
    values = measured.quantities(whole)
    yield replace(measured, reference={name: float(each.median()) for name, each in values.items()})
    mean = np.log(expected_loss(law_alone(whole), runs)).isel(chain=0)
    scale = noise_scale(whole, runs).isel(chain=0)
    for i in range(truths):
        rng = np.random.default_rng([31, i])
        draw = int(rng.integers(mean.sizes["draw"]))
        log_loss = mean.isel(draw=draw) + scale.isel(draw=draw) * draw_noise((runs.sizes["run"],), rng)
        simulated = runs.assign(loss=("run", np.exp(log_loss.to_numpy())))
        truth = {name: float(each.isel(chain=0, draw=draw)) for name, each in values.items()}
        yield replace(measured, key=key | {"kind": "simulated", "truth": i}, runs=simulated, reference=truth)


def picked(sweep: Sweep, policy: str, order: int, trained: list[int], posterior: xr.DataTree, batch: int) -> list[int]:
    """The next runs under a rule."""
    rest = np.setdiff1d(np.arange(sweep.flops.size), trained)
    by_cost = rest[np.argsort(sweep.flops[rest], kind="stable")]
    if policy == "cheapest":
        return by_cost[:batch].tolist()
    if policy == "random":
        # One order of all runs, so that an interrupted replay goes on in it.
        return [i for i in np.random.default_rng([21, order]).permutation(sweep.flops.size) if i in rest][:batch]
    candidates = sweep.runs.isel(run=rest).drop_vars("loss")
    cost = costs.get("gradual")
    known = candidates_of(posterior, candidates, cost, None, 1)
    goal = sweep.target(policy)
    state: Any = state_of(posterior, known, goal, goal.draws(posterior, cost, None), cost, None, 0)
    if policy.startswith("D-optimal"):
        state = Entropy(state)
    best = greedy(state, known.flops, known.room, np.inf, batch, per_flop=policy.endswith("per FLOP"))
    found = rest[[pick.candidate for pick in best]].tolist()
    # Where nothing is expected to tell more, something has to be trained all the same.
    return (found + [i for i in by_cost.tolist() if i not in found])[:batch]


def replay(sweep: Sweep, policy: str, order: int, batch: int, store: "Store", started: dict[str, xr.DataTree]) -> None:
    """One rule from the first runs to the last, from where the store ends."""
    key = sweep.key | {"policy": policy, "order": order, "batch": batch}
    done = store.steps(key)
    trained = max(done, key=len, default=np.argsort(sweep.flops, kind="stable")[:START].tolist())
    while True:
        first = len(trained) == START
        began = time.perf_counter(), time.process_time()
        needs_posterior = trained not in done or (len(trained) < END and policy in MODEL_BASED)
        posterior: Any = started.get("posterior") if first else None
        if needs_posterior and posterior is None:
            posterior = refit(sweep.runs.isel(run=np.sort(trained)), sweep.law, draws=DRAWS)
            if first:
                started["posterior"] = posterior
        if trained not in done:
            values = {name: interval(draws, PROB) for name, draws in sweep.quantities(posterior).items()}
            seconds = {"seconds": time.perf_counter() - began[0], "cpu": time.process_time() - began[1]}
            flops = float(sweep.flops[trained].sum())
            more = {"runs": trained, "flops": flops, "all_flops": float(sweep.flops.sum())}
            store.add(key | more | {"values": values, "reference": sweep.reference} | seconds)
        if len(trained) >= END:
            return
        trained = trained + [int(i) for i in picked(sweep, policy, order, trained, posterior, batch)]


class Store:
    """Steps as JSON lines."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.lines = [json.loads(line) for line in path.read_text("utf-8").splitlines()] if path.exists() else []

    def steps(self, key: dict[str, Any]) -> list[list[int]]:
        """The runs trained at each step of a replay."""
        return [line["runs"] for line in self.lines if all(line[k] == v for k, v in key.items())]

    def add(self, line: dict[str, Any]) -> None:
        """One more step, written at once."""
        self.lines.append(line)
        with self.path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--store", type=Path, required=True)
    parser.add_argument("--modality", choices=["language", "vision"], action="append", help="both unless said")
    parser.add_argument("--law", default="sparse", help="of measured sweeps")
    parser.add_argument("--simulated-law", default="sparse", help="of simulated ones")
    parser.add_argument("--orders", type=int, default=20, help="random orders of each measured sweep")
    parser.add_argument("--truths", type=int, default=6, help="simulated sweeps of each modality")
    parser.add_argument("--batch", type=int, default=3, help="runs between refits")
    parser.add_argument("--simulated-batch", type=int, default=4, help="the same in simulated sweeps")
    parser.add_argument("--tables-only", action="store_true", help="report what the store has")
    parser.add_argument("--picture", type=Path)
    args = parser.parse_args()
    store = Store(args.store)
    began = time.process_time()
    for modality in args.modality or [] if args.tables_only else args.modality or ["language", "vision"]:
        every = [next(sweeps(modality, args.law, 0))]
        every += list(sweeps(modality, args.simulated_law, args.truths))[1:] if args.truths else []
        for sweep in every:
            measured = sweep.key["kind"] == "measured"
            started: dict[str, xr.DataTree] = {}
            orders = args.orders if measured else 2
            paths = [(policy, 0) for policy in (*MODEL_BASED, "cheapest")] + [("random", i) for i in range(orders)]
            for policy, order in paths:
                replay(sweep, policy, order, args.batch if measured else args.simulated_batch, store, started)
                spent = time.process_time() - began
                print(f"{sweep.key}, {policy} {order}: {spent:.0f} CPU-s", file=sys.stderr, flush=True)
    replay_tables.report(store.lines)
    if args.picture:
        replay_tables.draw(store.lines, {"measured": args.law, "simulated": args.simulated_law}, args.picture)


if __name__ == "__main__":
    main()
