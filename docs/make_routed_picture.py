"""Draws the picture of routed.md: python docs/make_routed_picture.py FOLDER

FOLDER holds the public data, as clark2022_routing/final_step_eq1_subset.csv.
"""

import io
import sys
from pathlib import Path

import matplotlib as mpl
import numpy as np
import xarray as xr
from matplotlib.figure import Figure
from PIL import Image

import bayes_scaling as bs
from bayes_scaling.display import count
from bayes_scaling.intervals import PROB
from bayes_scaling.plots.axes import band, log_ticks
from bayes_scaling.plots.questions import quantiles, runs_of
from bayes_scaling.plots.style import grid_of, key, look_of, percent, shades

mpl.use("Agg")
HERE = Path(__file__).parent
sys.path.append(str(HERE.parent / "benchmarks"))

ROUTERS = ("S-Base", "RL-R", "Hash")
SIZE = 1.3e8
EXPERTS = np.geomspace(1, 2048, 80)
MOST = 512
"""Experts that any run had."""


def picture(posterior: xr.DataTree) -> Figure:
    """Losses of one router over experts, and what experts are worth under all three."""
    figure, ((left, right),) = grid_of(1, 2, width=5.2, height=4.6)
    sparsity = 1 - 1 / EXPERTS
    beyond = EXPERTS > MOST
    runs = runs_of(posterior, "language")
    mine = runs.isel(run=np.flatnonzero(np.isin(runs["structure"].to_numpy(), ["S-Base", "dense"])))
    sizes = np.unique(mine["nonzero_params"].to_numpy())
    for size, look in zip(sizes, shades(len(sizes)), strict=True):
        asked = [
            {"sparsity": s, "nonzero_params": size, "data_seen": float(runs["data_seen"].median()),
             "structure": "S-Base" if s > 0 else "dense"}
            for s in sparsity
        ]  # fmt: skip
        band(left, EXPERTS, quantiles(bs.predict(posterior, asked), PROB), beyond, color=look["color"])
        here = mine.isel(run=np.flatnonzero(mine["nonzero_params"].to_numpy() == size))
        at = 1 / (1 - here["sparsity"].to_numpy())
        left.plot(at, here["loss"], ls="", ms=5, mec="white", mew=0.5, **look, label=f"N = {count(size)}")
    left.set(xlabel="experts E", ylabel="held-out loss (nats per token)", title="S-Base: loss by active parameters N")
    left.set_yscale("log")
    log_ticks(left.yaxis, "number")
    left.legend(frameon=False, fontsize="small", ncols=2, loc="lower left")
    looks = look_of(ROUTERS)
    for router in ROUTERS:
        point = xr.DataArray(sparsity, dims="point")
        draws = bs.dense_equivalent(posterior, point, "language", router, nonzero_params=SIZE)
        band(right, EXPERTS, quantiles(draws, PROB), beyond, **looks[router], label=router)
    right.axhline(1, color="0.6", lw=0.8, zorder=0)
    right.set(xlabel="experts E", ylabel="dense parameters per active one (×)", ylim=(0.8, None))
    right.set_title(f"What experts are worth at N = {count(SIZE)}")
    right.legend(frameon=False, loc="upper left", title="router")
    for ax in (left, right):
        ax.set_xscale("log", base=2)
        ax.set_xticks([1, 4, 16, 64, 256, 1024], ["1", "4", "16", "64", "256", "1,024"])
        ax.set_xlim(1, EXPERTS[-1])
    key(figure, band=f"{percent(PROB)} interval, expected loss", beyond=True, runs="runs")
    return figure


def save(figure: Figure, name: str) -> None:
    """A small file: 64 colours are enough for lines and shades."""
    out = io.BytesIO()
    figure.savefig(out, dpi=90)
    Image.open(out).convert("RGB").quantize(64, dither=Image.Dither.NONE).save(HERE / name, optimize=True)


if __name__ == "__main__":
    from public_points import clark_runs

    save(picture(bs.fit(clark_runs(Path(sys.argv[1])), "routed", seed=0)), "routed.png")
