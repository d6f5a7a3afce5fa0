"""Are posteriors calibrated when the model is true? Simulation-based calibration on designs from tiny to large.

    python benchmarks/calibration_sbc.py --design frantar --simulations 300 --store sbc/frantar

Designs: ``frantar``, the 48 + 112 runs of arXiv:2309.08520 (the prior is centred on their losses); ``12`` runs of one
modality; ``400`` runs of one modality; ``5x4``, five modalities with four structures each. Finished simulations are
kept in the store, so an interrupted run goes on where it stopped, and a longer one adds to it. Exits with 1 where a
quantity is outside its band.
"""

import argparse
import itertools
import json
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import xarray as xr

import bayes_scaling as bs
from bayes_scaling.validate.sbc import sbc

LOSS = 3.0
"""Of every run of an invented design: the prior is centred there, and truths come from the prior."""


def swept(modality: str, sizes: int, data: int, sparsities: dict[str, list[float]], copies: int = 1) -> pd.DataFrame:
    """A full grid: sizes from 1e7 and data from 1e9, four times as many at each step; dense runs among them."""
    cells = [("dense", 0.0), *((structure, s) for structure, several in sparsities.items() for s in several)]
    grid = itertools.product(cells, 1e7 * 4.0 ** np.arange(sizes), 1e9 * 4.0 ** np.arange(data), range(copies))
    rows = [(structure, s, n, d) for (structure, s), n, d, _ in grid]
    table = pd.DataFrame(rows, columns=["structure", "sparsity", "nonzero_params", "data_seen"])
    return table.assign(modality=modality, loss=LOSS)


def design(name: str) -> xr.Dataset:
    if name == "frantar":
        return bs.datasets.load("frantar2023")
    if name == "12":
        return bs.load_runs(swept("language", 3, 2, {"unstructured": [0.75]}))
    if name == "400":
        levels = [0.25, 0.5, 0.625, 0.75, 0.875, 0.9375, 0.96875]
        return bs.load_runs(swept("language", 5, 5, {"unstructured": levels}, copies=2))
    structures = {"unstructured": [0.5, 0.875], "2:4": [0.5], "1:4": [0.75], "block": [0.5, 0.875]}
    modalities = ("language", "vision", "audio", "code", "protein")
    return bs.load_runs(pd.concat([swept(m, 3, 3, structures) for m in modalities], ignore_index=True))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--design", choices=["frantar", "12", "400", "5x4"], default="frantar")
    parser.add_argument("--law", default="sparse")
    parser.add_argument("--kind", choices=["prior", "posterior"], default="prior", help="where truths come from")
    parser.add_argument("--simulations", type=int, default=300)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--populations", action="store_true", help="rank population means and spreads, too")
    parser.add_argument("--store", type=Path, help="folder for finished simulations")
    parser.add_argument("--out", type=Path, help="where the verdict goes as JSON, and the ranks beside it as NetCDF")
    args = parser.parse_args()
    found = sbc(
        design(args.design),
        args.law,
        simulations=args.simulations,
        seed=args.seed,
        kind=args.kind,
        of=("coefficients", "decision", *["populations"] * args.populations),
        store=args.store,
    )
    print(found)
    if args.out:
        args.out.write_text(json.dumps(found.to_dict(), indent=1))
        found.ranks.to_netcdf(args.out.with_suffix(".nc"), engine="h5netcdf")
    sys.exit(0 if found.ok else 1)


if __name__ == "__main__":
    main()
