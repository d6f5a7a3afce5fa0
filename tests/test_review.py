import json

import numpy as np
import pytest
import xarray as xr
from helpers import codes, one_modality
from scipy import stats

import bayes_scaling as bs
from bayes_scaling import laws
from bayes_scaling.design import design_of
from bayes_scaling.log_prior import log_prior
from bayes_scaling.notes import Note
from bayes_scaling.review import review
from bayes_scaling.review.misfit import misfit_notes, outlier_notes
from bayes_scaling.review.noise import noise_notes
from bayes_scaling.review.parts import by_law, said_of_all
from bayes_scaling.review.residuals import Residuals, family_p

NOISE = 0.004


# --- fitted posteriors -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["simulated", "single", "starts"])
def test_simulated_runs_of_the_law_earn_no_note(request, name):
    assert review(request.getfixturevalue(name)) == []


def test_what_the_paper_s_runs_earn(frantar):
    found = review(frantar)
    said = [
        (note.code, note.about["modality"], note.about.get("column") or note.about.get("quantity")) for note in found
    ]
    assert sorted(said, key=str) == sorted(
        [
            ("mostly_prior", "language", "b_D"),
            ("residual_trend", "language", "nonzero_params × data_seen"),
            ("no_replicates", "language", None),
            ("residual_trend", "vision", "nonzero_params × data_seen"),
            ("residual_trend", "vision", "data_seen × sparsity"),
            ("noise_varies", "vision", "data_seen"),
            ("no_replicates", "vision", None),
        ],
        key=str,
    )
    trend = {note.about["modality"]: note.numbers["percent"] for note in found
             if note.about.get("column") == "nonzero_params × data_seen"}  # fmt: skip
    assert abs(trend["language"]) == pytest.approx(0.64, abs=0.1)
    assert abs(trend["vision"]) == pytest.approx(0.8, abs=0.1)
    for note in found:
        assert note.message.endswith(".")
        assert note.about["modality"] in note.message
        assert all(np.isfinite(value) for value in note.numbers.values())


def test_t5_leaves_the_data_exponent_to_the_prior_and_vit_does_not_leave_the_size_exponent(frantar):
    found = {(note.about["modality"], note.about["quantity"]): note.numbers
             for note in review(frantar) if note.code == "mostly_prior"}  # fmt: skip
    assert found.keys() == {("language", "b_D")}
    assert 0.55 < found["language", "b_D"]["kept"] < 0.85


def test_review_changes_nothing_and_survives_a_file(frantar, tmp_path):
    before = frantar.copy(deep=True)
    found = review(frantar)
    assert frantar.identical(before)
    again = review(bs.load(bs.save(frantar, tmp_path / "posterior.nc")))
    assert [note.to_dict() for note in again] == [note.to_dict() for note in found]
    json.dumps([note.to_dict() for note in found])


def test_a_group_log_prior_is_used_where_it_is_there(frantar):
    runs = frantar["runs"].to_dataset()
    law = laws.get(frantar.attrs["law"])
    with_group, flat = frantar.copy(), frantar.copy()
    density = log_prior(frantar["posterior"].to_dataset(), law, design_of(runs))
    with_group["log_prior"] = xr.DataTree(density)
    assert review(with_group) == review(frantar)
    flat["log_prior"] = xr.DataTree(density * 0.01)  # as if the prior said nothing
    assert "mostly_prior" not in codes(review(flat))


def test_few_draws_are_not_reviewed(single):
    assert review(single.isel(draw=slice(20))) == []


def changed(posterior, change):
    """A copy with other observed losses, as a function of the runs, the law's mean log loss and a generator."""
    copy = posterior.copy(deep=True)
    runs = copy["runs"].to_dataset()
    mean = np.log(bs.predict(copy, runs)).mean(("chain", "draw")).to_numpy()
    copy["observed_data"]["log_loss"].values[:] = change(runs, mean, np.random.default_rng(3))
    return copy


