import numpy as np
import pytest
from helpers import hand_built, one_modality, random_coefficients

import bayes_scaling as bs
from bayes_scaling.discrepancy import SCALE, add_discrepancy, at_runs, log_discrepancy

INSIDE = {"nonzero_params": 8e6, "data_seen": 4e9, "sparsity": 0.5}


@pytest.fixture
def posterior():
    tree = hand_built(random_coefficients(0, 4000), one_modality())
    add_discrepancy(tree, SCALE, np.random.default_rng(1))
    return tree


def missed(posterior, structure="unstructured", **where):
    return log_discrepancy(posterior, "language", structure, **INSIDE | where)


def test_nothing_inside(posterior):
    assert missed(posterior) == 0.0
    rows = one_modality()
    columns = {n: [row[n] for row in rows] for n in ("modality", "structure", *INSIDE)}
    assert (at_runs(posterior, columns) == 0).all()


@pytest.mark.parametrize(
    ("where", "nats"),
    [
        ({"nonzero_params": 6.4e8}, np.log(10)),
        ({"nonzero_params": 1e5}, np.log(10)),
        ({"data_seen": 3.2e12}, np.log(100)),
        ({"sparsity": 0.9375}, np.log(2)),
    ],
)
def test_grows_with_the_distance(posterior, where, nats):
    added = missed(posterior, **where)
    assert float(added.mean()) == pytest.approx(0, abs=4 * SCALE * nats / np.sqrt(4000))
    assert float(added.std()) == pytest.approx(SCALE * nats, rel=0.06)
    name, value = next(iter(where.items()))
    if name != "sparsity":
        further = missed(posterior, **{name: value * (10 if value > 1e6 else 0.1)})
        np.testing.assert_allclose(further, added * (nats + np.log(10)) / nats, rtol=1e-9)


def test_sides_and_axes_are_apart(posterior):
    below, above = missed(posterior, nonzero_params=1e5), missed(posterior, nonzero_params=6.4e8)
    data = missed(posterior, data_seen=3.2e11)
    for one, other in ((below, above), (above, data)):
        assert abs(np.corrcoef(one.to_numpy().ravel(), other.to_numpy().ravel())[0, 1]) < 0.06
    both = missed(posterior, nonzero_params=6.4e8, data_seen=3.2e11)
    np.testing.assert_allclose(both, above + data, rtol=1e-9)


def test_compute_counts_where_it_exceeds_size_and_data():
    """Without its largest corner, a design ends in compute before it ends in size and data."""
    rows = [row for row in one_modality() if row["nonzero_params"] * row["data_seen"] < 1e17]
    posterior = hand_built(random_coefficients(0, 4000), rows)
    add_discrepancy(posterior, SCALE, np.random.default_rng(1))
    corner = missed(posterior, nonzero_params=6.4e7, data_seen=3.2e10, sparsity=0.0)
    flops = max(
        6 * r["nonzero_params"] * r["data_seen"] * bs.costs.get("gradual").multiplier(r["sparsity"]) for r in rows
    )
    nats = np.log(6 * 6.4e7 * 3.2e10 / flops)
    assert float(corner.std()) == pytest.approx(SCALE * nats, rel=0.06)


def test_runs_of_several_kinds(posterior):
    rows = [
        INSIDE | {"modality": "language", "structure": "unstructured", "data_seen": 3.2e11},
        INSIDE | {"modality": "language", "structure": "dense", "sparsity": 0.0},
        INSIDE | {"modality": "language", "structure": "unstructured", "nonzero_params": 6.4e8},
    ]
    added = at_runs(posterior, {n: [row[n] for row in rows] for n in rows[0]})
    np.testing.assert_allclose(added.isel(run=0), missed(posterior, data_seen=3.2e11))
    assert (added.isel(run=1) == 0).all()
    np.testing.assert_allclose(added.isel(run=2), missed(posterior, nonzero_params=6.4e8))


def test_predictions_carry_it_and_functions_do_not(single, tmp_path):
    without = single.copy()
    del without["discrepancy"]
    far = [{"run_id": "far", "sparsity": 0.75, "nonzero_params": 1e9, "data_seen": 1e12, "modality": "language"}]
    near = [{"run_id": "near", "sparsity": 0.75, "nonzero_params": 8e6, "data_seen": 4e9, "modality": "language"}]
    np.testing.assert_array_equal(bs.predict(single, near), bs.predict(without, near))
    ratio = np.log(bs.predict(single, far) / bs.predict(without, far))
    assert float(ratio.std()) > 0.01
    question = {"nonzero_params": 1e9, "train_flops": 1e22}
    np.testing.assert_array_equal(bs.optimal_sparsity(single, **question), bs.optimal_sparsity(without, **question))
    np.testing.assert_array_equal(bs.dense_equivalent(single, 0.75), bs.dense_equivalent(without, 0.75))
    wide, narrow = (bs.recommend(p, **question).answers[0] for p in (single, without))
    assert wide.loss["upper"] - wide.loss["lower"] > narrow.loss["upper"] - narrow.loss["lower"]
    loaded = bs.load(bs.save(single, tmp_path / "p.nc"))
    np.testing.assert_array_equal(bs.predict(loaded, far), bs.predict(single, far))


def test_it_can_be_switched_off():
    posterior = bs.fit(one_modality(), law="sparse", draws=200, chains=2, discrepancy=False, progressbar=False)
    assert (posterior["discrepancy"]["slope"] == 0).all()
