import csv
from dataclasses import replace

import numpy as np
import pytest
import xarray as xr
from helpers import NOTEBOOK, codes, one_modality, paper_loss, physical, two_modalities
from scipy.optimize import minimize

from bayes_scaling import laws
from bayes_scaling.errors import InputError
from bayes_scaling.misfit import Misfit
from bayes_scaling.point_fit import point_fit

NAMES = ("a_S", "b_S", "c_S", "b_N", "a_D", "b_D", "c")
NEW = {"modality": "language", "structure": "unstructured", "sparsity": 0.6, "nonzero_params": 1e9, "data_seen": 1e11}


def of(runs, modality):
    return runs.isel(run=np.flatnonzero(runs["modality"].to_numpy() == modality))


def one(point, modality="language", structure="unstructured"):
    """The coefficients of one modality and structure as numbers."""
    at = point.coefficients.sel(modality=modality, structure=structure)
    return {str(name): float(values) for name, values in at.data_vars.items()}


# --- published numbers -----------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def t5(frantar_runs):
    """T5 as arXiv:2309.08520 fits it: Huber, 0.001 on the log loss."""
    return point_fit(of(frantar_runs, "language"), "sparse", "huber", starts=25)


@pytest.fixture(scope="module")
def vit(frantar_runs):
    """ViT as arXiv:2309.08520 fits it: Huber, 0.01 on the loss."""
    return point_fit(of(frantar_runs, "vision"), "sparse", "huber", on="loss", starts=25)


def test_t5s_published_coefficients_are_not_a_minimum(t5):
    published = t5.evaluate(laws.get("sparse").published["t5-c4"].coefficients).sel(modality="language")
    assert float(published["objective"]) == pytest.approx(7.6036053e-6, rel=1e-5)
    assert float(published["rmse"]) == pytest.approx(0.0253, abs=5e-5)
    assert float(published["max_relative_error"]) == pytest.approx(0.0271, abs=5e-5)
    assert float(t5.objective.sel(modality="language")) == pytest.approx(4.88012e-6, rel=1e-4)
    assert float(t5.scores["rmse"].sel(modality="language")) == pytest.approx(0.0163, abs=5e-5)
    assert float(t5.scores["max_relative_error"].sel(modality="language")) == pytest.approx(0.0159, abs=5e-5)


def test_t5s_best_minimum(t5):
    found = one(t5)
    for name, value in {"b_S": 1.345, "b_N": 0.2317, "b_D": 0.3846, "c": 0.8304}.items():
        assert found[name] == pytest.approx(value, abs=0.002), name
    for name, value in {"a_S": 10.71, "c_S": 41.62, "a_D": 6.77e8}.items():
        assert found[name] == pytest.approx(value, rel=1e-3), name
    assert found["b_D"] / (found["b_D"] + found["b_N"]) == pytest.approx(0.62, abs=0.005)
    assert found["a_S"] * found["b_S"] > found["b_N"] * (found["a_S"] + found["c_S"])  # sparsity pays at dense cost
    # in the units of the notebook: parameters in millions, data in 100,000 steps
    units, best = 1e6 ** found["b_N"], NOTEBOOK["t5 best"]
    data_term = (found["a_D"] / best["u_D"]) ** found["b_D"]
    notebook = [found["a_S"] / units, found["b_S"], found["c_S"] / units, found["b_N"], data_term, found["b_D"]]
    np.testing.assert_allclose([*notebook, found["c"]], [best[name] for name in "abcdefg"], rtol=2e-4)


def test_vits_published_coefficients_are_the_minimum(vit):
    published = vit.evaluate(laws.get("sparse").published["vit-jft"].coefficients).sel(modality="vision")
    assert float(published["objective"]) == pytest.approx(4.9290879e-4, rel=1e-5)
    assert float(vit.objective.sel(modality="vision")) == pytest.approx(4.9291e-4, rel=1e-4)
    assert float(published["rmse"]) == pytest.approx(0.0796, abs=1e-4)
    assert float(published["max_relative_error"]) == pytest.approx(0.0352, abs=1e-4)
    for name, value in physical("vit").items():
        assert one(vit, "vision")[name] == pytest.approx(value, rel=3e-3), name


