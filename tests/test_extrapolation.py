import numpy as np
import pytest
from helpers import hand_built, one_modality, random_coefficients

from bayes_scaling.decide import costs
from bayes_scaling.extrapolation import AXES, extrapolation

INSIDE = {"nonzero_params": 8e6, "data_seen": 4e9, "sparsity": 0.6}


def measured(rows=None, structure="unstructured", **where):
    posterior = hand_built(random_coefficients(0, 3), one_modality() if rows is None else rows)
    return extrapolation(posterior, "language", structure, **INSIDE | where)


def test_zeros_inside():
    assert measured() == dict.fromkeys(AXES, 0.0)
    assert set(AXES) == {"nonzero_params", "data_seen", "sparsity", "train_flops"}


@pytest.mark.parametrize("row", one_modality()[::5], ids=lambda row: row["run_id"])
def test_the_runs_themselves_are_inside(row):
    at = {name: row[name] for name in INSIDE}
    assert measured(structure=row["structure"], **at) == dict.fromkeys(AXES, 0.0)


@pytest.mark.parametrize(
    ("where", "axis", "nats"),
    [
        ({"nonzero_params": 6.4e8}, "nonzero_params", np.log(10)),
        ({"nonzero_params": 1e5}, "nonzero_params", np.log(10)),
        ({"data_seen": 3.2e12}, "data_seen", np.log(100)),
        ({"data_seen": 5e7}, "data_seen", np.log(10)),
        ({"sparsity": 0.9375}, "sparsity", np.log(2)),
    ],
)
def test_nats_beyond(where, axis, nats):
    found = measured(**where)
    assert found[axis] == pytest.approx(nats, rel=1e-9)
    assert all(found[other] == 0 for other in AXES if other not in (axis, "train_flops"))


def test_the_corner_of_two_axes_is_beyond_in_compute():
    """Inside in size and in data, outside in their product."""
    rows = [row for row in one_modality() if row["nonzero_params"] * row["data_seen"] < 1e17]
    corner = {"nonzero_params": 6.4e7, "data_seen": 3.2e10, "sparsity": 0.0}
    found = measured(rows, "dense", **corner)
    flops = [6 * r["nonzero_params"] * r["data_seen"] * costs.get("gradual").multiplier(r["sparsity"]) for r in rows]
    assert found["nonzero_params"] == found["data_seen"] == found["sparsity"] == 0
    assert found["train_flops"] == pytest.approx(np.log(6 * 6.4e7 * 3.2e10 / max(flops)), rel=1e-9)


def test_sparsity_is_measured_against_the_same_structure():
    rows = [*one_modality(), one_modality()[0] | {"run_id": "p", "structure": "2:4", "sparsity": 0.5}]
    assert measured(rows, "2:4", sparsity=0.75)["sparsity"] == pytest.approx(np.log(2))
    assert measured(rows, "unstructured", sparsity=0.75)["sparsity"] == 0
    # a structure without runs is measured against all
    assert measured(rows, "1:4", sparsity=0.75)["sparsity"] == 0
    assert measured(rows, "1:16", sparsity=0.9375)["sparsity"] == pytest.approx(np.log(2))


def test_a_modality_without_dense_runs():
    rows = [row for row in one_modality() if row["sparsity"] > 0]
    for structure in ("dense", "unstructured", "2:4"):
        found = measured(rows, structure, sparsity=0.0)
        assert found["sparsity"] == pytest.approx(np.log(2))  # the runs' largest density is one half


def test_other_modalities_do_not_count():
    rows = [*one_modality(), one_modality()[0] | {"run_id": "v", "modality": "vision", "nonzero_params": 1e12}]
    assert measured(rows, nonzero_params=6.4e8)["nonzero_params"] == pytest.approx(np.log(10))


def test_compute_is_compared_under_the_cost_asked_for():
    at = {"nonzero_params": 6.4e7, "data_seen": 3.2e10, "sparsity": 0.875}
    assert measured(**at)["train_flops"] == 0
    assert measured(**at, cost="dense")["train_flops"] == 0
    further = {**at, "data_seen": 6.4e10}
    assert measured(**further)["train_flops"] == pytest.approx(np.log(2))
    rows = [row for row in one_modality() if row["sparsity"] < 0.8]
    assert measured(rows, **at, cost="dense")["train_flops"] == pytest.approx(np.log(2))
    assert measured(rows, **at)["train_flops"] == pytest.approx(np.log(3.625 / 2.125))
