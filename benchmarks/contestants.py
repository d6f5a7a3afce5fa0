"""One fit of one contestant, in a process of its own: peers.py starts it, and reads the JSON that it prints.

    python benchmarks/contestants.py CONTESTANT SEED $(date +%s.%N) RUNS.csv [HELD_OUT.csv]

The clock runs from the start of the process, which the third argument tells, until the fit and its intervals are there;
diagnostics, predictions and scores come after it has stopped. Every contestant reads the same CSV of runs.

- ``sparse``, ``default``: this package, a fit with the law named and without.
- ``textbook``: that model of handwritten.py under nutpie's defaults.
- ``careful``, ``careful-pymc``, ``careful-numpyro``: the other model under nutpie, PyMC's own NUTS and NumPyro's,
  target acceptance 0.9, each sampler's own default of tuning.
- ``paper``: the procedure of arXiv:2309.08520 with 200 bootstraps of the runs (published_fit.py).
- ``simple``, ``simple-joint``: the package simple-scaling-laws with its defaults, a fit per group, under the law that
  it recommends to start with (``separable-power``) and under its coupled one (``skaling-joint-power``).
"""

import json
import sys
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

DRAWS, CHAINS = 1000, 4


@dataclass(frozen=True)
class Fitted:
    """What is asked of a fit once the clock has stopped.

    Attributes
    ----------
    convergence : callable
        Diagnostics, as plain JSON.
    log_losses : callable
        From a table of runs, as pandas reads it, and its path: predicted log losses with run noise, shape (draw, run).
    """

    convergence: Callable[[], dict[str, Any]]
    log_losses: Callable[[Any, Path], np.ndarray]


def package(law: str | None, seed: int, kept: Path) -> Fitted:
    """A fit by this package."""
    import bayes_scaling as bs

    posterior = bs.fit(kept, law, seed=seed, draws=DRAWS, chains=CHAINS, progressbar=False)

    def log_losses(_: Any, path: Path) -> np.ndarray:
        loss = bs.predict(posterior, path, "new-run", seed=seed)
        return np.log(loss.stack(sample=("chain", "draw")).transpose("sample", "run").to_numpy())

    def convergence() -> dict[str, Any]:
        gate = json.loads(posterior.attrs["diagnostics"])
        if law is None:  # draws of two laws in random order look independent, so the gate's own figures stand
            ess = {"ess_bulk": gate["min_ess_bulk"], "ess_tail": gate["min_ess_tail"]}
            return {"rhat": gate["max_rhat"], "divergences": gate["divergences"]} | ess
        draws = posterior["posterior"].to_dataset()
        dense = not posterior["runs"]["sparsity"].to_numpy().any()
        amplitudes = {"a_S": draws["a_S"], "c_S": draws["c_S"]}
        if dense:
            amplitudes = {"A": (draws["a_S"] + draws["c_S"]).isel(structure=0)}
        asked = draws[["b_N", "b_D", "c", *([] if dense else ["b_S"])]]
        logs = {f"log {name}": np.log(values) for name, values in (amplitudes | {"a_D": draws["a_D"]}).items()}
        return diagnosed(asked.assign(logs), gate["divergences"])

    return Fitted(convergence, log_losses)


def by_hand(model: str, sampler: str, seed: int, kept: Path) -> Fitted:
    """A hand-written PyMC model; the textbook one with the sampler's defaults."""
    import handwritten
    import pandas as pd

    runs = handwritten.centred(pd.read_csv(kept))
    built = handwritten.MODELS[model](runs)
    settings = {"target_accept": 0.9} if model == "careful" else {}
    if sampler == "nutpie":
        import nutpie

        compiled = nutpie.compile_pymc_model(built)
        trace = nutpie.sample(compiled, draws=DRAWS, chains=CHAINS, seed=seed, progress_bar=False, **settings)
    else:
        import pymc as pm

        # Its own checks would be paid for by these samplers alone.
        asked = {"nuts_sampler": sampler, "nuts": settings, "compute_convergence_checks": False}
        trace = pm.sample(DRAWS, chains=CHAINS, model=built, random_seed=seed, progressbar=False, **asked)
    posterior = trace["posterior"].to_dataset()

    def log_losses(table: Any, _: Path) -> np.ndarray:
        return handwritten.predicted(posterior, handwritten.centred(table, runs), np.random.default_rng([seed, 12]))

    def convergence() -> dict[str, Any]:
        diverging = int(trace["sample_stats"]["diverging"].sum())
        return diagnosed(handwritten.physical(posterior, runs), diverging)

    return Fitted(convergence, log_losses)


def paper(seed: int, kept: Path) -> Fitted:
    """The published procedure, one modality after the other."""
    import pandas as pd
    import published_fit as published
    from handwritten import centred

    table = pd.read_csv(kept)
    parts, points, refits = {}, {}, {}
    for name, setting in published.SETTINGS.items():
        parts[name] = published.in_units(centred(table[table["modality"] == name]), setting.units)
        if (point := published.fit(parts[name], setting, seed)) is None:
            raise RuntimeError(f"no start succeeded for {name}")
        points[name] = point
        refits[name] = published.bootstrap(parts[name], setting, seed)

    def log_losses(new: Any, _: Path) -> np.ndarray:
        rng = np.random.default_rng([seed, 12])
        found = np.full((published.REFITS * published.NOISES, len(new)), np.nan)
        for name, runs in parts.items():
            mine = (new["modality"] == name).to_numpy()
            good = [each for each in refits[name] if each is not None]
            drawn = published.predicted(points[name], good, runs, centred(new[mine], runs), rng)
            found[: len(drawn), mine] = drawn
        return found

    def convergence() -> dict[str, Any]:
        import bayes_scaling as bs

        each = {}
        for name, point in points.items():
            mine, on_log = table[table["modality"] == name], published.SETTINGS[name].on_log
            lowest = bs.point_fit(mine, "sparse", on="log" if on_log else "loss").objective.item()
            each[name] = {
                **{key: getattr(point, key) for key in ("objective", "gradient", "successful", "agreeing")},
                "above_lowest_known": point.objective / lowest - 1,
                "refits_failed": sum(each is None for each in refits[name]) / published.REFITS,
            }
        return {"optimiser": each}

    return Fitted(convergence, log_losses)


