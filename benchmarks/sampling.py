"""Effective draws a second, importing and compiling included, against PyMC models written by hand.

    python benchmarks/sampling.py --seeds 5 [--gate-seeds 20]

Each fit runs in a process of its own, on the 160 runs of arXiv:2309.08520 (``BAYES_SCALING_DATA`` names the folder that
holds them), twice, of which the second counts: caches are warm then. Contestants take turns, so that a machine that
gets slower does so for all. ESS is the least of bulk and tail over the physical parameters of both modalities.

- ``sparse``, ``default``: this package, a fit with the law named and without.
- ``careful``: a careful hand-written model under nutpie: axes centred, log-normal exponents with a non-centred
  hierarchy, irreducible loss as a Beta share of the lowest loss, target acceptance 0.9.
- ``textbook``: the paper's coefficients with half-normal priors under nutpie's defaults.
"""

import argparse
import json
import os
import subprocess
import sys
import time
from typing import Any

import numpy as np

CONTESTANTS = ("sparse", "default", "careful", "textbook")


def data() -> dict[str, np.ndarray]:
    """The runs, with axes relative to each modality's geometric mean."""
    import bayes_scaling as bs

    runs = bs.datasets.load("frantar2023")
    modality = (runs["modality"] == "vision").to_numpy().astype(int)
    columns = {name: runs[name].to_numpy() for name in ("nonzero_params", "data_seen")}
    centred = {
        name: np.log(v) - np.array([np.log(v[modality == m]).mean() for m in (0, 1)])[modality]
        for name, v in columns.items()
    }
    return {"m": modality, "S": runs["sparsity"].to_numpy(), "y": runs["loss"].to_numpy(), **centred}


def careful() -> Any:
    """What somebody who knows PyMC writes after an afternoon."""
    import pymc as pm

    d = data()
    lowest = np.array([d["y"][d["m"] == m].min() for m in (0, 1)])
    with pm.Model() as model:

        def pooled(name: str, median: float) -> Any:
            centre = pm.Normal(f"{name}_centre", np.log(median), 0.6)
            spread = pm.HalfNormal(f"{name}_spread", 0.4)
            return pm.Deterministic(name, pm.math.exp(centre + spread * pm.Normal(f"{name}_z", shape=2)))

        b_N, b_D, b_S = pooled("b_N", 0.3), pooled("b_D", 0.3), pooled("b_S", 0.9)
        c = pm.Deterministic("c", pm.Beta("share", 2, 2, shape=2) * lowest)
        a_S, c_S, a_D = (pm.LogNormal(name, np.log(lowest / 4), 1.0, shape=2) for name in ("a_S", "c_S", "a_D"))
        sigma = pm.LogNormal("sigma", np.log(0.01), 1.0, shape=2)
        m = d["m"]
        size = (a_S[m] * (1 - d["S"]) ** b_S[m] + c_S[m]) * pm.math.exp(-b_N[m] * d["nonzero_params"])
        mean = pm.math.log(size + a_D[m] * pm.math.exp(-b_D[m] * d["data_seen"]) + c[m])
        pm.StudentT("log_loss", nu=4, mu=mean, sigma=sigma[m], observed=np.log(d["y"]))
    return model


def textbook() -> Any:
    """The paper's formula with half-normal priors."""
    import pymc as pm

    d = data()
    m = d["m"]
    with pm.Model() as model:

        def pooled(name: str) -> Any:
            centre, spread = pm.HalfNormal(f"{name}_centre", 1.0), pm.HalfNormal(f"{name}_spread", 0.5)
            return pm.TruncatedNormal(name, centre, spread, lower=0, shape=2)

        b_N, b_D, b_S = pooled("b_N"), pooled("b_D"), pooled("b_S")
        a_S, c_S, a_D, c = (pm.HalfNormal(name, 5.0, shape=2) for name in ("a_S", "c_S", "a_D", "c"))
        sigma = pm.HalfNormal("sigma", 0.1, shape=2)
        size = (a_S[m] * (1 - d["S"]) ** b_S[m] + c_S[m]) * pm.math.exp(-b_N[m] * d["nonzero_params"])
        mean = pm.math.log(size + (a_D[m] * pm.math.exp(-d["data_seen"])) ** b_D[m] + c[m])
        pm.StudentT("log_loss", nu=4, mu=mean, sigma=sigma[m], observed=np.log(d["y"]))
    return model


