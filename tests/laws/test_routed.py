"""Laws of mixtures of experts: as printed, on the public runs, and refused where they have nothing to say."""

import numpy as np
import pandas as pd
import pytest
from helpers import hand_built

import bayes_scaling as bs
from bayes_scaling.checks import design_notes
from bayes_scaling.design import design_of
from bayes_scaling.errors import InputError

CLARK, ABNAR = bs.laws.get("routed"), bs.laws.get("routed_data")
PRINTED = {
    "s-base": (-0.082, -0.108, 0.009, 1.104, 1.847, 314.478),
    "rl-r": (-0.083, -0.126, 0.012, 1.111, 1.880, 469.982),
    "hash": (-0.087, -0.136, 0.012, 1.157, 4.175, 477.741),
}
E, N = (v.ravel() for v in np.meshgrid([1.0, 2, 8, 64, 512], [2e7, 3e8, 5e9]))


def eq1(experts, size, a, b, c, d, E_s, E_m):
    """Eq. 1 of arXiv:2202.01169, with decimal logarithms."""
    saturated = 1 / (1 / (experts - 1 + 1 / (1 / E_s - 1 / E_m)) + 1 / E_m)
    log_E, log_N = np.log10(saturated), np.log10(size)
    return 10 ** (a * log_N + b * log_E + c * log_N * log_E + d)


@pytest.mark.parametrize("router", PRINTED)
def test_clarks_law_as_printed(router):
    at = CLARK.published[router].coefficients
    np.testing.assert_allclose(CLARK.loss(1 - 1 / E, N, 1e11, **at), eq1(E, N, *PRINTED[router]), rtol=1e-10)


@pytest.mark.parametrize("router", PRINTED)
def test_clarks_effective_parameter_count_is_the_dense_size_of_equal_loss(router):
    at = CLARK.published[router].coefficients
    times = CLARK.dense_equivalent(1 - 1 / E, nonzero_params=N, **at)
    np.testing.assert_allclose(eq1(1.0, N * times, *PRINTED[router]), eq1(E, N, *PRINTED[router]), rtol=1e-10)
    # Experts are worth less in larger models, until they are worth nothing.
    larger = CLARK.dense_equivalent(0.9, nonzero_params=np.geomspace(1e7, 1e10, 20), **at)
    assert (np.diff(larger) < 0).all()
    none = np.exp(at["b_E"] / at["h"])
    assert CLARK.dense_equivalent(0.9, nonzero_params=none, **at) == pytest.approx(1.0)


def test_abnars_law_as_printed():
    S, size, D = np.array([0.0, 0.5, 0.98]), 1e9, 1e11
    every = size / (1 - S)
    expected = (
        16612.5 * every**-0.5962 + 5455.67 * D**-0.3954 + 0.4598 * (1 - S) ** 0.1666
        + 17.26 * (1 - S) ** -0.1603 * every**-0.1595 + 0.94
    )  # fmt: skip
    at = ABNAR.published["moe"].coefficients
    np.testing.assert_allclose(ABNAR.loss(S, size, D, **at), expected, rtol=1e-10)


def test_abnars_dense_equivalent_is_infinite_where_no_dense_model_is_as_good():
    at = ABNAR.published["moe"].coefficients
    sizes = np.array([1e8, 1e9, 1e10])
    times = ABNAR.dense_equivalent(0.9, nonzero_params=sizes, **at)
    np.testing.assert_allclose(ABNAR.loss(0.0, sizes * times, 1e11, **at), ABNAR.loss(0.9, sizes, 1e11, **at))
    assert ABNAR.dense_equivalent(0.98, nonzero_params=1e13, **at) == np.inf


@pytest.fixture(scope="module")
def clark(data_folder):
    """The runs of Eq. 1, sparsity as the share of experts that a token does not meet."""
    runs = pd.read_csv(data_folder / "clark2022_routing" / "final_step_eq1_subset.csv")
    return runs.assign(sparsity=1 - 1 / runs["experts"], param_kind="non_embedding")


@pytest.mark.parametrize(("router", "rms"), [("S-Base", 0.00323), ("RL-R", 0.00323), ("Hash", 0.00298)])
def test_refits_of_the_public_runs_leave_the_known_residuals(clark, router, rms):
    mine = clark[clark["router_type"].isin([router, "Dense"])]
    found = bs.point_fit(mine, law="routed", objective="squared", starts=4)
    assert not found.notes
    assert float((2 * found.objective.item()) ** 0.5 / np.log(10)) == pytest.approx(rms, rel=0.02)


def test_sparsity_that_is_not_that_of_the_experts_is_refused_with_what_it_should_be(clark):
    off = clark.assign(sparsity=clark["sparsity"].where(clark["experts"] < 64, 0.95))
    with pytest.raises(InputError, match=r"'clark-001' has 64 experts and sparsity 0\.95, where that share is 0\.9844"):
        bs.point_fit(off, law="routed")
    two = clark.assign(active_experts=np.where(clark["experts"] > 1, 2, 1))
    with pytest.raises(InputError, match=r"where that share is 0\.9688"):
        bs.point_fit(two, law="routed")


def rows():
    return [
        {"sparsity": 1 - 1 / e, "nonzero_params": n, "data_seen": d, "structure": "dense" if e == 1 else "moe"}
        for e in (1, 4, 16, 64)
        for n in (1e7, 1e8, 1e9)
        for d in (1e10, 1e11)
    ]


