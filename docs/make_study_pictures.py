"""Draws the pictures of pages about studies: python docs/make_study_pictures.py FOLDER

FOLDER holds the public data, as zhang2024_batch/runs.csv, autoscale2024/gpt2large_ppl.csv and
lin2024_finetuning/runs.csv.
"""

import io
import sys
from pathlib import Path

import matplotlib as mpl
from matplotlib.figure import Figure
from PIL import Image

import bayes_scaling as bs

mpl.use("Agg")
HERE = Path(__file__).parent
sys.path.append(str(HERE.parent / "benchmarks"))


def save(figure: Figure, name: str) -> None:
    """A small file: 64 colours are enough for lines and shades."""
    out = io.BytesIO()
    figure.savefig(out, dpi=90)
    Image.open(out).convert("RGB").quantize(64, dither=Image.Dither.NONE).save(HERE / name, optimize=True)


def main(data: Path) -> None:
    """Fit what the pictures show, and draw them."""
    from finetuning import curves
    from public_laws import autoscale_rows

    save(bs.plot_steps(bs.batch.fit(data / "zhang2024_batch" / "runs.csv")), "batch.png")
    save(bs.plot_mixture(bs.mixture.fit(autoscale_rows(data)), 7), "mixture.png")
    save(bs.plot_transfer(bs.transfer.fit(bs.datasets.load("transfer"))), "effective_data.png")
    flan = curves(data).query("setting == 'flan'")
    some = flan[flan["model"].isin(flan["model"].unique()[::5])]  # thirty curves are no picture
    save(bs.plot_rectified(bs.rectified.fit(some)), "finetuning.png")
    save(bs.plot_effects(bs.effects.fit(bs.datasets.load("regularisers"))), "effects.png")
    model = bs.solvable.Model(latent=600, alpha=0.5, noise_variance=0.01)
    save(bs.plot_descent(model, 100), "solvable.png")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
