import numpy as np
import pytest
from helpers import TRUTH, codes, one_modality, paper_loss, simulate, two_modalities, two_starts

import bayes_scaling as bs
from bayes_scaling.checks import coverage_notes, design_notes
from bayes_scaling.checks.levels import levels, replicate_groups
from bayes_scaling.checks.sparsities import FEWEST_SPARSE_RUNS
from bayes_scaling.design import design_of


def notes_of(rows):
    runs = bs.load_runs(rows)
    return design_notes(design_of(runs), runs)


def run(N, D, S, loss=3.0, **more):
    return {"nonzero_params": N, "data_seen": D, "sparsity": S, "loss": loss, "modality": "language"} | more


# --- silence ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("rows", [one_modality, two_starts])
def test_clean_sweeps_earn_no_note(rows):
    assert notes_of(rows()) == []


def test_a_pattern_has_one_sparsity_and_nothing_else(frantar_runs):
    assert codes(notes_of(two_modalities())) == ["one_sparsity"]
    assert notes_of(frantar_runs) == []
    assert codes(notes_of(bs.datasets.load("python-stdlib"))) == ["one_sparsity"]


@pytest.mark.parametrize("seed", range(20))
def test_random_laws_and_scattered_designs_earn_no_note(seed):
    rng = np.random.default_rng(seed)
    truth = TRUTH["language", "unstructured"] | {"b_N": rng.uniform(0.2, 0.5), "b_D": rng.uniform(0.2, 0.8)}
    truth |= {"a_S": 5 * 1e7 ** truth["b_N"] * 0.1, "c_S": 5 * 1e7 ** truth["b_N"] * 0.1}
    rows = []
    for _ in range(rng.integers(20, 60)):
        N, D, S = 10 ** rng.uniform(6, 8), 10 ** rng.uniform(8.5, 10.5), max(0, rng.uniform(-0.3, 0.95))
        rows.append(run(N, D, S, float(paper_loss(S, N, D, **truth) * np.exp(0.005 * rng.standard_t(4)))))
    assert notes_of(rows) == []


# --- levels and replicates -------------------------------------------------------------------------------------------


def test_values_within_ten_per_cent_are_one_level():
    assert levels(np.log([1e6, 1.05e6, 2e6, 1.9e6, 1e6])).tolist() == [0, 0, 1, 1, 0]
    assert levels(np.array([3.0])).tolist() == [0]


def test_a_dense_row_of_values_is_many_levels():
    assert levels(np.linspace(0, 1, 101)).max() == 9


def test_replicates_share_design_and_recipe():
    rows = [run(1e6, 1e9, 0.5, 3 + 0.01 * i, seed=i) for i in range(3)] + [run(1e6, 1e9, 0), run(1e6, 2e9, 0.5)]
    found = replicate_groups(bs.load_runs(rows))
    assert [group.tolist() for group in found] == [[0, 1, 2]]
    tuned = [row | {"batch_size": 64 * (1 + i % 2)} for i, row in enumerate(rows)]
    assert [group.tolist() for group in replicate_groups(bs.load_runs(tuned))] == [[0, 2]]
    assert replicate_groups(bs.load_runs(one_modality())) == []


# --- sizes and data --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("column", ["nonzero_params", "data_seen"])
def test_one_level_and_two(column):
    axis = {"nonzero_params": "sizes", "data_seen": "data"}[column]
    for values, code in (([8e6], f"one_level_{column}"), ([8e6, 8.4e6], f"one_level_{column}"),
                         ([8e6, 4e7], f"two_levels_{column}")):  # fmt: skip
        found = notes_of(one_modality(**{axis: values}))
        assert codes(found) == [code]
        assert found[0].severity == "warning"
        assert found[0].about == {"modality": "language", "column": column}
        assert column in found[0].message
    assert notes_of(one_modality(**{axis: [8e6, 4e7, 2e8]})) == []


def tied(spread, seed=0, sparsities=(0, 0.5, 0.75), of_total=False):
    """Twenty tokens a parameter, give or take; the parameters are the non-zero ones or all of them."""
    rng = np.random.default_rng(seed)
    truth = TRUTH["language", "unstructured"]
    rows = []
    for N in np.geomspace(1e6, 6.4e7, 8):
        for S in sparsities:
            D = 20 * N / ((1 - S) if of_total else 1) * np.exp(spread * rng.standard_normal())
            rows.append(run(N, D, S, float(paper_loss(S, N, D, **truth))))
    return rows


