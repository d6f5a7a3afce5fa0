from dataclasses import dataclass

import numpy as np
import pytest
import xarray as xr
from helpers import NOTEBOOK, paper_loss, physical
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import huber

from bayes_scaling import laws
from bayes_scaling.errors import InputError
from bayes_scaling.laws.base import Law
from bayes_scaling.laws.sparse import Sparse

SPARSE = laws.get("sparse")

# facts of arXiv:2309.08520 and its recomputation: dense parameters per non-zero parameter at equal loss
MULTIPLIERS = {
    "vit": {0.5: 1.596, 0.75: 2.172, 0.875: 2.634, 0.9375: 2.958, 1 - 1e-15: 3.47},
    "t5": {0.5: 1.586, 0.75: 2.157, 0.875: 2.630, 0.9375: 2.981, 1 - 1e-15: 3.64},
    "t5 best": {0.5: 1.772, 0.75: 2.270, 0.875: 2.512, 0.9375: 2.616, 1 - 1e-15: 2.69},
}
PRINTED = {"vit": "vit-jft", "t5": "t5-c4"}


def points(count=50, seed=3):
    rng = np.random.default_rng(seed)
    return {
        "sparsity": rng.uniform(0, 0.99, count),
        "nonzero_params": 10 ** rng.uniform(4, 11, count),
        "data_seen": 10 ** rng.uniform(5, 12, count),
        "pretrain_data": 10 ** rng.uniform(5, 12, count),
    }


def coefficients(count=50, seed=4):
    rng = np.random.default_rng(seed)
    names = ("a_S", "b_S", "c_S", "b_N", "a_D", "b_D", "c", "rho")
    scale = dict.fromkeys(names, 1.0) | {"a_S": 100.0, "c_S": 100.0, "a_D": 1e8}
    return {name: scale[name] * rng.uniform(0.1, 1.0, count) for name in names}


def test_one_formula_serves_numpy_xarray_and_pytensor():
    import pytensor.tensor as pt

    x, k = points(), coefficients()
    expected = paper_loss(
        x["sparsity"],
        x["nonzero_params"],
        x["data_seen"] + k["rho"] * x["pretrain_data"],
        **{name: value for name, value in k.items() if name != "rho"},
    )
    by_numpy = SPARSE.loss(**x, **k)
    by_xarray = SPARSE.loss(
        **{name: xr.DataArray(v, dims="run") for name, v in x.items()},
        **{name: xr.DataArray(v, dims="run") for name, v in k.items()},
    )
    by_pytensor = SPARSE.loss(
        **{name: pt.as_tensor(v) for name, v in x.items()}, **{name: pt.as_tensor(v) for name, v in k.items()}
    ).eval(mode="FAST_COMPILE")
    for found in (by_numpy, by_xarray.to_numpy(), by_pytensor):
        np.testing.assert_allclose(found, expected, rtol=1e-12)
    multiplier = SPARSE.dense_equivalent(x["sparsity"], **k)
    as_tensors = SPARSE.dense_equivalent(
        pt.as_tensor(x["sparsity"]), **{name: pt.as_tensor(v) for name, v in k.items()}
    )
    np.testing.assert_allclose(as_tensors.eval(mode="FAST_COMPILE"), multiplier, rtol=1e-12)


def test_pretraining_data_count_only_at_their_rate():
    x, k = points(), coefficients()
    scratch = {name: value for name, value in k.items() if name != "rho"}
    without = {name: value for name, value in x.items() if name != "pretrain_data"}
    np.testing.assert_array_equal(SPARSE.loss(**x, **scratch), SPARSE.loss(**without, **scratch))
    np.testing.assert_array_equal(SPARSE.loss(**x, **k | {"rho": 0.0}), SPARSE.loss(**without, **scratch))
    whole = SPARSE.loss(**x, **k | {"rho": 1.0})
    more_data = without | {"data_seen": x["data_seen"] + x["pretrain_data"]}
    np.testing.assert_allclose(whole, SPARSE.loss(**more_data, **scratch), rtol=1e-14)


shares = st.tuples(*[st.floats(0.05, 1.0)] * 3)
positive = st.floats(0.05, 2.0)