def test_a_run_far_off_the_law_is_named(single):
    ids = single["runs"]["run_id"].to_numpy()

    def one_off(_, mean, rng):
        off = mean + 0.003 * rng.standard_normal(len(mean))
        off[10] += 0.15
        return off

    found = [note for note in review(changed(single, one_off)) if note.code == "outlying_run"]
    assert [note.about["run_id"] for note in found] == [ids[10]]
    assert found[0].numbers["percent"] == pytest.approx(16, abs=2)


def test_a_run_that_was_named_before_the_fit_is_not_named_again(single):
    far = single.copy(deep=True)
    log_loss = far["observed_data"]["log_loss"].to_numpy().copy()
    log_loss[10] += 2.3
    far["observed_data"]["log_loss"].values[:] = log_loss
    assert "outlying_run" in codes(review(far))
    far["runs"]["loss"].values[:] = np.exp(log_loss)
    assert "outlying_run" not in codes(review(far))


def test_leave_one_out_that_cannot_be_is_named(single):
    assert "loo_unreliable" not in codes(review(single))
    heavy = single.copy(deep=True)
    density = heavy["log_likelihood"]["log_loss"]
    density.values[..., 4] = 40 * (density.values[..., 4] - density.values[..., 4].mean())
    found = [note for note in review(heavy) if note.code == "loo_unreliable"]
    assert [note.severity for note in found] == ["info"]
    assert found[0].about["run_id"] == single["runs"]["run_id"].to_numpy()[4]
    assert found[0].numbers["largest_k"] > 0.7


def test_quantities_that_a_design_note_explains_are_not_said_again(simulated):
    """2:4 was seen at one sparsity: b_S and its floor come from the prior, and a note before the fit says so."""
    wide = simulated.copy(deep=True)
    for name in ("b_S", "b_D"):
        logs = np.log(wide["posterior"][name])
        kept = np.exp(logs.mean(("chain", "draw")) + 20 * (logs - logs.mean(("chain", "draw"))))
        wide["posterior"][name].values[:] = kept.transpose(*wide["posterior"][name].dims).to_numpy()
    said = [note.about for note in review(wide) if note.code == "mostly_prior"]
    assert not [about for about in said if about.get("structure") == "2:4"]


def mixed(posterior, *laws):
    """Draws in turn labelled as each law's, with the power of the law ``coupled`` at the value where it is none."""
    copy = posterior.copy(deep=True)
    for group in ("posterior", "prior"):
        draws = copy[group].to_dataset()
        label = np.resize(laws, (draws.sizes["chain"], draws.sizes["draw"]))
        copy[group] = xr.DataTree(
            draws.assign_coords(law=(("chain", "draw"), label)).assign(k=xr.ones_like(draws["b_N"]))
        )
    predicted = copy["prior_predictive"].to_dataset().assign_coords(law=copy["prior"]["law"])
    copy["prior_predictive"] = xr.DataTree(predicted)
    return copy


def test_laws_that_are_mixed_are_reviewed_apart(single, frantar):
    parts = by_law(mixed(single, "sparse", "coupled"))
    assert list(parts) == ["sparse", "coupled"]
    for name, part in parts.items():
        assert part.attrs["law"] == name
        assert dict(part["posterior"].sizes) | {"chain": 1, "draw": 2000} == dict(part["posterior"].sizes)
        assert part["log_likelihood"]["log_loss"].sizes["draw"] == 2000
        assert part["prior_predictive"]["log_loss"].sizes["draw"] == 500
        np.testing.assert_array_equal(part["runs"]["run_id"], single["runs"]["run_id"])
    first = single["posterior"]["b_N"].to_numpy()[:, ::2].ravel()
    np.testing.assert_array_equal(parts["sparse"]["posterior"]["b_N"].to_numpy().ravel(), first)
    whole = {(note.code, *note.about.values()) for note in review(frantar)}
    one_law = review(mixed(frantar, "sparse", "sparse"))
    assert {(note.code, *note.about.values()) for note in one_law} == whole


