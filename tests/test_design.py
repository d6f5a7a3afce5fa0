import numpy as np
import pytest
from helpers import codes, one_modality, two_modalities, two_starts

import bayes_scaling as bs
from bayes_scaling import laws
from bayes_scaling.checks import design_notes
from bayes_scaling.design import FEWEST_RUNS, design_of, pretrain_data
from bayes_scaling.errors import InputError

SPARSE = laws.get("sparse")


def runs_of(rows):
    return bs.load_runs(rows)


@pytest.fixture(scope="module")
def design():
    return design_of(runs_of(two_modalities()))


def test_levels_and_cells(design):
    assert design.modality == ("language", "vision")
    assert design.structure == ("unstructured", "2:4")
    assert design.strategy == ("scratch",)
    assert design.cells.tolist() == [[0, 0, 0], [0, 1, 0], [1, 0, 0]]
    assert not design.pretrained
    assert design.cell_dims == ("modality", "structure")


def test_each_run_belongs_to_a_cell_of_its_own_kind(design):
    runs = runs_of(two_modalities())
    modality, structure = runs["modality"].to_numpy(), runs["structure"].to_numpy()
    for i, cell in enumerate(design.cell_of_run):
        m, s, _ = design.cells[cell]
        assert design.modality[m] == modality[i]
        if structure[i] != "dense":
            assert design.structure[s] == structure[i]


def test_order_of_the_runs_does_not_matter(design):
    rows = two_modalities()
    other = design_of(runs_of(rows[::-1]))
    assert set(other.modality) == set(design.modality)
    assert other.structure == design.structure
    assert len(other.cells) == len(design.cells)


def test_everything_is_relative_to_the_reference_point(design):
    runs = runs_of(two_modalities())
    for i, name in enumerate(design.modality):
        mine = (runs["modality"] == name).to_numpy()
        for column in ("nonzero_params", "data_seen"):
            values = runs[column].to_numpy()[mine]
            reference = getattr(design, column)[i]
            assert reference == pytest.approx(np.exp(np.log(values).mean()))
            np.testing.assert_allclose(design.runs[column][mine], values / reference)
            assert np.log(design.runs[column][mine]).mean() == pytest.approx(0, abs=1e-12)
        assert design.rough_log_loss[i] == pytest.approx(np.log(np.median(runs["loss"].to_numpy()[mine])), abs=0.01)
    np.testing.assert_allclose(design.runs["log_loss"], np.log(runs["loss"]))
    assert (design.runs["log_loss_se"] == 0).all()


def test_standard_errors_are_relative():
    rows = [row | ({"loss_se": 0.02} if i % 2 else {}) for i, row in enumerate(one_modality())]
    design = design_of(runs_of(rows))
    expected = [0.02 / row["loss"] if i % 2 else 0.0 for i, row in enumerate(rows)]
    np.testing.assert_allclose(design.runs["log_loss_se"], expected)


def test_a_group_more_than_there_are_stands_for_unseen_structures(design):
    assert len(design.every_cell) == 2 * 3 * 1
    assert design.every_cell[design.sampled_cells].tolist() == design.cells.tolist()
    population, groups = design.population(SPARSE.priors["b_S"])
    assert groups.tolist() == design.sampled_cells.tolist()
    assert population.levels.shape == (3, 6)
    population, groups = design.population(SPARSE.priors["b_N"])
    assert groups.tolist() == [0, 1]
    assert population.levels.shape == (1, 2)


def test_a_modality_with_dense_runs_only_has_a_cell():
    rows = [row for row in two_modalities() if row["modality"] == "language" or row["sparsity"] == 0]
    design = design_of(runs_of(rows))
    assert design.cells.tolist() == [[0, 0, 0], [0, 1, 0], [1, 0, 0]]
    assert (design.cell_of_run[[row["modality"] == "vision" for row in rows]] == 2).all()


def test_dense_runs_alone_have_a_structure_to_ask_about():
    design = design_of(runs_of([row for row in two_modalities() if row["sparsity"] == 0]))
    assert design.structure == ("unstructured",)
    assert design.cells.tolist() == [[0, 0, 0], [1, 0, 0]]


