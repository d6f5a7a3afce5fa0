from dataclasses import dataclass

import numpy as np
import pytest
import xarray as xr
from helpers import TRUTH, codes, one_modality, paper_loss, simulate, two_modalities, two_starts
from scipy.special import huber

import bayes_scaling as bs
from bayes_scaling import laws
from bayes_scaling.design import design_of
from bayes_scaling.laws.base import CELL, Coefficient, Law, Pooled, Rough, Shares
from bayes_scaling.misfit import misfit_of
from bayes_scaling.point_fit import point_fit

NAMES = ("a_S", "b_S", "c_S", "b_N", "a_D", "b_D", "c")


def one(point, modality="language", structure="unstructured"):
    """The coefficients of one modality and structure as numbers."""
    at = point.coefficients.sel(modality=modality, structure=structure)
    return {str(name): float(values) for name, values in at.data_vars.items()}


def missed(rows, on, k):
    """Residuals of the paper's law, by its own formula."""
    columns = ("sparsity", "nonzero_params", "data_seen", "loss")
    S, N, D, L = (np.array([row[c] for row in rows]) for c in columns)
    fitted = paper_loss(S, N, D, **k)
    return np.log(fitted / L) if on == "log" else fitted - L


@pytest.mark.parametrize("sweep", [two_modalities, two_starts, one_modality])
@pytest.mark.parametrize("on", ["log", "loss"])
def test_gradients_are_exact(sweep, on):
    design = design_of(bs.load_runs(sweep()))
    for i in range(len(design.modality)):
        misfit = misfit_of(laws.get("sparse"), design, i, on_log=on == "log", delta=0.01)
        rng = np.random.default_rng(i)
        point, step = misfit.drawn(rng), 1e-6
        slope = misfit.value(point)[1]
        for j in range(point.size):
            up, down = point.copy(), point.copy()
            up[j], down[j] = point[j] + step, point[j] - step
            by_difference = (misfit.value(up)[0] - misfit.value(down)[0]) / (2 * step)
            assert slope[j] == pytest.approx(by_difference, rel=1e-5, abs=1e-9), j


@pytest.mark.parametrize(
    ("on", "objective", "delta"), [("log", "huber", 0.002), ("loss", "huber", 0.03), ("log", "squared", None)]
)
def test_the_objective_is_what_it_says(on, objective, delta):
    rows = one_modality()
    point = point_fit(rows, objective=objective, on=on, delta=delta)
    k = one(point)
    r = missed(rows, on, k)
    expected = huber(delta, r).mean() if delta else (r**2 / 2).mean()
    assert point.objective.item() == pytest.approx(expected, rel=1e-9)
    assert point.evaluate(k)["objective"].item() == pytest.approx(expected, rel=1e-9)
    assert point.evaluate(point.coefficients)["objective"].item() == point.objective.item()
    # and no coefficient can be moved without losing
    for name in NAMES:
        for factor in (0.999, 1.001):
            assert point.evaluate(k | {name: k[name] * factor})["objective"].item() > point.objective.item(), name


@pytest.mark.parametrize("objective", ["huber", "squared"])
def test_runs_without_noise_give_their_coefficients_back(objective):
    cells = [
        ("language", "unstructured", "scratch", [1e6, 8e6, 6.4e7], [5e8, 4e9, 3.2e10], [0, 0.5, 0.75, 0.875], 0),
        ("language", "2:4", "scratch", [1e6, 8e6], [5e8, 4e9], [0.5], 0),
        ("vision", "unstructured", "scratch", [1e6, 8e6, 6.4e7], [1e8, 4e8, 1.6e9], [0, 0.5, 0.75, 0.9], 0),
    ]
    rows = simulate([(m, s, t, TRUTH[m, s], *rest) for m, s, t, *rest in cells], noise=0.0)
    point = point_fit(rows, objective=objective)
    for modality in ("language", "vision"):
        for name in NAMES:
            expected = TRUTH[modality, "unstructured"][name]
            assert one(point, modality)[name] == pytest.approx(expected, rel=1e-4), (modality, name)
    # one sparsity gives one multiplier, whatever b_S and floor are
    times = laws.get("sparse").dense_equivalent(0.5, **one(point, "language", "2:4"))
    expected = laws.get("sparse").dense_equivalent(0.5, **TRUTH["language", "2:4"])
    assert float(times) == pytest.approx(float(expected), rel=1e-5)


def test_pretraining_data_count_at_their_rate():
    truth = TRUTH["language", "unstructured"]
    grid = ([1e6, 8e6, 6.4e7], [5e8, 4e9, 3.2e10], [0, 0.5, 0.75])
    rows = simulate(
        [
            ("language", "unstructured", "scratch", truth, *grid, 0),
            ("language", "unstructured", "pretrained", truth | {"rho": 0.4}, *grid[:2], [0.5, 0.75], 2e9),
        ],
        noise=0.0,
    )
    point = point_fit(rows)
    assert point.coefficients["b_S"].dims == ("modality", "structure", "strategy")
    assert point.coefficients["rho"].item() == pytest.approx(0.4, rel=1e-4)
    np.testing.assert_allclose(point.coefficients["b_S"], truth["b_S"], rtol=1e-4)
    np.testing.assert_allclose(point.predict(rows), [row["loss"] for row in rows], rtol=1e-6)


