import numpy as np
import pytest
from helpers import codes, one_modality, two_modalities

import bayes_scaling as bs
from bayes_scaling.errors import InputError
from bayes_scaling.validate.folds import beyond_levels, beyond_share, every_level, few_levels_notes, random_folds


@pytest.fixture(scope="module")
def one():
    return bs.load_runs(one_modality())


@pytest.fixture(scope="module")
def two():
    return bs.load_runs(two_modalities())


def with_column(runs, name, values):
    return runs.assign({name: ("run", np.asarray(values))})


@pytest.mark.parametrize(
    ("by", "count", "side", "values"),
    [
        ("nonzero_params", 1, "largest", {6.4e7}),
        ("nonzero_params", 2, "largest", {8e6, 6.4e7}),
        ("data_seen", 1, "smallest", {5e8}),
        ("sparsity", 1, "largest", {0.875}),
        ("sparsity", 2, "smallest", {0.0, 0.5}),
        ("seed", 3, "largest", {33, 34, 35}),
    ],
)
def test_the_last_levels_of_an_axis(one, by, count, side, values):
    held, notes = beyond_levels(one, by, count, side)
    assert set(one[by].to_numpy()[held]) == values
    assert not set(one[by].to_numpy()[~held]) & values
    assert notes == []


def test_every_modality_by_its_own_values(two):
    held, _ = beyond_levels(two, "data_seen", 1, "largest")
    modality, data = two["modality"].to_numpy(), two["data_seen"].to_numpy()
    assert set(zip(modality[held].tolist(), data[held].tolist(), strict=True)) == {
        ("language", 3.2e10),
        ("vision", 1.6e9),
    }


def test_sizes_within_ten_per_cent_are_one_level(one):
    size = one["nonzero_params"].to_numpy()
    near = one.assign(nonzero_params=("run", np.where(np.arange(size.size) % 2, size, 1.08 * size)))
    assert beyond_levels(near, "nonzero_params", 1, "largest")[0].sum() == 12
    scattered = one.assign(nonzero_params=("run", np.where(np.arange(size.size) % 2, size, 1.2 * size)))
    assert beyond_levels(scattered, "nonzero_params", 1, "largest")[0].sum() == 6


def test_training_flops_count_pruning(one):
    held, _ = beyond_levels(one, "train_flops", 1, "largest")
    costly = one.isel(run=np.flatnonzero(held))
    # 6 N D alone would hold the dense run out as well
    assert costly["sparsity"].to_numpy().tolist() == [0.875]
    assert (costly["nonzero_params"].item(), costly["data_seen"].item()) == (6.4e7, 3.2e10)


def test_recorded_flops_are_used_where_all_runs_have_them(one):
    flops = np.arange(1.0, 37.0) ** 3
    held, _ = beyond_levels(with_column(one, "train_flops", flops), "train_flops", 1, "largest")
    assert np.flatnonzero(held).tolist() == [35]
    flops[3] = np.nan
    held, _ = beyond_levels(with_column(one, "train_flops", flops), "train_flops", 1, "largest")
    np.testing.assert_array_equal(held, beyond_levels(one, "train_flops", 1, "largest")[0])


def test_a_modality_with_too_few_levels_keeps_its_runs(two):
    data = two["data_seen"].to_numpy()
    flat = two.assign(data_seen=("run", np.where(two["modality"].to_numpy() == "vision", 1e9, data)))
    held, notes = beyond_levels(flat, "data_seen", 1, "largest")
    assert set(flat["modality"].to_numpy()[held]) == {"language"}
    assert codes(notes) == ["nothing_held_out"]
    assert "vision has 1 level of data_seen" in notes[0].message
    with pytest.raises(InputError, match=r"language has 3 levels of data_seen; to hold out 3 levels, it needs 4"):
        beyond_levels(flat, "data_seen", 3, "largest")


def test_a_share_of_each_modality(two):
    held, _ = beyond_share(two, "train_flops", 0.1, "largest")
    for modality, count in (("language", 6), ("vision", 5)):
        assert held[two["modality"].to_numpy() == modality].sum() == count
    held, _ = beyond_share(two, "nonzero_params", 0.1, "largest")  # equal values stay together
    assert set(two["nonzero_params"].to_numpy()[held]) == {6.4e7}
    assert held.sum() == (two["nonzero_params"] == 6.4e7).sum()
    held, _ = beyond_share(two, "sparsity", 0.2, "smallest")
    assert set(two["sparsity"].to_numpy()[held]) == {0.0}