def test_why_the_objective_is_scaled(t5):
    """From the published coefficients BFGS with its own tolerance stops at once; scaled it reaches the minimum."""
    design, misfit = t5._design, t5._misfits[0]
    k = physical("t5")
    size = (k["a_S"] + k["c_S"]) * design.nonzero_params[0] ** -k["b_N"]
    data = (k["a_D"] / design.data_seen[0]) ** k["b_D"]
    start = np.empty(misfit.center.size)
    for name, values in {
        "reference_loss": np.log((size + data + k["c"]) / misfit.rough_loss),
        "share": np.log([size / data, k["c"] / data]),
        "b_N": np.log(k["b_N"]),
        "b_D": np.log(k["b_D"]),
        "b_S": np.log(k["b_S"]),
        "floor": np.log(k["c_S"] / k["a_S"]),
    }.items():
        start[misfit.slices[name]] = values
    assert misfit.value(start)[0] == pytest.approx(7.6036053e-6, rel=1e-5)
    assert np.abs(misfit.value(start)[1]).max() < 1e-5
    stopped = minimize(misfit.value, start, jac=True, method="BFGS")
    assert stopped.success
    assert stopped.nit == 0
    assert misfit.gradient(start) > 0.1
    assert misfit.value(misfit.minimised(start))[0] == pytest.approx(4.88012e-6, rel=1e-4)


@pytest.mark.parametrize(("name", "modality"), [("t5", "language"), ("vit", "vision")])
def test_every_start_ends_in_the_same_minimum(request, name, modality):
    point = request.getfixturevalue(name)
    assert int(point.convergence["starts_agreeing"].sel(modality=modality)) == 25
    assert float(point.convergence["gradient"].sel(modality=modality)) < 1e-5
    assert codes(point.notes) == []


@pytest.mark.parametrize(
    ("name", "modality", "multipliers"),
    [("t5", "language", (1.772, 2.270, 2.512, 2.616, 2.69)), ("vit", "vision", (1.596, 2.172, 2.634, 2.958, 3.47))],
)
def test_multipliers_of_the_minima(request, name, modality, multipliers):
    point = one(request.getfixturevalue(name), modality)
    for sparsity, times in zip((0.5, 0.75, 0.875, 0.9375, 1.0), multipliers, strict=True):
        assert float(laws.get("sparse").dense_equivalent(sparsity, **point)) == pytest.approx(times, abs=5e-3)


@pytest.mark.parametrize(
    ("name", "modality", "rmse", "held_out"), [("t5", "language", 0.0163, 0.0184), ("vit", "vision", 0.0796, 0.0775)]
)
def test_the_largest_models_held_out(request, frantar_runs, name, modality, rmse, held_out):
    on = request.getfixturevalue(name).settings["on"]
    assert float(request.getfixturevalue(name).scores["rmse"].sel(modality=modality)) == pytest.approx(rmse, abs=1e-4)
    runs = of(frantar_runs, modality)
    largest = runs["nonzero_params"].to_numpy() > 0.99 * runs["nonzero_params"].to_numpy().max()
    assert largest.sum() == 12
    smaller = point_fit(runs.isel(run=np.flatnonzero(~largest)), on=on)
    asked = runs.isel(run=np.flatnonzero(largest))
    error = smaller.predict(asked).to_numpy() - asked["loss"].to_numpy()
    assert np.sqrt(np.mean(error**2)) == pytest.approx(held_out, abs=1e-4)