def test_what_holds_for_one_law_only_says_so():
    both = Note("residual_trend", "warning", "The law misses.", {"modality": "vision", "column": "data_seen"})
    first = Note("mostly_prior", "warning", "b_D is the prior's.", {"modality": "vision", "quantity": "b_D"})
    assert said_of_all({"sparse": [first, both]}) == [first, both]
    found = said_of_all({"sparse": [first, both], "coupled": [both]})
    assert codes(found) == ["mostly_prior", "residual_trend"]
    assert found[0].message == "Law sparse: b_D is the prior's."
    assert found[0].about == first.about | {"law": "sparse"}
    assert found[1] == both


# --- residuals -------------------------------------------------------------------------------------------------------


def residuals(rows, effect=0.0, scale=1.0, seed=1, noise=NOISE):
    """Residuals of a least-squares fit that is linear in log N, log D and log(1 - S), as the law locally is."""
    runs = bs.load_runs(rows)
    n, d = (np.log(runs[name].to_numpy()) for name in ("nonzero_params", "data_seen"))
    t = -np.log1p(-runs["sparsity"].to_numpy())
    columns = np.column_stack([np.ones_like(n), n, n**2, d, d**2, t, t**2])
    columns = np.linalg.qr(columns - np.where(np.arange(7) == 0, 0, columns.mean(axis=0)))[0]
    rng = np.random.default_rng(seed)
    observed = np.asarray(effect(n, d, t) if callable(effect) else effect) + noise * np.asarray(
        scale(n, d, t) if callable(scale) else scale
    ) * rng.standard_t(4, len(n))
    # Scores of Student-t(4) noise have an information of 5/7 over the squared scale; iterate to the optimum.
    coefficients = np.zeros(7)
    sigma = noise
    for _ in range(60):
        left = observed - columns @ coefficients
        sigma *= np.exp(0.5 * np.mean(5 * left**2 / (4 * sigma**2 + left**2) - 1) * 7 / 8)
        coefficients += columns.T @ (5 * left / (4 * sigma**2 + left**2)) * sigma**2 * 7 / 5
    draws = sigma * np.exp(rng.normal(0, 0.12, 500))
    followed = columns @ columns.T * sigma**2 * 7 / 5
    return Residuals("language", runs, left, np.full(len(n), sigma), draws, followed, (0, seed))


GRID = {"sizes": [1e6, 4e6, 1.6e7, 6.4e7], "data": [5e8, 4e9, 3.2e10], "sparsities": [0, 0.5, 0.75]}
WIDE = GRID | {"data": [5e8, 2e9, 8e9, 3.2e10], "sparsities": [0, 0.5, 0.75, 0.875]}


def centred(x):
    return (x - x.mean()) / np.ptp(x)


def test_a_true_law_earns_no_note_more_often_than_it_should():
    rows = one_modality(**GRID)
    found = [note.code for seed in range(80) for note in _all(residuals(rows, seed=seed))]
    # Three kinds of tests at one per cent each and outliers: 80 sweeps give three on average.
    assert len(found) <= 7


def _all(given):
    return [*misfit_notes(given), *outlier_notes(given), *noise_notes(given)]


@pytest.mark.parametrize(
    ("effect", "column", "percent"),
    [
        (lambda n, d, _: 0.04 * centred(n) * centred(d), "nonzero_params × data_seen", 1.0),
        (lambda _, d, t: -0.04 * centred(t) * centred(d), "data_seen × sparsity", 1.0),
        (lambda n, *_: 0.03 * (np.abs(n - np.log(4e6)) < 0.1), "nonzero_params", 1.4),
    ],
)
def test_a_trend_is_named_with_its_axis_and_size(effect, column, percent):
    found = misfit_notes(residuals(one_modality(**GRID), effect))
    assert [(note.code, note.severity, note.about["column"]) for note in found] == [
        ("residual_trend", "warning", column)
    ]
    assert abs(found[0].numbers["percent"]) == pytest.approx(percent, rel=0.5)
    assert found[0].numbers["p_value"] < 0.01
    assert "language" in found[0].message