@pytest.mark.parametrize(("spread", "of_total"), [(0, False), (0.1, False), (0, True)])
def test_data_tied_to_size(spread, of_total):
    found = notes_of(tied(spread, of_total=of_total))
    assert codes(found) == ["data_tied_to_size"]
    assert ("(1 - sparsity)" in found[0].message) == of_total
    assert found[0].numbers["r_squared"] > 0.95
    assert found[0].numbers["spread"] == pytest.approx(spread, abs=0.05)


def test_data_on_one_compute_budget_is_tied_to_size():
    truth = TRUTH["language", "unstructured"]
    rows = [run(N, 1e16 / N, S, float(paper_loss(S, N, 1e16 / N, **truth)))
            for N in np.geomspace(1e6, 6.4e7, 6) for S in (0, 0.5, 0.75)]  # fmt: skip
    assert codes(notes_of(rows)) == ["data_tied_to_size"]


def test_data_that_only_leans_on_size_is_not_tied():
    assert notes_of(tied(0.5)) == []
    # two tokens-per-parameter ratios, and a narrow range of data
    truth = TRUTH["language", "unstructured"]
    two = [run(N, r * N, S, float(paper_loss(S, N, r * N, **truth)))
           for N in np.geomspace(1e6, 6.4e7, 5) for r in (10, 40) for S in (0, 0.5, 0.75)]  # fmt: skip
    assert notes_of(two) == []
    assert notes_of(one_modality(data=[4e9, 4.6e9, 5.3e9])) == []


# --- sparsities ------------------------------------------------------------------------------------------------------


def test_a_sparsity_at_one_size_is_named():
    rows = [row for row in one_modality() if row["sparsity"] < 0.8 or row["nonzero_params"] == 8e6]
    found = notes_of(rows)
    assert codes(found) == ["sparsity_at_one_size"]
    assert "0.875 at 8e+06" in found[0].message
    assert found[0].about == {"modality": "language", "structure": "unstructured"}
    assert found[0].numbers == {"sparsities": 1, "of": 3}


def test_sparsity_that_is_tied_to_size_is_named():
    """One dense model pruned further and further: every sparsity at one number of non-zeros."""
    truth = TRUTH["language", "unstructured"]
    rows = [run(6.4e7 * (1 - S), D, S, float(paper_loss(S, 6.4e7 * (1 - S), D, **truth)))
            for S in (0, 0.5, 0.75, 0.875) for D in (5e8, 4e9, 3.2e10)]  # fmt: skip
    found = {note.code: note for note in notes_of(rows)}
    assert found["sparsity_at_one_size"].numbers["sparsities"] == 3


def test_neighbouring_sparsities_stand_in_for_each_other():
    grid = simulate([("language", "unstructured", "scratch", TRUTH["language", "unstructured"], [N], [5e8, 4e9, 3.2e10],
                      [0, 0.5, S], 0) for N, S in ((1e6, 0.78), (8e6, 0.8), (6.4e7, 0.82))])  # fmt: skip
    assert notes_of(grid) == []


def test_few_runs_of_a_structure():
    rows = one_modality()
    pattern = [row | {"structure": "2:4", "run_id": f"p{i}", "sparsity": 0.5}
               for i, row in enumerate(rows) if row["sparsity"] == 0.5]  # fmt: skip
    few = {note.code: note for note in notes_of(rows + pattern[: FEWEST_SPARSE_RUNS - 1])}
    assert "2:4 has 4 sparse runs" in few["few_sparse_runs"].message
    assert "few_sparse_runs" not in codes(notes_of(rows + pattern[:FEWEST_SPARSE_RUNS]))


def test_few_runs_are_said_once():
    rows = [row for row in two_modalities() if row["modality"] == "language"]
    rows += [row for row in two_modalities() if row["modality"] == "vision"][:5]
    assert codes(notes_of(rows)) == ["one_sparsity", "few_runs", "one_level_nonzero_params", "two_levels_data_seen"]


def test_coverage_leaves_the_losses_out():
    rows = one_modality()
    rows[3]["loss"] *= 10
    runs = bs.load_runs(rows)
    assert coverage_notes(design_of(runs), runs) == []
    assert codes(design_notes(design_of(runs), runs)) == ["outlying_run"]