PHYSICAL = ("a_S", "b_S", "c_S", "b_N", "a_D", "b_D", "c")


def fit(contestant: str, seed: int) -> dict[str, float]:
    """One fit, timed from before the imports; diagnostics are worked out after the clock has stopped."""
    began = time.perf_counter()
    if contestant in ("sparse", "default"):
        import bayes_scaling as bs

        runs = bs.datasets.load("frantar2023")
        trace = bs.fit(runs, law="sparse" if contestant == "sparse" else None, seed=seed, progressbar=False)
        seconds = time.perf_counter() - began
        gate = json.loads(trace.attrs["diagnostics"])
    else:
        import nutpie

        model = careful() if contestant == "careful" else textbook()
        settings = {"target_accept": 0.9} if contestant == "careful" else {}
        compiled = nutpie.compile_pymc_model(model)
        trace = nutpie.sample(compiled, draws=1000, chains=4, seed=seed, progress_bar=False, **settings)
        seconds = time.perf_counter() - began
        gate = {}
    import arviz as az

    draws = trace["posterior"].to_dataset()[list(PHYSICAL)]
    ess = min(float(az.ess(draws, method=how).to_array().min()) for how in ("bulk", "tail"))
    if gate.get("laws"):  # draws of two laws in random order look independent whatever each law's are
        ess = min(gate["min_ess_bulk"], gate["min_ess_tail"])
    return {
        "seconds": seconds,
        "ess": ess,
        "ess_per_second": ess / seconds,
        "rhat": float(az.rhat(draws).to_array().max()),
        "divergences": int(trace["sample_stats"]["diverging"].sum()),
        "ok": bool(gate.get("ok", False)),
    }


def in_new_process(contestant: str, seed: int) -> dict[str, float]:
    """A fit in a process of its own."""
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}
    command = [sys.executable, "-W", "ignore", __file__, "--child", contestant, "--seeds", str(seed)]
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)
    return json.loads(done.stdout.splitlines()[-1])


def main() -> None:
    """Take turns, then print medians."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument(
        "--gate-seeds", type=int, default=0, help="fits in this process, to count how often the gate passes"
    )
    parser.add_argument("--contestants", default=",".join(CONTESTANTS))
    parser.add_argument("--child", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.child:
        print(json.dumps(fit(arguments.child, arguments.seeds)))
        return
    contestants = arguments.contestants.split(",")
    results: dict[str, list[dict[str, float]]] = {name: [] for name in contestants}
    for seed in range(-1, arguments.seeds):
        for name in contestants:
            found = in_new_process(name, max(seed, 0))
            print(name, seed, json.dumps(found), file=sys.stderr, flush=True)
            if seed >= 0:  # the first round warms caches
                results[name].append(found)
    for name, each in results.items():
        if each:
            medians = {key: round(float(np.median([f[key] for f in each])), 3) for key in each[0]}
            worst = {"rhat": round(max(f["rhat"] for f in each), 3), "ess": round(min(f["ess"] for f in each))}
            print(name, "median", medians, "worst", worst)
    passed = [fit(name, seed) for seed in range(arguments.gate_seeds) for name in ("sparse", "default")]
    if passed:
        clean = sum(f["ok"] and f["divergences"] == 0 for f in passed)
        rhat, ess = max(f["rhat"] for f in passed), min(f["ess"] for f in passed)
        print(f"gate passed, no divergence: {clean} of {len(passed)}; largest R-hat {rhat:.4f}, least ESS {ess:.0f}")


if __name__ == "__main__":
    main()
