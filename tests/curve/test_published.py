"""benchmarks/published_curves.py gives the errors of arXiv:2209.06640's own estimates."""

import importlib.util
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

ROOT = Path(__file__).resolve().parents[2]

EVERY = {"M1": 1, "M2": 12, "M3": 6, "M4": 12}
"""Thousands of turns a curve: a few curves are enough where each is compared to six digits."""


@pytest.fixture(scope="module")
def estimates():
    spec = importlib.util.spec_from_file_location("published_curves", ROOT / "benchmarks" / "published_curves.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.ESTIMATES


@pytest.mark.parametrize("name", sorted(EVERY))
def test_held_out_errors_are_the_published_ones(estimates, vision, data_folder, name):
    training, later = vision
    reference = pd.read_csv(data_folder / "alabdulmohsin2022_vision" / "reference_rmse.csv", index_col="curve_id")
    for curve in reference.index[:: EVERY[name]]:
        fitted, held_out = (part[part["curve"] == curve].sort_values("x") for part in (training, later))
        forecast = estimates[name](fitted["x"].to_numpy(float), fitted["loss"].to_numpy())
        off = np.log(forecast(held_out["x"].to_numpy(float))) - np.log(held_out["loss"].to_numpy())
        expected = reference.loc[curve, f"rmse_log_{name.lower()}"]
        assert np.sqrt(np.mean(off**2)) == pytest.approx(expected, abs=1e-6)
