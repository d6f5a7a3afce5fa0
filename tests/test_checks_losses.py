import numpy as np
import pandas as pd
import pytest
from helpers import codes, one_modality, two_modalities

import bayes_scaling as bs
from bayes_scaling.checks.curve import law_residuals
from bayes_scaling.checks.levels import replicate_groups
from bayes_scaling.checks.losses import loss_notes, outlying
from bayes_scaling.checks.robust import robust_residuals

LN2 = np.log(2)
CONVERSIONS = {
    "nats among bits": lambda loss: loss * LN2,
    "bits among nats": lambda loss: loss / LN2,
    "perplexity among nats": np.exp,
    "per byte among per token": lambda loss: loss / 4,
}


@pytest.fixture
def sweep(request):
    """Clean runs of one modality by name: simulated ones, T5 and ViT, and the sweep that ships."""

    def runs(name):
        if name == "simulated":
            return bs.load_runs(one_modality())
        if name == "shipped":
            return bs.datasets.load("python-stdlib")
        published = request.getfixturevalue("frantar_runs")
        modality = {"t5": "language", "vit": "vision"}[name]
        return published.isel(run=np.flatnonzero(published["modality"].to_numpy() == modality))

    return runs


SWEEPS = ["simulated", "t5", "vit", "shipped"]


def altered(runs, rows, change):
    loss = runs["loss"].to_numpy().copy()
    loss[rows] = change(loss[rows])
    return runs.assign(loss=("run", loss))


@pytest.mark.parametrize("name", SWEEPS)
def test_clean_losses_earn_no_note(sweep, name):
    assert loss_notes("language", sweep(name)) == []


