"""Every question has an answer under a law of dense models."""

import json

import numpy as np
import pytest
from helpers import codes

import bayes_scaling as bs


@pytest.fixture(scope="module")
def posterior():
    rng = np.random.default_rng(0)
    rows = [
        {"nonzero_params": n, "data_seen": d, "sparsity": 0.0, "modality": "language"}
        for n in np.geomspace(1e7, 1e9, 5)
        for d in np.geomspace(1e9, 1e11, 5)
    ]
    law = bs.laws.get("dense")
    at = law.published["chinchilla-refit"].coefficients
    for row in rows:
        exact = law.loss(0.0, row["nonzero_params"], row["data_seen"], **at)
        row["loss"] = exact * np.exp(0.002 * rng.standard_normal())
    return bs.fit(rows, law="dense", seed=0, progressbar=False)


def test_its_truth_lies_in_its_intervals(posterior):
    at = bs.laws.get("dense").published["chinchilla-refit"].coefficients
    draws = posterior["posterior"].to_dataset().isel(modality=0)
    for name, value in at.items():
        low, high = draws[name].quantile([0.005, 0.995]).to_numpy()
        assert low < value < high, name
    assert "a_S" not in draws
    assert json.loads(posterior.attrs["diagnostics"])["ok"]
    assert "no_sparse_runs" not in codes(json.loads(posterior.attrs["notes"]))


def test_only_dense_models_are_recommended(posterior):
    found = bs.recommend(posterior, nonzero_params=1e8, train_flops=1e20)
    answer = found.to_dict()["answers"][0]
    assert answer["recommended"]["sparsity"] == 0
    assert answer["optimal_sparsity"]["probability_zero"] == 1
    noted = codes(answer["notes"])
    assert "law_of_dense_models" in noted
    assert not set(noted) & {"unseen_pair", "optimum_at_zero"}


def test_size_and_data_are_allocated_and_losses_predicted(posterior):
    found = bs.allocate(posterior, train_flops=1e20)
    assert "language" in str(found)
    loss = bs.predict(posterior, [{"nonzero_params": 1e8, "data_seen": 1e10, "sparsity": 0.0}])
    at = bs.laws.get("dense").published["chinchilla-refit"].coefficients
    assert float(loss.median()) == pytest.approx(float(bs.laws.get("dense").loss(0.0, 1e8, 1e10, **at)), rel=0.005)
