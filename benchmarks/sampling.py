"""Effective draws a second, importing and compiling included, against PyMC models written by hand.

    python benchmarks/sampling.py --seeds 5

Each fit runs in a process of its own, on the 160 runs of arXiv:2309.08520 (``BAYES_SCALING_DATA`` names the folder that
holds them), twice, of which the second counts: caches are warm then. Contestants take turns, so that a machine that
gets slower does so for all. ESS is the least of bulk and tail over the physical parameters of both modalities.

- ``sparse``, ``default``: this package, a fit with the law named and without.
- ``careful``: the careful model of handwritten.py under nutpie, target acceptance 0.9.
- ``textbook``: the textbook model of handwritten.py under nutpie's defaults.
"""

import argparse
import json
import os
import subprocess
import sys
import time

import handwritten
import numpy as np

CONTESTANTS = ("sparse", "default", "careful", "textbook")


PHYSICAL = ("a_S", "b_S", "c_S", "b_N", "a_D", "b_D", "c")


def fit(contestant: str, seed: int) -> dict[str, float]:
    """One fit, timed from before the imports; diagnostics are worked out after the clock has stopped."""
    began = time.perf_counter()
    import bayes_scaling as bs

    runs = bs.datasets.load("frantar2023")
    if contestant in ("sparse", "default"):
        trace = bs.fit(runs, law="sparse" if contestant == "sparse" else None, seed=seed, progressbar=False)
        seconds = time.perf_counter() - began
        gate = json.loads(trace.attrs["diagnostics"])
    else:
        import nutpie

        model = handwritten.MODELS[contestant](handwritten.centred(runs))
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


if __name__ == "__main__":
    main()