# --- single runs -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", SWEEPS)
@pytest.mark.parametrize("factor", [10, 2, 0.4])
def test_an_absurd_loss_is_named_wherever_it_is(sweep, name, factor):
    runs = sweep(name)
    ids = runs["run_id"].to_numpy()
    for i in (0, len(ids) // 3, len(ids) - 1):  # corners of the sweep among them
        found = loss_notes("language", altered(runs, [i], lambda loss: loss * factor))
        assert [(note.code, note.severity) for note in found] == [("outlying_run", "warning")]
        assert found[0].about["run_id"] == ids[i]
        assert str(ids[i]) in found[0].message
        assert found[0].numbers["factor"] == pytest.approx(factor, rel=0.25)


def test_two_absurd_losses_are_two_notes_the_worst_first(sweep):
    runs = altered(altered(sweep("vit"), [7], lambda loss: loss * 3), [90], lambda loss: loss * 9)
    ids = runs["run_id"].to_numpy()
    assert [note.about["run_id"] for note in loss_notes("vision", runs)] == [ids[90], ids[7]]


def test_runs_that_no_surface_describes_are_no_outliers(sweep):
    runs = sweep("simulated")
    rng = np.random.default_rng(3)
    assert len(outlying(altered(runs, slice(None), lambda loss: loss * np.exp(rng.standard_cauchy(36))))[0]) <= 4
    assert loss_notes("language", altered(runs, slice(None), lambda loss: loss * np.exp(rng.normal(0, 1, 36)))) == []


@pytest.mark.parametrize(("name", "expected"), [("chinchilla2022", {"chin-000", "chin-001"}), ("gadre2024", set())])
def test_public_sweeps(data_folder, name, expected):
    """The two are among the five runs that the replication of that paper leaves out (arXiv:2404.10102)."""
    table = pd.read_csv(data_folder / name / "runs.csv")
    runs = bs.load_runs(table)
    if expected:
        assert table.set_index("run_id").loc[sorted(expected), "excluded"].all()
    found = loss_notes("language", runs)
    assert {note.about["run_id"] for note in found} == expected
    assert set(codes(found)) == ({"outlying_run"} if expected else set())


def test_too_few_runs_say_nothing(sweep):
    few = sweep("simulated").isel(run=slice(7))
    assert loss_notes("language", altered(few, [2], lambda loss: loss * 10)) == []


def test_copies_are_counted_and_are_no_replicates():
    rows = one_modality()
    again = [row | {"run_id": f"{row['run_id']}-again"} for row in rows[:4]]
    found = loss_notes("language", bs.load_runs(rows + again))
    assert [(note.code, note.severity) for note in found] == [("copied_runs", "warning")]
    assert found[0].numbers == {"runs": 4}
    assert again[0]["run_id"] in found[0].message
    assert "and 1 more" in found[0].message
    assert replicate_groups(bs.load_runs(rows + again)) == []
    other = [row | {"loss": row["loss"] * 1.001} for row in again]
    assert loss_notes("language", bs.load_runs(rows + other)) == []
    assert len(replicate_groups(bs.load_runs(rows + other))) == 4


# --- blocks of runs --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", SWEEPS)
@pytest.mark.parametrize("unit", CONVERSIONS)
def test_a_block_in_another_unit_is_found(sweep, name, unit):
    runs = sweep(name)
    rows = np.random.default_rng(5).choice(runs.sizes["run"], runs.sizes["run"] // 5, replace=False)
    found = loss_notes("language", altered(runs, rows, CONVERSIONS[unit]))
    assert [(note.code, note.severity) for note in found] == [("loss_unit_suspect", "warning")]
    assert found[0].numbers["runs"] == len(rows)
    said = {"nats among bits": "ln 2", "bits among nats": "1/ln 2", "perplexity among nats": "perplexities"}
    assert said.get(unit, "0.25 times") in found[0].message


def test_the_smaller_part_is_the_block(sweep):
    runs = sweep("vit")
    rows = np.random.default_rng(5).choice(runs.sizes["run"], 80, replace=False)
    found = loss_notes("vision", altered(runs, rows, np.exp))
    assert found[0].numbers["runs"] == runs.sizes["run"] - 80
    assert "as logarithms" in found[0].message


@pytest.mark.parametrize("unit", ["nats among bits", "perplexity among nats"])
def test_a_block_with_a_name_is_named_by_it(unit):
    runs = bs.load_runs([row for row in two_modalities() if row["modality"] == "language"])
    pattern = np.flatnonzero(runs["structure"].to_numpy() == "2:4")
    found = loss_notes("language", altered(runs, pattern, CONVERSIONS[unit]))
    assert codes(found) == ["loss_unit_suspect"]
    assert "those with structure '2:4'" in found[0].message


def test_dense_runs_in_another_unit_than_sparse_ones(sweep):
    runs = sweep("t5")
    dense = np.flatnonzero(runs["sparsity"].to_numpy() == 0)
    found = loss_notes("language", altered(runs, dense, CONVERSIONS["bits among nats"]))
    assert "those with structure 'dense'" in found[0].message


# --- the tools -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("share", [0.0, 0.2, 0.4])
def test_a_minority_cannot_bend_the_regression(share):
    rng = np.random.default_rng(4)
    columns = np.column_stack([np.ones(100), rng.normal(size=(100, 2))])
    noise = 0.01 * rng.standard_normal(100)
    bad = rng.permutation(100) < 100 * share
    response = columns @ [1.0, -2.0, 0.5] + noise + 3 * bad * (1 + columns[:, 1] ** 2)
    residual = robust_residuals(columns, response)
    np.testing.assert_allclose(residual[~bad], noise[~bad], atol=0.01)
    assert (residual[bad] > 2.9).all()


def test_the_regression_bears_repeated_and_redundant_columns():
    columns = np.column_stack([np.ones(20), np.repeat([0.0, 1.0], 10), np.repeat([0.0, 1.0], 10)])
    assert np.abs(robust_residuals(columns, columns[:, 1] * 2)).max() < 1e-9


def test_the_rough_law_reaches_corners_that_were_left_out():
    runs = bs.load_runs(one_modality(sizes=[1e6, 4e6, 1.6e7, 6.4e7], data=[5e8, 2e9, 8e9, 3.2e10]))
    corner = (runs["data_seen"] == 5e8).to_numpy()
    residual = law_residuals(runs, np.flatnonzero(~corner))
    assert np.abs(residual).max() < 0.05