def test_a_sparsity_that_the_law_misses_is_named_with_its_structure():
    rows = [row | {"structure": "2:4" if row["sparsity"] == 0.5 and i % 2 else row["structure"]}
            for i, row in enumerate(one_modality(**GRID))]  # fmt: skip
    pattern = np.array([row["structure"] == "2:4" for row in rows])
    found = misfit_notes(residuals(rows, 0.03 * pattern))
    assert [note.about["column"] for note in found] == ["sparsity"]
    assert "above it for 2:4 at sparsity 0.5" in found[0].message


@pytest.mark.parametrize(
    ("axis", "column", "ends"), [(0, "nonzero_params", WIDE["sizes"]), (1, "data_seen", WIDE["data"])]
)
@pytest.mark.parametrize("sign", [1, -1])
def test_noise_that_varies_is_named_with_its_axis_and_factor(axis, column, ends, sign):
    given = residuals(one_modality(**WIDE), scale=lambda *axes: np.exp(sign * 2 * centred(axes[axis])))
    found = [note for note in noise_notes(given) if note.code == "noise_varies"]
    assert [note.about["column"] for note in found] == [column]
    assert abs(np.log(found[0].numbers["factor"]) - 2) < 1
    assert f"at {column} {ends[0 if sign < 0 else -1]:.3g} as at" in found[0].message


def replicated():
    """A third of the designs three times, with losses that are no copies."""
    rows = one_modality(**GRID)
    more = [(row, i) for i in (1, 2) for row in rows[::3]]
    return rows + [row | {"run_id": f"{row['run_id']}-{i}", "loss": row["loss"] * (1 + 0.001 * i)} for row, i in more]


def test_noise_between_replicates_is_asked_first():
    given = residuals(replicated(), scale=lambda _, d, __: np.exp(-2.5 * centred(d)))
    found = [note for note in noise_notes(given) if note.code == "noise_varies"]
    assert [note.about["column"] for note in found] == ["data_seen"]
    assert found[0].message.startswith("Replicates")


@pytest.mark.parametrize(("noise", "expected"), [(0.002, []), (0.02, ["no_replicates"])])
def test_much_noise_without_replicates_is_said(noise, expected):
    found = noise_notes(residuals(one_modality(**GRID), noise=noise))
    assert codes(found) == expected
    if found:
        assert found[0].severity == "info"
        assert found[0].numbers["sigma"] == pytest.approx(noise, rel=0.4)
    assert noise_notes(residuals(replicated(), noise=noise)) == []


def test_misfit_that_passes_for_noise_is_told_by_replicates():
    def effect(n, d, t):
        return 0.08 * np.sin(40 * (n + d + t))  # no pattern that the axes know, the same for replicates

    found = noise_notes(residuals(replicated(), effect))
    assert codes(found) == ["misfit_beyond_noise"]
    assert found[0].severity == "warning"
    assert found[0].numbers["ratio"] < 0.3


def test_losses_that_agree_to_the_last_digit_are_borne():
    given = residuals(replicated())
    values = given.values.copy()
    values[-2:] = values[0]
    assert np.isfinite([v for note in noise_notes(given) for v in note.numbers.values()]).all()


def test_p_values_hold_for_the_family():
    rng = np.random.default_rng(0)
    replicated = {name: rng.exponential(size=5000) for name in "abc"}
    alone = stats.expon.ppf(0.99)
    found = family_p({"a": alone, "b": 0.1, "c": 20.0}, replicated)
    assert found["a"] == pytest.approx(1 - 0.99**3, abs=0.006)
    assert found["b"] > 0.99
    assert found["c"] == 1 / 5001
    assert family_p({}, {}) == {}


def test_two_modalities_are_reviewed_apart(simulated):
    runs = simulated["runs"].to_dataset()
    vision = (runs["modality"] == "vision").to_numpy()
    wrong = simulated.copy(deep=True)
    off = 0.03 * (runs["data_seen"] == 4e8).to_numpy() * vision
    wrong["observed_data"]["log_loss"].values[:] += off
    found = [note for note in review(wrong) if note.code == "residual_trend"]
    assert {note.about["modality"] for note in found} == {"vision"}
    assert "data_seen" in {note.about["column"] for note in found}