def test_runs_of_another_kind_are_refused():
    given = [row | {"loss": 3.0} for row in rows()]
    with pytest.raises(
        InputError, match=r"no term of data, and the runs of 'all' have seen from 1e\+10 to 1e\+11; law"
    ):
        bs.point_fit(given, law="routed")
    pattern = [row | {"sparsity": 0.5, "structure": "2:4"} for row in given]
    for law in ("routed", "routed_data"):
        with pytest.raises(
            InputError, match="is about mixtures of experts, and run 'run-0001' has the structure '2:4'"
        ):
            bs.point_fit(pattern, law=law)
    later = [row | {"strategy": "pretrained", "pretrain_data": 1e9} for row in given]
    with pytest.raises(InputError, match="is about training from scratch, and run 'run-0001' has the strategy"):
        bs.point_fit(later, law="routed_data")


def test_a_point_fit_finds_abnars_coefficients_behind_losses():
    at = ABNAR.published["moe"].coefficients
    larger = [row | {name: 3 * row[name] for name in ("nonzero_params", "data_seen")} for row in rows()]
    columns = ("sparsity", "nonzero_params", "data_seen")
    given = [row | {"loss": float(ABNAR.loss(*(row[c] for c in columns), **at))} for row in [*rows(), *larger]]
    found = bs.point_fit(given, law="routed_data", starts=3)
    assert found.scores["max_relative_error"].item() < 1e-4
    asked = [{"sparsity": 0.9, "nonzero_params": 3e9, "data_seen": 1e12}]
    assert float(found.predict(asked)[0]) == pytest.approx(float(ABNAR.loss(0.9, 3e9, 1e12, **at)), rel=1e-3)


def posterior_of(law, name):
    """Draws around published coefficients."""
    at = law.published[name].coefficients
    spread = 1 + 0.01 * np.linspace(-1, 1, 5)
    data = (1e11,) if law.held else (1e10, 1e11)
    runs = [row | {"modality": "language", "strategy": "scratch", "data_unit": "tokens"} for row in rows()]
    runs = [row for row in runs if row["data_seen"] in data]
    return hand_built({name: value * spread for name, value in at.items()}, runs, law=law.name, structure="moe")


def test_clarks_law_answers_at_the_data_of_its_runs_and_nowhere_else():
    posterior = posterior_of(CLARK, "s-base")
    asked = {"sparsity": 1 - 1 / 8, "nonzero_params": 1e9, "structure": "moe"}
    loss = bs.predict(posterior, [asked | {"data_seen": 1.02e11}])
    assert float(loss.median()) == pytest.approx(eq1(8, 1e9, *PRINTED["s-base"]), rel=1e-6)
    with pytest.raises(
        InputError, match=r"has data_seen 1e\+12, and law 'routed' is no function of it: it answers for"
    ):
        bs.predict(posterior, [asked | {"data_seen": 1e12}])


def test_budgets_are_refused_where_the_law_has_no_data():
    posterior = posterior_of(CLARK, "s-base")
    for ask in (bs.recommend, bs.optimal_sparsity):
        with pytest.raises(
            InputError, match="law 'routed' is no function of data_seen, so it cannot say what a budget"
        ):
            ask(posterior, nonzero_params=1e9, train_flops=1e21)


def test_dense_equivalents_of_experts_ask_for_a_size():
    posterior = posterior_of(CLARK, "hash")
    with pytest.raises(InputError, match="under law 'routed' the dense equivalent depends on size, and nonzero_params"):
        bs.dense_equivalent(posterior, 0.75)
    found = bs.dense_equivalent(posterior, 0.75, nonzero_params=1e8).median()
    expected = CLARK.dense_equivalent(0.75, nonzero_params=1e8, **CLARK.published["hash"].coefficients)
    assert float(found) == pytest.approx(float(expected))
    with pytest.raises(InputError, match="nonzero_params is -1; it is a number above 0"):
        bs.dense_equivalent(posterior, 0.75, nonzero_params=-1)
    assert bs.plot_dense_equivalent(posterior, nonzero_params=1e8).axes


def test_experts_are_recommended_at_the_cost_of_their_active_parameters_only():
    posterior = posterior_of(ABNAR, "moe")
    with pytest.raises(
        InputError, match="cost 'gradual' is of another kind of sparsity than that of law 'routed_data'; "
    ):
        bs.recommend(posterior, nonzero_params=1e9, train_flops=6e20)
    answer = bs.recommend(posterior, nonzero_params=1e9, train_flops=6e20, cost="static").answers[0]
    # More experts always help under this cost, so the recommendation ends where the runs do.
    assert answer.recommended["sparsity"] == pytest.approx(1 - 1 / 64)
    assert "optimum_at_largest_sparsity" in [note.code for note in answer.notes]
    assert answer.recommended["data_seen"] == pytest.approx(1e11)
    at = ABNAR.published["moe"].coefficients
    expected = ABNAR.dense_equivalent(1 - 1 / 64, nonzero_params=1e9, **at)
    assert answer.dense_equivalent["median"] == pytest.approx(float(expected), rel=1e-6)


def test_one_amount_of_data_is_no_lack_where_the_law_has_none():
    given = bs.load_runs([row | {"loss": 3.0} for row in rows() if row["data_seen"] == 1e11])

    def noted(law):
        return [note.code for note in design_notes(design_of(given, law), given, law)]

    assert "one_level_data_seen" in noted(ABNAR)
    assert "one_level_data_seen" not in noted(CLARK)
