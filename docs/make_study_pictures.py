"""Draws the pictures of batch.md, mixture.md and solvable.md: python docs/make_study_pictures.py FOLDER

FOLDER holds the public data, as zhang2024_batch/runs.csv and autoscale2024/gpt2large_ppl.csv.
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
    from public_laws import autoscale_rows

    save(bs.plot_steps(bs.batch.fit(data / "zhang2024_batch" / "runs.csv")), "batch.png")
    save(bs.plot_mixture(bs.mixture.fit(autoscale_rows(data)), 7), "mixture.png")
    model = bs.solvable.Model(latent=600, alpha=0.5, noise_variance=0.01)
    save(bs.plot_descent(model, 100), "solvable.png")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
