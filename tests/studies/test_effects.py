import json

import numpy as np
import pytest
import xarray as xr
from helpers import codes
from scipy import stats

import bayes_scaling as bs
from bayes_scaling.intervals import interval
from bayes_scaling.studies.effects_model import _expected, _layout, _log_density, _sds, _slopes, study


def test_figures_move_as_they_were_made_to(effects_posterior, effects_truth):
    assert json.loads(effects_posterior.attrs["diagnostics"])["ok"]
    scale = effects_posterior["runs"]["scale"]
    found = effects_posterior["posterior"]["effect"]
    inside = 0
    for knob, effect in effects_truth.items():
        for figure, size in zip(("frobenius_norm", "stable_rank", "entropy"), effect, strict=True):
            told = interval(found.sel(knob=knob, figure=figure), 0.98)
            inside += told["lower"] < size / float(scale.sel(figure=figure)) < told["upper"]
    assert inside >= 8, "of nine"
    step = effects_posterior["posterior"]["step_effect"].mean("matrix").sel(figure="frobenius_norm")
    share = interval(step.sel(step="weight_decay 0 to 0.01") / found.sel(knob="weight_decay", figure="frobenius_norm"))
    assert share["lower"] < 0.8 < share["upper"]
    assert share["lower"] > 0.5, "far from in proportion, which would be .1"


def test_what_was_made_alike_is_found_alike(effects_posterior):
    alike = effects_posterior["posterior"]["effect"]
    found = bs.effects.similarity(effects_posterior)
    assert found["knob"].to_numpy().tolist() == ["weight_decay", "dropout"]
    one, other = (alike.sel(knob=name).to_numpy() for name in ("data", "dropout"))
    cosine = (one * other).sum(axis=-1) / np.linalg.norm(one, axis=-1) / np.linalg.norm(other, axis=-1)
    np.testing.assert_allclose(found.sel(knob="dropout"), cosine)
    assert interval(found.sel(knob="dropout"))["lower"] > 0.7
    assert bs.effects.probability_closer(effects_posterior, "data", "dropout", "weight_decay") > 0.95
    assert bs.effects.probability_closer(effects_posterior, "data", "weight_decay", "dropout") < 0.05
    two = bs.effects.similarity(effects_posterior, figures=["stable_rank", "entropy"])
    assert not np.allclose(two, found)


def test_runs_are_what_is_left_out_and_repeated(effects_posterior):
    assert effects_posterior["log_likelihood"]["figures"].dims == ("chain", "draw", "run")
    repeated, seen = (effects_posterior[name]["figures"] for name in ("posterior_predictive", "observed_data"))
    low, high = repeated.quantile([0.055, 0.945], ("chain", "draw"))
    inside = (low <= seen) & (seen <= high)
    assert 0.75 < float(inside.mean()) <= 1
    assert "no_effect_seen" not in codes(effects_posterior.attrs)
    matrix = effects_posterior["posterior"]["matrix_effect"].mean("matrix")
    effect = effects_posterior["posterior"]["effect"]
    np.testing.assert_allclose(matrix.transpose(*effect.dims), effect, atol=1e-10)


def test_contrasts_become_matrices_and_back(effects_rows):
    runs = bs.effects.load(effects_rows)
    layout, rng = _layout(runs), np.random.default_rng(0)
    told = _expected(layout)["told"]
    shapes = {"even": told.shape, "knob_spread": (3, 3), "matrix_spread": (3, 3), "seed_spread": (3,)}
    drawn = {name: np.exp(rng.standard_normal((2, 5, *shape))) for name, shape in shapes.items()}
    drawn |= {name: np.abs(rng.standard_normal((2, 5, 6))) for name in ("between", "within")}
    posterior = study(runs).coefficients(drawn)
    slopes = drawn["even"] * _sds(drawn, layout, np) ** (1 - told)
    np.testing.assert_allclose(_slopes(posterior, layout), slopes)
    # By name and in units of figures: a run's mean is the sum of what it has.
    run = runs.isel(run=7)
    mean = posterior["intercept"] + posterior["seed_effect"].sel(seed=int(run["seed"]))
    for step in posterior["step"].to_numpy():
        knob, _, reached = step.partition(" ")
        passed = runs[knob].to_numpy() > float(reached.split(" to ")[0])
        mean = mean + (passed[7] - passed.mean()) * posterior["step_effect"].sel(step=step, drop=True)
    turned = np.einsum("...cf,cm->...fm", np.einsum("p,...pcf->...cf", layout.x[7], slopes), layout.turn)
    np.testing.assert_allclose(mean.transpose(..., "figure", "matrix"), turned)


