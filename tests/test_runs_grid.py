import numpy as np
import pytest
from run_tables import rows

from bayes_scaling.runs import InputError, grid, load_runs


def test_grid_of_the_t5_sweep(data_folder):
    runs = load_runs(data_folder / "frantar2023" / "runs.csv")
    t5 = runs.isel(run=runs["modality"].values == "language")
    cube = grid(t5)
    assert dict(cube["loss"].sizes) == {
        "modality": 1,
        "structure": 1,
        "nonzero_params": 4,
        "data_seen": 3,
        "sparsity": 4,
    }
    assert not cube["loss"].isnull().any()
    assert cube["loss"].attrs["units"] == "nats"
    for i in range(t5.sizes["run"]):
        run = t5.isel(run=i)
        where = {name: run[name].item() for name in ["modality", "nonzero_params", "data_seen", "sparsity"]}
        cell = cube.sel(where | {"structure": "unstructured"})
        assert cell["loss"].item() == run["loss"].item()
        assert cell["run_id"].item() == run["run_id"].item()


def test_grid_of_two_modalities_finds_every_loss(data_folder):
    runs = load_runs(data_folder / "frantar2023" / "runs.csv")
    cube = grid(runs)
    assert "replicate" not in cube.dims
    assert np.array_equal(np.sort(cube["loss"].values[~np.isnan(cube["loss"].values)]), np.sort(runs["loss"].values))
    assert cube["run_id"].sel(modality="vision", sparsity=0.9375).values.astype(bool).sum() == 8


def test_grid_shares_dense_runs_and_stacks_replicates():
    base = rows()[0]
    table = [
        {**base, "run_id": "dense"},
        {**base, "run_id": "u1", "sparsity": 0.5, "loss": 3.0, "seed": 1},
        {**base, "run_id": "u2", "sparsity": 0.5, "loss": 3.1, "seed": 2},
        {**base, "run_id": "s", "sparsity": 0.5, "structure": "2:4", "loss": 3.2},
        {**base, "run_id": "v", "modality": "vision"},
    ]
    table = [{"modality": "language", **run} for run in table]
    cube = grid(load_runs(table))
    assert cube["structure"].values.tolist() == ["2:4", "dense", "unstructured"]
    flat = cube.squeeze(drop=True).sel(modality="language")
    assert flat["run_id"].sel(sparsity=0.0, replicate=0).values.tolist() == ["dense", "", "dense"]
    assert flat["loss"].sel(sparsity=0.5, structure="unstructured").values.tolist() == [3.0, 3.1]
    assert flat["loss"].sel(sparsity=0.5, structure="2:4").isnull().values.tolist() == [False, True]
    by_seed = grid(load_runs(table[1:3]), by=["sparsity", "seed"])
    assert dict(by_seed.sizes) == {"sparsity": 1, "seed": 2}


def test_grid_has_strategies_only_where_there_are_several():
    assert "strategy" not in grid(load_runs(rows())).dims
    assert grid(load_runs(rows(strategy="pretrained"))).sizes["strategy"] == 2


def test_grid_refuses():
    with pytest.raises(InputError, match="the run table has no column 'depth'"):
        grid(load_runs(rows()), by=["depth"])
    many = [{"sparsity": 0, "nonzero_params": i, "data_seen": i, "loss": 1} for i in range(1, 3300)]
    with pytest.raises(InputError, match="has 10,883,401 cells, too many for 3299 runs"):
        grid(load_runs(many))