def test_starts_are_the_priors_centre_and_draws_of_the_priors():
    first, second = (point_fit(one_modality(), starts=1, seed=seed).coefficients for seed in (0, 1))
    xr.testing.assert_identical(first, second)
    design = design_of(bs.load_runs(one_modality(sparsities=[0])))
    misfit = misfit_of(laws.get("sparse"), design, 0, on_log=True, delta=1e-3)
    rng = np.random.default_rng(0)
    starts = np.stack([misfit.drawn(rng) for _ in range(400)])
    held = np.zeros(misfit.center.size, dtype=bool)
    held[misfit.slices["b_S"]] = held[misfit.slices["floor"]] = True
    np.testing.assert_array_equal(misfit.free, ~held)
    np.testing.assert_array_equal(starts[:, held], np.tile(misfit.center[held], (400, 1)))
    for name, sd in {"reference_loss": 0.5, "b_N": 0.6, "b_D": 0.6}.items():
        assert starts[:, misfit.slices[name]].std() == pytest.approx(sd, rel=0.15), name
        assert starts[:, misfit.slices[name]].mean() == pytest.approx(misfit.center[misfit.slices[name]], abs=0.1), name
    shares = misfit.quantities(starts)
    assert shares["size"].mean() == pytest.approx(1 / 3, abs=0.05)
    np.testing.assert_allclose(shares["size"] + shares["irreducible"] + shares["data"], 1, rtol=1e-12)


@dataclass(frozen=True)
class Powered(Law):
    """L = E + ((A/N)^alpha (1 - S)^s + (B/D)^beta)^k: nothing in it goes by a name of `sparse`."""

    name = "powered"
    reference = "tests"
    latex = ""
    coefficients = {  # noqa: RUF012
        "E": Coefficient("loss", ("modality",), "irreducible loss"),
        "A": Coefficient("parameters", CELL, "scale of the size term"),
        "B": Coefficient("data units", ("modality",), "scale of the data term"),
        "alpha": Coefficient("1", ("modality",), "exponent of size"),
        "beta": Coefficient("1", ("modality",), "exponent of data"),
        "k": Coefficient("1", ("modality",), "power of the sum"),
        "s": Coefficient("1", CELL, "exponent of density"),
    }
    published = {}  # noqa: RUF012

    def from_shares(self, *, nonzero_params=1.0, data_seen=1.0, **q):
        outer = (q["loss0"] * (q["by_size"] + q["by_data"])) ** (1 / q["k"])
        part = q["by_size"] / (q["by_size"] + q["by_data"])
        return {
            "E": q["loss0"] * q["rest"],
            "A": (outer * part) ** (1 / q["alpha"]) * nonzero_params + 0 * q["s"],
            "B": (outer * (1 - part)) ** (1 / q["beta"]) * data_seen,
            "alpha": q["alpha"],
            "beta": q["beta"],
            "k": q["k"],
            "s": q["s"],
        }

    def loss(self, sparsity, nonzero_params, data_seen, pretrain_data=0.0, *, E, A, B, alpha, beta, k, s):
        size = (A / nonzero_params) ** alpha * (1 - sparsity) ** s
        return E + (size + (B / (data_seen + 0 * pretrain_data)) ** beta) ** k


POWERED = Powered(
    {
        "loss0": Rough(0.5),
        "parts": Shares(("by_size", "rest", "by_data"), 1.5),
        "alpha": Pooled(0.3, 0.6, 0.4, "log", ("modality",)),
        "beta": Pooled(0.3, 0.6, 0.4, "log", ("modality",)),
        "k": Pooled(1.0, 0.5, 0.4, "log", ("modality",)),
        "s": Pooled(0.5, 0.6, 0.4, "log", CELL),
    }
)


def test_any_registered_law(monkeypatch):
    monkeypatch.setitem(laws._LAWS, "powered", POWERED)
    truth = {"E": 1.2, "A": 2e8, "B": 3e9, "alpha": 0.5, "beta": 0.4, "k": 0.7, "s": 0.3}
    columns = ("sparsity", "nonzero_params", "data_seen")
    grid = [(S, N, D) for S in (0, 0.5, 0.8) for N in 10.0 ** np.arange(6, 9) for D in 10.0 ** np.arange(8, 11)]
    rows = [dict(zip(columns, at, strict=True)) | {"loss": float(POWERED.loss(*at, **truth))} for at in grid]
    point = point_fit(rows, "powered", "squared")
    assert set(point.coefficients) == set(truth)
    for name, value in truth.items():
        assert point.coefficients[name].item() == pytest.approx(value, rel=1e-3), name
    assert codes(point.notes) == []
    np.testing.assert_allclose(point.predict(rows), [row["loss"] for row in rows], rtol=1e-6)