def test_a_share_that_is_everything(one):
    flat = one.assign(data_seen=("run", np.full(36, 1e9)))
    with pytest.raises(InputError, match=r"largest 20% of data_seen are all runs of language"):
        beyond_share(flat, "data_seen", 0.2, "largest")


def test_random_folds_are_equal_in_every_modality(two):
    folds = random_folds(two, 5, 0)
    held = np.stack([which for _, which in folds])
    np.testing.assert_array_equal(held.sum(axis=0), 1)
    assert np.ptp(held.sum(axis=1)) <= 1
    for modality in ("language", "vision"):
        assert np.ptp(held[:, two["modality"].to_numpy() == modality].sum(axis=1)) <= 1
    again, other = random_folds(two, 5, 0), random_folds(two, 5, 1)
    np.testing.assert_array_equal(held, [which for _, which in again])
    assert (held != np.stack([which for _, which in other])).any()


@pytest.mark.parametrize("folds", [1, 0, 37])
def test_folds_out_of_range(one, folds):
    with pytest.raises(InputError, match=rf"folds is {folds}; it is a whole number from 2 to the 36 runs"):
        random_folds(one, folds, 0)


def test_every_level_of_a_number(two):
    folds, notes = every_level(two, "data_seen")
    assert notes == []
    assert [name for name, _ in folds] == [f"level {i} of data_seen" for i in (1, 2, 3)]
    np.testing.assert_array_equal(np.sum([held for _, held in folds], axis=0), 1)
    values = [set(two["data_seen"].to_numpy()[held].tolist()) for _, held in folds]
    assert values == [{5e8, 1e8}, {4e9, 4e8}, {3.2e10, 1.6e9}]


def test_every_structure_without_the_dense_runs(two):
    folds, _ = every_level(two.isel(run=np.flatnonzero(two["modality"] == "language")), "structure")
    assert [name for name, _ in folds] == ["structure 2:4", "structure unstructured"]
    assert [held.sum() for _, held in folds] == [12, 36]


def test_every_name_of_a_column(one):
    folds, _ = every_level(one, "tuned")
    assert [(name, int(held.sum())) for name, held in folds] == [("tuned False", 18), ("tuned True", 18)]


@pytest.mark.parametrize(
    ("by", "words"),
    [
        ("modality", r"modality 'language' is all of language"),
        ("strategy", r"strategy 'scratch' is all of language"),
        ("corpus", r"by is 'corpus', which is no column of .*; it is one of nonzero_params, data_seen, sparsity, "),
        ("loss", r"by is 'loss', which is the outcome"),
    ],
)
def test_columns_that_nothing_can_be_left_out_of(two, by, words):
    with pytest.raises(InputError, match=words):
        every_level(two, by)


def test_axes_that_are_refused(one):
    with pytest.raises(InputError, match=r"by is 'remark', which is text .* train_flops, seed, noted"):
        beyond_levels(one, "remark", 1, "largest")
    gaps = with_column(one, "steps", np.where(np.arange(36) == 4, np.nan, 1.0))
    with pytest.raises(InputError, match=r"run '.*' has no steps, so"):
        beyond_levels(gaps, "steps", 1, "largest")
    flat = one.assign(data_seen=("run", np.full(36, 1e9)))
    with pytest.raises(InputError, match=r"language has 1 level of data_seen; to hold out 1 level, it needs 2"):
        beyond_levels(flat, "data_seen", 1, "largest")
    with pytest.raises(InputError, match=r"data_seen has one level"):
        every_level(flat, "data_seen")


def test_few_levels_are_flagged(one):
    size = one["nonzero_params"].to_numpy()
    assert few_levels_notes(one, "nonzero_params", ["language"]) == []
    two_left = one.isel(run=np.flatnonzero(size < 5e7))
    (note,) = few_levels_notes(two_left, "nonzero_params", ["language"])
    assert (note.code, note.severity, note.numbers["levels"]) == ("few_levels_left", "warning", 2)
    assert few_levels_notes(two_left, "nonzero_params", []) == []