def simple(law: str, seed: int, kept: Path) -> Fitted:
    """simple-scaling-laws, which knows no groups."""
    import polars as pl
    import simple_scaling_laws as ssl

    def renamed(path: Path) -> Any:
        return pl.read_csv(path).rename({
            "run_id": "training_run_id",
            "nonzero_params": "model_size__params",
            "data_seen": "dataset_size__tokens",
            "loss": TARGET,
        })  # fmt: skip

    table = renamed(kept)
    models = {
        str(name): ssl.fit(table.filter(pl.col("modality") == name), law=law, seed=seed)
        for name in table["modality"].unique(maintain_order=True)
    }

    def log_losses(_: Any, path: Path) -> np.ndarray:
        new = renamed(path)
        found = np.full((len(next(iter(models.values())).draws[TARGET].params), len(new)), np.nan)
        for i, (name, model) in enumerate(models.items()):
            mine = (new["modality"] == name).to_numpy()
            asked = model.fitting_predictors(model.prepare_points(new.filter(pl.Series(mine))))
            rng = np.random.default_rng([seed, 12, i])
            with np.errstate(invalid="ignore", divide="ignore"):
                found[:, mine] = np.log(model.target_draws(TARGET, asked, kind="new-run", rng=rng))
        return found

    def convergence() -> dict[str, Any]:
        each = {}
        for name, model in models.items():
            fit = model.fits[TARGET]
            mine = table.filter(pl.col("modality") == name)
            log_x = model.fitting_predictors(model.prepare_points(mine))
            off = model.law.evaluate(fit.params, log_x) - mine[TARGET].to_numpy()
            gradient = model.law.jacobian(fit.params, log_x).T @ off  # runs weigh alike: none is evaluated twice
            each[name] = {
                "objective": fit.optimizer["cost"],
                "gradient": float(np.abs(gradient).max() / fit.optimizer["cost"]),
                "successful": float(fit.optimizer["success"]),
                "refits_failed": fit.n_failed_draws / len(model.draws[TARGET].params),
                "warnings": sorted({note.code for note in model.warnings}),
            }
        return {"optimiser": each}

    return Fitted(convergence, log_losses)


TARGET = "test_loss__nats"

CONTESTANTS: dict[str, Callable[[int, Path], Fitted]] = {
    "sparse": lambda seed, kept: package("sparse", seed, kept),
    "default": lambda seed, kept: package(None, seed, kept),
    "textbook": lambda seed, kept: by_hand("textbook", "nutpie", seed, kept),
    "careful": lambda seed, kept: by_hand("careful", "nutpie", seed, kept),
    "careful-pymc": lambda seed, kept: by_hand("careful", "pymc", seed, kept),
    "careful-numpyro": lambda seed, kept: by_hand("careful", "numpyro", seed, kept),
    "paper": paper,
    "simple": lambda seed, kept: simple("separable-power", seed, kept),
    "simple-joint": lambda seed, kept: simple("skaling-joint-power", seed, kept),
}


def diagnosed(draws: Any, divergences: int) -> dict[str, Any]:
    """R-hat and effective sample sizes of coefficients in physical units, over chain and draw."""
    import arviz as az

    ess = {f"ess_{how}": float(az.ess(draws, method=how).to_array().min()) for how in ("bulk", "tail")}
    return {"rhat": float(az.rhat(draws).to_array().max()), "divergences": divergences} | ess


def scored(table: Any, log_losses: np.ndarray) -> dict[str, dict[str, float]]:
    """Means of scores over each group's runs; draws without a positive loss are left out, and their share told."""
    from bayes_scaling.intervals import PROB
    from bayes_scaling.validate import scores

    observed, modality = np.log(table["loss"].to_numpy()), table["modality"].to_numpy().astype(str)
    each: dict[str, list[dict[str, Any]]] = {}
    for i, group in enumerate(modality):
        draws = log_losses[:, i]
        possible = np.sort(draws[np.isfinite(draws)])
        lower, upper = np.quantile(possible, [(1 - PROB) / 2, (1 + PROB) / 2])
        one = observed[i : i + 1]
        found: dict[str, Any] = {
            "coverage": scores.coverage(one, lower, upper),
            "crps": scores.crps(one, possible[:, None]),
            "interval_score": scores.interval_score(one, lower, upper, PROB),
            "width": scores.width(lower, upper),
            "impossible": 1 - len(possible) / len(draws),
        }
        each.setdefault(group, []).append({name: float(np.squeeze(value)) for name, value in found.items()})
    return {
        group: {"runs": len(runs), **{name: float(np.mean([run[name] for run in runs])) for name in runs[0]}}
        for group, runs in each.items()
    }


def main() -> None:
    name, seed, started, kept, *held = sys.argv[1:]
    warnings.simplefilter("ignore")
    fitted = CONTESTANTS[name](int(seed), Path(kept))
    result: dict[str, Any] = {"seconds": time.time() - float(started)}
    result["convergence"] = fitted.convergence()
    if held:
        import pandas as pd

        table = pd.read_csv(held[0])
        result["scores"] = scored(table, fitted.log_losses(table, Path(held[0])))
    print(json.dumps(result))


if __name__ == "__main__":
    main()
