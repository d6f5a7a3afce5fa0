"""How long a quick refit takes, and how close it comes to long chains.

    python benchmarks/quick_refits.py --data FOLDER [--seeds 6] [--long 10000]

For real sweeps (those of ``gate.py``, and each modality of frantar2023 alone), both laws: wall and processor seconds of
a refit in a process that has fitted before, what importance sampling says of itself, and how far the 5.5 %, 50 % and
94.5 % quantiles of everything that has a prior lie from those of four long chains of NUTS, in posterior standard
deviations: the largest bias (mean over seeds) of any quantity, and the root mean square over quantities and seeds.
"""

import argparse
import json
import os
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import xarray as xr
from gate import sweeps

from bayes_scaling import laws
from bayes_scaling.compiled import compiled_model
from bayes_scaling.design import Design, design_of
from bayes_scaling.laws.base import Law
from bayes_scaling.model import build_model
from bayes_scaling.refit import refit, sampled
from bayes_scaling.sampling import nuts, whitened

LAWS = ("sparse", "coupled")
QUANTILES = (0.055, 0.5, 0.945)


def cases(data: Path, skip: set[str]) -> Iterator[tuple[str, xr.Dataset]]:
    for name, runs in sweeps(data):
        if name in skip:
            continue
        yield name, runs
        if name == "frantar2023":
            for modality in ("language", "vision"):
                yield f"{name}, {modality}", runs.isel(run=(runs["modality"] == modality).to_numpy())


def flat(drawn: dict[str, np.ndarray]) -> np.ndarray:
    """All variables side by side, shape (draw, quantity)."""
    parts = [values.reshape(values.shape[0] * values.shape[1], -1) for values in drawn.values()]
    return np.concatenate(parts, axis=1)


def long_chains(law: Law, design: Design, draws: int) -> np.ndarray:
    density = whitened(compiled_model(law, design, lambda: build_model(law, design)), law, design)
    drawn, _ = nuts(density, draws=draws, tune=1000, chains=4, seed=1000, target_accept=0.95)
    return flat(drawn)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder of public data sets")
    parser.add_argument("--seeds", type=int, default=6)
    parser.add_argument("--long", type=int, default=10_000, help="draws of each long chain")
    parser.add_argument("--skip", default="lin2024_finetuning", help="sweeps to leave out, by commas")
    arguments = parser.parse_args()
    os.environ["BAYES_SCALING_DATA"] = str(arguments.data)
    print("| runs | law | method | wall s | processor s | k-hat | ESS | bias 5.5 % | 50 % | 94.5 % | rms |")
    print("|---|---|---|---|---|---|---|---|---|---|---|")
    for name, runs in cases(arguments.data, set(arguments.skip.split(","))):
        for law in map(laws.get, LAWS):
            design = design_of(runs)
            reference = long_chains(law, design, arguments.long)
            truth, spread = np.quantile(reference, QUANTILES, axis=0), reference.std(axis=0)
            wall, work, off, found = [], [], [], []
            for seed in range(arguments.seeds):
                began = time.perf_counter(), time.process_time()
                tree = refit(runs, law, seed=seed)
                wall.append(time.perf_counter() - began[0])
                work.append(time.process_time() - began[1])
                found.append(json.loads(tree.attrs["diagnostics"]))
                drawn, _ = sampled(law, design, seed=seed, draws=2000)
                off.append((np.quantile(flat(drawn), QUANTILES, axis=0) - truth) / spread)
            bias = np.abs(np.mean(off, axis=0)).max(axis=1)
            methods = "/".join(sorted({f["method"] for f in found}))
            khat, ess = max(f["khat"] for f in found), min(f["ess"] for f in found)
            times = f"{np.median(wall):.2f} | {np.median(work):.2f} | {khat:.2f} | {ess:.0f}"
            biases = " | ".join(f"{b:.2f}" for b in bias)
            print(
                f"| {name} | `{law.name}` | {methods} | {times} | {biases} | {np.sqrt(np.mean(np.square(off))):.2f} |",
                flush=True,
            )


if __name__ == "__main__":
    main()