def test_strategies_are_a_dimension_where_there_are_several():
    design = design_of(runs_of(two_starts()))
    assert design.strategy == ("scratch", "pretrained")
    assert design.cell_dims == ("modality", "structure", "strategy")
    assert design.cells.tolist() == [[0, 0, 0], [0, 0, 1]]
    assert "rho" in design.active(SPARSE)
    pretrained = np.array([row["strategy"] == "pretrained" for row in two_starts()])
    np.testing.assert_allclose(design.runs["pretrain_data"][pretrained] * design.data_seen[0], 2e9)
    assert (design.runs["pretrain_data"][~pretrained] == 0).all()


def test_one_strategy_is_no_dimension():
    scratch = design_of(runs_of(one_modality()))
    assert "rho" not in scratch.active(SPARSE)
    pretrained = design_of(runs_of([row for row in two_starts() if row["strategy"] == "pretrained"]))
    assert pretrained.cell_dims == ("modality", "structure")
    assert pretrained.pretrained
    assert "rho" in pretrained.active(SPARSE)


@pytest.mark.parametrize("value", [None, 0, float("nan")])
def test_a_pretrained_run_says_what_it_was_trained_on(value):
    rows = two_starts()
    rows[-1] = {key: v for key, v in rows[-1].items() if key != "pretrain_data"} | (
        {} if value is None else {"pretrain_data": value}
    )
    with pytest.raises(InputError, match=rf"{rows[-1]['run_id'][:20]}.*pretrain_data"):
        design_of(runs_of(rows))


def test_pretraining_data_of_scratch_runs_are_not_counted():
    rows = [row | {"pretrain_data": 5e9} for row in one_modality()]
    assert (pretrain_data(runs_of(rows)) == 0).all()


def test_too_few_runs():
    rows = one_modality()[: FEWEST_RUNS - 1]
    with pytest.raises(InputError, match=rf"{FEWEST_RUNS - 1} finished runs.*at least {FEWEST_RUNS}"):
        design_of(runs_of(rows))
    assert len(design_of(runs_of(one_modality()[:FEWEST_RUNS])).cell_of_run) == FEWEST_RUNS


# --- notes on what runs cannot tell ----------------------------------------------------------------------------------


def notes_of(rows):
    runs = runs_of(rows)
    return design_notes(design_of(runs), runs)


def test_a_full_sweep_earns_no_note():
    assert notes_of(one_modality()) == []


@pytest.mark.parametrize(
    ("keep", "code", "severity"),
    [
        (lambda row: row["nonzero_params"] == 1e6, "one_level_nonzero_params", "warning"),
        (lambda row: row["data_seen"] == 4e9, "one_level_data_seen", "warning"),
        (lambda row: row["sparsity"] > 0, "no_dense_runs", "info"),
        (lambda row: row["sparsity"] == 0, "no_sparse_runs", "warning"),
        (lambda row: row["sparsity"] in (0, 0.5), "one_sparsity", "info"),
    ],
)
def test_what_is_missing_is_said(keep, code, severity):
    found = notes_of([row for row in one_modality() if keep(row)])
    assert [(n.code, n.severity) for n in found] == [(code, severity)]
    assert "language" in found[0].message


def test_a_modality_with_few_runs_is_named():
    rows = [row for row in two_modalities() if row["modality"] == "language" or row["data_seen"] == 1e8]
    few = [row for row in rows if row["modality"] == "language"] + [r for r in rows if r["modality"] == "vision"][:7]
    found = {note.code: note.message for note in notes_of(few)}
    assert "vision has 7" in found["few_runs"]


def test_a_pattern_has_one_sparsity_by_nature():
    assert codes(notes_of(two_modalities())) == ["one_sparsity"]
    # counted zeros that differ in the fourth digit are one level
    rows = [row | ({"sparsity": 0.5 + 1e-4 * (i % 3)} if row["structure"] == "2:4" else {})
            for i, row in enumerate(two_modalities())]  # fmt: skip
    assert codes(notes_of(rows)) == ["one_sparsity"]


def test_thousands_of_groups_are_refused():
    rows = [
        row | {"modality": f"g{i}-{j}", "run_id": f"{i}-{j}"} for i, row in enumerate(one_modality()) for j in range(12)
    ]
    with pytest.raises(InputError, match=r"432 groups.*at most 300.*right column"):
        design_of(bs.load_runs(rows))
