"""Draws the pictures of README and docs: python docs/make_pictures.py (needs the data set frantar2023)."""

import io
from pathlib import Path

import matplotlib as mpl
from matplotlib.figure import Figure
from PIL import Image

import bayes_scaling as bs
from bayes_scaling.demo import questions

mpl.use("Agg")
HERE = Path(__file__).parent


def save(figure: Figure, name: str) -> None:
    """A small file: 64 colours are enough for lines and shades."""
    out = io.BytesIO()
    figure.savefig(out, dpi=90)
    Image.open(out).convert("RGB").quantize(64, dither=Image.Dither.NONE).save(HERE / name, optimize=True)


published = bs.datasets.load("frantar2023")
decision = bs.fit(published, seed=0)
question = {"modality": "vision", "structure": "unstructured", "flops_per_unit": 6 * 196}
save(bs.plot_optimal_sparsity(decision, 1e8, **question), "decision_budget.png")
save(bs.plot_optimal_map(decision, **question), "decision_map.png")

paper = bs.fit(published, "sparse", seed=0)
bs.plot_prior_predictive(paper).savefig(HERE / "prior_predictive.png", dpi=90)

sweep = bs.datasets.load("structures")
runs = sweep.isel(run=sweep["strategy"].to_numpy() == "scratch")
shipped = bs.fit(runs, "sparse", seed=0)  # what `bayes-scaling demo` fits
asked = questions(runs)[-1]
language = {"modality": asked.modality, "structure": ["unstructured", "2:4"], "flops_per_unit": asked.flops_per_unit}
save(bs.plot_optimal_sparsity(shipped, asked.nonzero_params, **language), "optimal_sparsity.png")
save(bs.plot_losses(bs.fit(bs.datasets.load("python-stdlib"), seed=0)), "losses.png")