@pytest.fixture(scope="module")
def chinchilla_rows(data_folder):
    """The 240 runs of Chinchilla's figure 4 that arXiv:2404.10102 fits."""
    with (data_folder / "chinchilla2022" / "runs.csv").open(encoding="utf-8", newline="") as file:
        return [row for row in csv.DictReader(file) if row["excluded"] == "false"]


def test_chinchilla(chinchilla_rows):
    """A dense sweep; published are the sum of the Huber function and the coefficients that minimise it."""
    assert len(chinchilla_rows) == 240
    point = point_fit(chinchilla_rows)
    assert 240 * point.objective.item() == pytest.approx(1.018274e-3, rel=1e-4)
    found = one(point)
    assert found["c"] == pytest.approx(1.8172, abs=1e-3)
    assert found["b_N"] == pytest.approx(0.3473, abs=1e-3)
    assert found["b_D"] == pytest.approx(0.3672, abs=1e-3)
    assert found["a_S"] + found["c_S"] == pytest.approx(477.826, rel=1e-3)
    assert found["a_D"] ** found["b_D"] == pytest.approx(2143.417, rel=1e-3)
    published = {"A": 482.01, "B": 2085.43, "c": 1.8169, "b_N": 0.34781, "b_D": 0.36585}
    again = {"a_S": published["A"], "b_S": 1.0, "c_S": 0.0, "a_D": published["B"] ** (1 / published["b_D"])}
    scores = point.evaluate(again | {name: published[name] for name in ("b_N", "b_D", "c")})
    assert 240 * scores["objective"].item() == pytest.approx(0.0010187458, rel=1e-3)  # five digits of A move it so far
    # nothing is known of sparsity
    assert codes(point.notes) == ["held_at_prior"]
    assert "b_S, floor" in point.notes[0].message
    assert found["b_S"] == pytest.approx(0.9)
    assert found["c_S"] / (found["a_S"] + found["c_S"]) == pytest.approx(0.6)


# --- the estimate ----------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def two():
    """Two modalities and two structures, one pair of them without runs."""
    return point_fit(two_modalities())


def test_default_deltas_are_the_papers():
    rows = one_modality()
    for on, delta in (("log", 1e-3), ("loss", 1e-2)):
        assert point_fit(rows, on=on, starts=1).settings["delta"] == delta


def test_names_dimensions_and_units(two):
    assert tuple(two.coefficients) == NAMES
    for name in NAMES:
        dims = ("modality", "structure") if name in ("a_S", "b_S", "c_S") else ("modality",)
        assert two.coefficients[name].dims == dims
        assert two.coefficients[name].attrs["units"] == laws.get("sparse").coefficients[name].units
    assert two.coefficients["structure"].to_numpy().tolist() == ["unstructured", "2:4"]
    assert two.objective.dims == ("modality",)
    size = two.coefficients["a_S"] + two.coefficients["c_S"]  # one dense model per modality
    np.testing.assert_allclose(size.isel(structure=0), size.isel(structure=1), rtol=1e-12)


def test_modalities_are_fitted_apart(two):
    alone = point_fit([row for row in two_modalities() if row["modality"] == "vision"])
    for name in NAMES:
        assert one(alone, "vision")[name] == pytest.approx(one(two, "vision")[name], rel=1e-4), name


def test_units_of_the_runs_change_nothing(two):
    rows = [row | {"data_seen": row["data_seen"] / 1e3, "loss": row["loss"] * 7} for row in two_modalities()]
    other = point_fit(rows)
    np.testing.assert_allclose(other.objective, two.objective, rtol=1e-6)
    factors = {"a_S": 7, "c_S": 7, "c": 7, "b_N": 1, "b_D": 1}
    for name, factor in factors.items():
        assert one(other, "vision")[name] == pytest.approx(factor * one(two, "vision")[name], rel=1e-3), name


