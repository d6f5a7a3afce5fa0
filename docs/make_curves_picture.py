"""Draws the picture of docs/curves.md: python docs/make_curves_picture.py (the curves lie in BAYES_SCALING_DATA)."""

import io
import os
from pathlib import Path

import matplotlib as mpl
import pandas as pd
from PIL import Image

import bayes_scaling as bs

mpl.use("Agg")

table = pd.read_csv(Path(os.environ["BAYES_SCALING_DATA"]) / "alabdulmohsin2022_vision" / "curves.csv")
table = table.rename(columns={"curve_id": "curve", "data_seen": "x"})
seen, later = (table[table["training"] == part] for part in (1, 0))
posterior = bs.curve.fit(seen, isotonic=True)
# Two models and two numbers of shots of each data set, by their place in the table.
shown = table["curve"].unique()[[0, 8, 21, 31, 38, 53, 57, 71]]
figure = bs.curve.plot(posterior, shown.tolist(), later=later, times=2.5)
out = io.BytesIO()
figure.savefig(out, dpi=80)
picture = Image.open(out).convert("RGB").quantize(64, dither=Image.Dither.NONE)
picture.save(Path(__file__).parent / "learning_curves.png", optimize=True)