@settings(max_examples=200, deadline=None)
@given(
    share=shares,
    level=st.floats(0.1, 20),
    b_N=positive,
    b_D=positive,
    b_S=positive,
    floor=st.floats(0.01, 0.99),
    N0=st.floats(1e3, 1e10),
    D0=st.floats(1e3, 1e12),
)
def test_the_reference_point_is_only_a_choice_of_units(share, level, b_N, b_D, b_S, floor, N0, D0):
    size, data, rest = np.array(share) / sum(share)
    quantities = {
        "reference_loss": level, "size": size, "data": data, "irreducible": rest,
        "b_N": b_N, "b_D": b_D, "b_S": b_S, "floor": floor,
    }  # fmt: skip
    relative = SPARSE.from_shares(**quantities)
    absolute = SPARSE.from_shares(**quantities, nonzero_params=N0, data_seen=D0)
    assert "rho" not in relative
    assert SPARSE.from_shares(**quantities, rho=0.3)["rho"] == 0.3
    for S, n, d in [(0, 1, 1), (0.5, 7.0, 0.1), (0.9, 0.02, 30.0)]:
        loss = SPARSE.loss(S, n * N0, d * D0, **absolute)
        assert loss == pytest.approx(SPARSE.loss(S, n, d, **relative), rel=1e-9)
    # at the reference point the terms are what the shares say
    assert SPARSE.loss(0, N0, D0, **absolute) == pytest.approx(level, rel=1e-9)
    assert absolute["c"] == pytest.approx(level * rest, rel=1e-12)
    assert (absolute["a_D"] / D0) ** b_D == pytest.approx(level * data, rel=1e-9)
    assert absolute["c_S"] / (absolute["a_S"] + absolute["c_S"]) == pytest.approx(floor, rel=1e-9)


@pytest.mark.parametrize("name", MULTIPLIERS)
def test_multipliers_of_the_paper(name):
    for sparsity, expected in MULTIPLIERS[name].items():
        digits = 7e-4 if sparsity < 0.99 else 6e-3
        assert SPARSE.dense_equivalent(sparsity, **physical(name)) == pytest.approx(expected, abs=digits)


@pytest.mark.parametrize("name", PRINTED)
def test_published_coefficients_are_the_notebook_in_physical_units(name):
    printed, exact = SPARSE.published[PRINTED[name]].coefficients, physical(name)
    assert printed.keys() == exact.keys()
    for key, value in exact.items():
        # a_S, c_S and a_D are printed with three or four digits
        assert printed[key] == pytest.approx(value, rel=1e-3 if key in ("a_S", "c_S", "a_D") else 1e-12), key
    for sparsity, expected in MULTIPLIERS[name].items():
        assert SPARSE.dense_equivalent(sparsity, **printed) == pytest.approx(expected, abs=0.006)


@pytest.mark.parametrize(
    ("name", "modality", "on_log", "delta", "objective", "rounding"),
    [
        ("vit", "vision", False, 0.01, 4.9290879e-4, 2e-3),
        ("t5", "language", True, 0.001, 7.6036053e-6, 2e-2),
        ("t5 best", "language", True, 0.001, 4.88012e-6, None),
    ],
)
def test_objective_on_the_real_runs(frantar_runs, name, modality, on_log, delta, objective, rounding):
    mine = frantar_runs.isel(run=np.flatnonzero((frantar_runs["modality"] == modality).to_numpy()))
    scale = np.log if on_log else np.asarray

    def value(k):
        columns = (mine[c].to_numpy() for c in ("sparsity", "nonzero_params", "data_seen"))
        return huber(delta, scale(mine["loss"].to_numpy()) - scale(SPARSE.loss(*columns, **k))).mean()

    assert value(physical(name)) == pytest.approx(objective, rel=1e-5 if rounding else 1e-4)
    if rounding:
        assert value(SPARSE.published[PRINTED[name]].coefficients) == pytest.approx(objective, rel=rounding)


def test_dense_equivalent_is_the_dense_size_with_the_same_loss():
    k = physical("t5 best")
    for S in (0.0, 0.3, 0.9):
        times = SPARSE.dense_equivalent(S, **k)
        assert paper_loss(0.0, times * 3e7, 5e9, **k) == pytest.approx(paper_loss(S, 3e7, 5e9, **k), rel=1e-12)
    assert SPARSE.dense_equivalent(0.0, **k) == 1


def test_every_law_says_what_it_is():
    for name in laws.names():
        law = laws.get(name)
        assert law.name == name
        assert "arXiv" in law.reference
        assert "L =" in law.latex
        assert law.priors
        for published in law.published.values():
            assert published.source
            assert set(published.coefficients) <= set(law.coefficients)
        for coefficient in law.coefficients.values():
            assert coefficient.units
            assert coefficient.meaning


def test_notebook_table_is_complete():
    assert set(PRINTED) < set(NOTEBOOK)


def test_a_law_is_registered_by_its_name(monkeypatch):
    monkeypatch.setattr(laws, "_LAWS", dict(laws._LAWS))

    @laws.register
    @dataclass(frozen=True)
    class Mine(Sparse):
        name = "mine"

    assert Mine.__name__ == "Mine"  # register works as a decorator and gives the class back
    assert "mine" in laws.names()
    assert laws.names() == sorted(laws.names())
    assert isinstance(laws.get("mine"), Mine)
    assert isinstance(laws.get("mine"), Law)


def test_an_unknown_law_lists_the_names():
    with pytest.raises(InputError, match=r"'chinchila' is not known.*sparse"):
        laws.get("chinchila")
    assert "mine" not in laws.names()