def test_what_no_run_bears_on_is_noted(two):
    assert codes(two.notes) == ["flat_direction", "unseen_pair"]
    flat, unseen = (note.message for note in two.notes)
    assert "language" in flat
    assert "b_S of 2:4" in flat
    assert "floor of 2:4" in flat
    assert "of unstructured" not in flat
    assert "vision" in unseen
    assert "2:4" in unseen
    at = one(two, "vision", "2:4")
    assert at["b_S"] == pytest.approx(0.9)
    assert at["c_S"] / (at["a_S"] + at["c_S"]) == pytest.approx(0.6)


def test_one_amount_of_data_is_a_flat_direction():
    rows = one_modality(data=[4e9])
    point = point_fit(rows)
    assert codes(point.notes) == ["held_at_prior", "flat_direction"]
    held, flat = (note.message for note in point.notes)
    assert "depends on b_D:" in held
    assert "do not determine share:" in flat  # of the irreducible loss and the data term
    np.testing.assert_allclose(point.predict(rows), [row["loss"] for row in rows], rtol=0.05)


def test_fewer_runs_than_quantities():
    rows = one_modality()
    others = [row | {"modality": "speech", "run_id": f"speech-{i}"} for i, row in enumerate(rows)]
    rows = [*rows[::6], rows[-1], *others]
    point = point_fit(rows)
    assert [(n.code, n.message.split()[0]) for n in point.notes if n.code == "few_runs"] == [("few_runs", "language")]
    with pytest.raises(InputError, match=r"language has 7 finished runs for 7"):
        point.bootstrap(2, kind="residual")
    draws = point.bootstrap(2, kind="runs")
    with pytest.raises(InputError, match=r"language has 7.*new-run"):
        point.predict([NEW], draws, "new-run")
    assert point.predict([NEW | {"modality": "speech"}], draws, "new-run").dims == ("draw", "run")


def test_a_point_that_is_no_minimum_is_noted(monkeypatch):
    monkeypatch.setattr(Misfit, "minimised", lambda _, start, **__: start)
    point = point_fit(one_modality(), starts=5)
    assert codes(point.notes) == ["optimiser_stopped_early", "starts_disagree"]
    assert point.convergence["gradient"].item() > 1e-2


def test_one_start_agrees_with_none():
    assert codes(point_fit(one_modality(), starts=1).notes) == ["starts_disagree"]
    assert codes(point_fit(one_modality(), starts=2).notes) == []


def test_diverged_runs_are_set_aside():
    rows = one_modality()
    lost = [rows[0] | {"run_id": "lost", "loss": float("nan")}]
    with_lost, without = point_fit([*rows, *lost]), point_fit(rows)
    assert codes(with_lost.notes) == ["diverged_runs"]
    xr.testing.assert_allclose(with_lost.coefficients, without.coefficients, rtol=1e-6)


def test_groups_by_another_column():
    point = point_fit([row | {"corpus": row["modality"]} for row in two_modalities()], group="corpus")
    assert point.coefficients["modality"].to_numpy().tolist() == ["language", "vision"]
    row = {key: value for key, value in NEW.items() if key != "modality"}
    assert point.predict([row | {"corpus": "language"}]).shape == (1,)


# --- predictions -----------------------------------------------------------------------------------------------------


def test_predictions_are_the_law(two):
    rows = [
        NEW | {"run_id": "a"},
        NEW | {"run_id": "b", "structure": "2:4", "sparsity": 0.5},
        NEW | {"run_id": "c", "modality": "vision", "data_unit": "examples", "sparsity": 0.75, "data_seen": 1e9},
        NEW | {"run_id": "d", "structure": "dense", "sparsity": 0},
    ]
    found = two.predict(rows)
    assert found.dims == ("run",)
    assert found["run"].to_numpy().tolist() == ["a", "b", "c", "d"]
    assert codes(found.attrs) == []
    for i, row in enumerate(rows):
        k = one(two, row["modality"], "unstructured" if row["structure"] == "dense" else row["structure"])
        expected = paper_loss(row["sparsity"], row["nonzero_params"], row["data_seen"], **k)
        assert float(found[i]) == pytest.approx(expected, rel=1e-10)


