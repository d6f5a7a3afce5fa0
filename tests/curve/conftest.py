import numpy as np
import pandas as pd
import pytest


@pytest.fixture(scope="session")
def vision(data_folder):
    """The training and the held-out parts of the 72 curves of arXiv:2209.06640."""
    path = data_folder / "alabdulmohsin2022_vision" / "curves.csv"
    if not path.is_file():
        pytest.skip(f"no learning curves at {path}")
    table = pd.read_csv(path).rename(columns={"curve_id": "curve", "data_seen": "x"})
    return table[table["training"] == 1], table[table["training"] == 0]


@pytest.fixture(scope="session")
def simulated():
    """Twelve curves that M2 made, with noise: their table, what it would be without noise, and further points."""
    rng = np.random.default_rng(5)
    x = np.geomspace(1e6, 1e9, 40)
    rows, later = [], []
    for i in range(12):
        floor, power, height = rng.uniform(1.5, 2.0), rng.uniform(0.25, 0.4), rng.uniform(80, 400)
        for at, into in ((x, rows), (np.geomspace(1.2e9, 8e9, 12), later)):
            clean = height * at**-power + floor
            noisy = clean * np.exp(0.005 * rng.standard_normal(len(at)))
            into.append(pd.DataFrame({"curve": f"run {i}", "x": at, "loss": noisy, "clean": clean}))
    return pd.concat(rows, ignore_index=True), pd.concat(later, ignore_index=True)