def test_the_noise_is_multivariate_student():
    rng = np.random.default_rng(0)
    chol = np.tril(rng.normal(size=(3, 3)), -1) + np.diag([0.5, 1.0, 2.0])
    noise = rng.normal(size=(7, 3))
    found = _log_density(noise, chol, 3, np)
    np.testing.assert_allclose(found, stats.multivariate_t.logpdf(noise, np.zeros(3), chol @ chol.T, df=4), rtol=1e-12)


def test_the_shipped_runs_have_every_matrix_and_knob():
    runs = bs.effects.load(bs.datasets.load("regularisers"))
    assert dict(runs["value"].sizes) == {"run": 48, "matrix": 8, "figure": 5}
    assert bs.effects.knobs_of(runs) == ["weight_decay", "dropout", "input_noise", "sparsity", "data"]
    assert sorted(np.unique(runs["data"])) == [2**17, 2**20]
    table = bs.datasets.load("regularisers")
    np.testing.assert_allclose(
        np.exp(runs["value"].sel(matrix="blocks.1.up", figure="stable_rank")), table["stable_rank[blocks.1.up]"]
    )


def record(i, **run):
    figures = {"frobenius_norm": 2.0 + i, "stable_rank": 3.0, "tail_exponent": 2.0 + i / 7, "entropy": 0.5}
    after = {name: figures | {"weighted_exponent": -1.0, "tail_size": 4} for name in ("blocks.0.up", "head")}
    row = {"run_id": f"r{i}", "sparsity": 0.0, "nonzero_params": 10, "data_seen": 10, "loss": 2.0, "dropout": i / 10}
    return {"schema": 1, "run": row | run, "status": "finished", "landscape": {"before": after, "after": after}}


def test_a_store_becomes_a_table_with_the_figures_of_every_matrix(tmp_path):
    for i in range(3):
        (tmp_path / f"r{i}.json").write_text(json.dumps(record(i)))
    (tmp_path / "bad.json").write_text(json.dumps(record(9) | {"status": "failed"}))
    found = bs.effects.table(tmp_path)
    assert found["frobenius_norm[blocks.0.up]"].to_numpy().tolist() == [2, 3, 4]
    assert found["tail_exponent[blocks.0.up]"].to_numpy().tolist() == [2, 2.142857, 2.285714]
    assert not [name for name in found if "head" in name]
    written = bs.load_runs(bs.save_runs(found, tmp_path / "table.csv"))
    xr.testing.assert_equal(written.drop_attrs(), found.drop_attrs())


def test_a_store_without_spectra_is_refused(tmp_path):
    (tmp_path / "r.json").write_text(json.dumps({k: v for k, v in record(0).items() if k != "landscape"}))
    with pytest.raises(bs.InputError, match="has no run record with a landscape"):
        bs.effects.load(tmp_path)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"stable_rank[a]": 0.0}, "run 'r5', column 'stable_rank[a]': found 0.0; it is above 0"),
        ({"entropy[a]": None}, "run 'r5', column 'entropy[a]': found nan; it is finite"),
        ({"dropout": None}, "column 'dropout': a cell is empty, where every run has a value"),
    ],
)
def test_rows_that_are_wrong_are_refused(effects_rows, change, message):
    with pytest.raises(bs.InputError) as refused:
        bs.effects.load([*effects_rows[:5], effects_rows[5] | change, *effects_rows[6:]])
    assert message in str(refused.value)


def test_tables_without_figures_or_differences_are_refused(effects_rows):
    def without(names):
        return [{k: v for k, v in row.items() if not k.startswith(names)} for row in effects_rows]

    with pytest.raises(bs.InputError, match=r"has no column 'figure\[matrix\]' for any figure"):
        bs.effects.load(without(("frob", "stable", "entropy")))
    with pytest.raises(bs.InputError, match=r"has no column 'entropy\[b\]', where every matrix has every figure"):
        bs.effects.load(without("entropy[b]"))
    with pytest.raises(bs.InputError, match="runs differ in none of weight_decay"):
        bs.effects.load(without(("weight", "dropout", "unique")))
    with pytest.raises(bs.InputError, match="has 5 runs, where 8 are needed for 3 knobs"):
        bs.effects.load([*effects_rows[:2], *effects_rows[-3:]])


def test_questions_about_what_is_not_there_are_refused(effects_posterior):
    with pytest.raises(bs.InputError, match="there is no knob 'noise'; runs differ in weight_decay, dropout, data"):
        bs.effects.similarity(effects_posterior, "noise")
    with pytest.raises(bs.InputError, match="data, data, dropout are not 3 different knobs"):
        bs.effects.probability_closer(effects_posterior, "data", "data", "dropout")
    with pytest.raises(bs.InputError, match="figures are entropy; they are two or more of frobenius_norm"):
        bs.effects.similarity(effects_posterior, figures=["entropy"])