def test_a_pair_without_runs_is_answered_with_a_note(two):
    row = NEW | {"modality": "vision", "data_unit": "examples", "structure": "2:4", "sparsity": 0.5}
    found = two.predict([row])
    assert np.isfinite(found).all()
    assert codes(found.attrs) == ["unseen_pair"]


@pytest.mark.parametrize(
    ("row", "words"),
    [
        ({"modality": "audio"}, r"audio.*language, vision"),
        ({"structure": "1:4", "sparsity": 0.75}, r"structure '1:4'.*unstructured, 2:4"),
        ({"strategy": "pretrained", "pretrain_data": 1e9}, r"strategy 'pretrained'.*scratch"),
        ({"data_unit": "examples"}, r"counts examples.*count tokens"),
    ],
)
def test_runs_that_cannot_be_predicted(two, row, words):
    with pytest.raises(InputError, match=words):
        two.predict([NEW | row])


def test_changed_priors_do_not_move_the_minimum(monkeypatch, two):
    """Priors say where to start, and what stands where nothing is known; the estimate has no part of them."""
    priors = dict(laws.get("sparse").priors)
    priors["b_N"] = replace(priors["b_N"], center=1.0, sd=0.2)
    monkeypatch.setitem(laws._LAWS, "sparse", replace(laws.get("sparse"), priors=priors))
    other = point_fit(two_modalities())
    np.testing.assert_allclose(other.objective, two.objective, rtol=1e-6)
    np.testing.assert_allclose(other.coefficients["b_N"], two.coefficients["b_N"], rtol=1e-3)


# --- what is refused -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"objective": "absolute"}, r"objective is 'absolute'; it is one of huber, squared"),
        ({"on": "perplexity"}, r"on is 'perplexity'; it is one of log, loss"),
        ({"delta": 0.0}, r"delta is 0.0.*above 0"),
        ({"delta": float("nan")}, r"delta is nan.*above 0"),
        ({"delta": 0.1, "objective": "squared"}, r"delta is 0.1.*'squared' has none"),
        ({"starts": 0}, r"starts is 0.*at least 1"),
        ({"seed": -1}, r"seed is -1.*at least 0"),
        ({"law": "no such"}, r"'no such' is not known"),
        ({"group": "corpus"}, r"'corpus' is no column"),
    ],
)
def test_settings_out_of_range(settings, words):
    with pytest.raises(InputError, match=words):
        point_fit(one_modality(), **settings)


def test_questions_out_of_range(two):
    draws = two.bootstrap(2)
    for arguments, words in (
        ({"kind": "median"}, r"kind is 'median'; it is one of mean, new-run"),
        ({"kind": "new-run"}, r"without draws.*bootstrap"),
        ({"draws": two.coefficients}, r"no dimension 'draw'"),
        ({"draws": draws, "seed": -1}, r"seed is -1"),
    ):
        with pytest.raises(InputError, match=words):
            two.predict([NEW], **arguments)
    with pytest.raises(InputError, match="prob is 1"):
        two.intervals([NEW], draws, prob=1)


def test_coefficients_that_cannot_be_evaluated(two):
    k = one(two)
    with pytest.raises(InputError, match=r"have no b_N, c,.*sparse"):
        two.evaluate({name: value for name, value in k.items() if name not in ("b_N", "c")})
    with pytest.raises(InputError, match="dimension 'draw'"):
        two.evaluate(two.bootstrap(2))
    with pytest.raises(InputError, match=r"'vision' is not among the coefficients, which have language"):
        two.evaluate(two.coefficients.sel(modality=["language"]))


def test_too_few_runs():
    with pytest.raises(InputError, match="needs at least"):
        point_fit(one_modality()[:7])
