import itertools
import json
from dataclasses import dataclass

import numpy as np
import pytest
import xarray as xr
from helpers import codes, hand_built, law_alone, one_modality, random_coefficients

import bayes_scaling as bs
from bayes_scaling import laws, targets
from bayes_scaling.decide import costs
from bayes_scaling.decide.next.batch import best_batch, greedy
from bayes_scaling.decide.next.misses import Misses
from bayes_scaling.decide.next.regret import Preposterior
from bayes_scaling.decide.next.variance import Variance
from bayes_scaling.demo import questions
from bayes_scaling.discrepancy import SCALE
from bayes_scaling.errors import InputError
from bayes_scaling.extrapolation import beyond
from bayes_scaling.intervals import interval
from bayes_scaling.refit import refit

SPARSITY = targets.OptimalSparsity(6.4e7, 1e20)
INSIDE = {"nonzero_params": [2e6, 1.6e7], "data_seen": [1e9, 1.6e10], "sparsity": [0.0, 0.6, 0.8]}
BEYOND = {"nonzero_params": [2.56e8], "data_seen": [1e9, 6.4e10], "sparsity": [0.0, 0.75]}


@dataclass(frozen=True)
class NothingMissed:
    """Stands in where there is no law that might miss."""

    at: np.ndarray
    at_goal: float = 0.0

    def after(self):
        return np.zeros(self.at.size)

    def with_run(self, _):
        return self


# --- the linear formula ----------------------------------------------------------------------------------------------


def linear_problem(seed=0, size=12):
    """Normal parameters, a target and observations that are linear in them."""
    rng = np.random.default_rng(seed)
    root = rng.normal(size=(4, 4))
    features, goal = rng.normal(size=(size, 4)), rng.normal(size=4)
    return root @ root.T, features, goal, rng.uniform(0.2, 2.0, size), rng.uniform(1.0, 5.0, size)


def exact(covariance, features, goal, noise, chosen):
    """Variance of the target after noisy observations, by adding up information."""
    information = np.linalg.inv(covariance)
    for i in chosen:
        information = information + np.outer(features[i], features[i]) / noise[i]
    return goal @ np.linalg.inv(information) @ goal


def joint(covariance, features, goal):
    everything = np.vstack([goal, features])
    return everything @ covariance @ everything.T


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("per_flop", [True, False])
def test_a_batch_is_the_exact_greedy_one_where_all_is_linear(seed, per_flop):
    covariance, features, goal, noise, flops = linear_problem(seed)
    state = Variance(joint(covariance, features, goal), noise, NothingMissed(np.zeros(12)), np.inf)
    picks = greedy(state, flops, np.full(12, 2), 1e9, 6, per_flop=per_flop)
    chosen = []
    for pick in picks:
        before = exact(covariance, features, goal, noise, chosen)
        worth = {
            i: (before - exact(covariance, features, goal, noise, [*chosen, i])) / (flops[i] if per_flop else 1)
            for i in range(12)
            if chosen.count(i) < 2
        }
        assert pick.candidate == max(worth, key=worth.get)
        chosen.append(pick.candidate)
        assert pick.before == pytest.approx(before)
        assert pick.after == pytest.approx(exact(covariance, features, goal, noise, chosen))
    assert len(picks) == 6


def test_draws_give_the_exact_answer_but_for_their_number():
    covariance, features, goal, noise, flops = linear_problem()
    parameters = np.random.default_rng(1).multivariate_normal(np.zeros(4), covariance, 20_000)
    state = Variance.of(parameters @ goal, parameters @ features.T, noise, NothingMissed(np.zeros(12)), 20_000)
    picks = greedy(state, flops, np.ones(12, int), 1e9, 4, per_flop=False)
    chosen = [pick.candidate for pick in picks]
    start = exact(covariance, features, goal, noise, [])
    for k, pick in enumerate(picks):
        assert pick.after == pytest.approx(exact(covariance, features, goal, noise, chosen[: k + 1]), abs=0.02 * start)


def test_what_the_law_may_miss_counts_as_noise():
    covariance, features, goal, noise, _ = linear_problem()
    missed = np.linspace(0, 3, 12)
    clear = Variance(joint(covariance, features, goal), noise + missed, NothingMissed(np.zeros(12)), np.inf)
    hidden = Variance(joint(covariance, features, goal), noise, NothingMissed(missed), np.inf)
    np.testing.assert_allclose(hidden.gains, clear.gains)
    np.testing.assert_allclose(hidden.take(3).covariance, clear.take(3).covariance)


def test_draws_that_have_nothing_to_do_with_each_other_tell_nothing():
    rng = np.random.default_rng(2)
    goal, log_loss = rng.normal(size=1000), rng.normal(size=(1000, 50))
    state = Variance.of(goal, log_loss, np.full(50, 1e-6), NothingMissed(np.zeros(50)), 1000)
    assert (state.gains == 0).all()
    assert Variance(state.covariance, state.noise, state.misses, np.inf).gains.min() > 0
    assert not greedy(state, np.ones(50), np.ones(50, int), 1e9, 3, per_flop=True)


def test_the_better_one_of_two_greedy_batches():
    # one large run tells nearly all, small ones little but more per FLOP
    covariance = np.diag([1.0, 1.0, 1.0])
    features = np.array([[1.0, 0.3, 0.3], [0.0, 0.6, 0.0], [0.0, 0.0, 0.6]])
    goal, noise, flops = np.array([1.0, 0.3, 0.3]), np.full(3, 0.01), np.array([100.0, 1.0, 1.0])
    state = Variance(joint(covariance, features, goal), noise, NothingMissed(np.zeros(3)), np.inf)
    room = np.ones(3, int)
    picks, rule = best_batch(state, flops, room, 100.0, None)
    assert ([pick.candidate for pick in picks], rule) == ([0], "gain")
    picks, rule = best_batch(state, flops, room, 99.0, None)
    assert sorted(pick.candidate for pick in picks) == [1, 2]
    picks, rule = best_batch(state, flops, room, 102.0, None)
    assert sorted(pick.candidate for pick in picks) == [0, 1, 2]
    assert best_batch(state, flops, room, 0.5, None)[0] == []


# --- regret ----------------------------------------------------------------------------------------------------------


def two_actions(noise, seed=0):
    """One action costs nothing, the other θ, standard normal; candidates: θ itself, and something else."""
    rng = np.random.default_rng(seed)
    effect, other = rng.normal(size=2000), rng.normal(size=2000)
    losses = np.stack([np.zeros(2000), effect], axis=1)
    log_loss = np.stack([effect, other], axis=1)
    spread = np.full((2000, 2), noise)
    linear = Variance.of(effect, log_loss, spread[0], NothingMissed(np.zeros(2)), 2000)
    return Preposterior.of(losses, losses.min(axis=1), log_loss, spread, linear, np.ones(2), seed)


@pytest.mark.parametrize("noise", [0.02, 1.0, 4.0])
def test_what_a_run_saves_is_the_value_of_its_information(noise):
    gains = np.array([two_actions(noise, seed).gains for seed in range(5)])
    # with normal noise the posterior mean is normal, and E max(0, -mean) known; t noise of that variance tells more
    normal = np.sqrt(1 / (1 + noise) / (2 * np.pi))
    # fractions of a t(4) with half the variance per squared scale: by integration over a grid
    grid, seen = np.linspace(-6, 6, 601), np.linspace(-40, 40, 4001)
    prior = np.exp(-(grid**2) / 2)
    prior /= prior.sum()
    scale = np.sqrt(noise / 2)
    density = (1 + ((seen[:, None] - grid) / scale) ** 2 / 4) ** -2.5
    density /= density.sum(axis=0)
    joint_density = density * prior
    value = np.maximum(0, -(joint_density @ grid)).sum()
    assert value >= normal - 1e-3
    error = gains[:, 0].std() / np.sqrt(5)
    assert gains[:, 0].mean() == pytest.approx(value, abs=3 * error + 0.004)
    assert (gains[:, 1] == 0).all()


def test_a_second_look_at_the_same_saves_less():
    state = two_actions(0.5)
    assert state.left == pytest.approx(np.sqrt(1 / (2 * np.pi)), abs=0.02)
    first = state.take(0)
    second = first.take(0)
    assert state.left > first.left > second.left
    assert state.left - first.left > first.left - second.left


def test_regret_of_a_posterior(single):
    target = targets.Regret(6.4e7, 3e18)
    found = bs.next_runs(single, BEYOND | {"sparsity": [0, 0.5, 0.75]}, 1e22, target=target, count=2)
    (answer,) = bs.recommend(law_alone(single), 6.4e7, 3e18).answers
    assert found.before == pytest.approx(answer.expected_regret, rel=0.15)
    assert found.measure == "expected regret"
    assert found.after <= found.before
    again = bs.next_runs(single, BEYOND | {"sparsity": [0, 0.5, 0.75]}, 1e22, target=target, count=2)
    assert again.to_dict() == found.to_dict()


# --- against refits --------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def small():
    """A sweep, and a quick posterior of it."""
    runs = bs.load_runs(one_modality())
    return runs, refit(runs, laws.get("sparse"), seed=3, draws=1000)


def variance_after(runs, posterior, row, target, outcomes):
    """Mean variance of the target once a run was trained, its loss simulated from the posterior."""
    losses = bs.predict(posterior, [row], kind="new-run", seed=5).to_numpy().ravel()
    losses = np.quantile(losses, (np.arange(outcomes) + 0.5) / outcomes)
    rows = runs.reset_coords("run_id").to_dataframe().to_dict("records")
    found = []
    for loss in losses:
        more = bs.load_runs([*rows, row | {"run_id": "new", "loss": float(loss)}])
        after = refit(more, laws.get("sparse"), seed=3, draws=1000)
        found.append(target.settled(after).draws(after, costs.get("gradual"), None).var())
    return float(np.mean(found))


def test_refits_agree_with_the_ranking(small):
    runs, posterior = small
    target = targets.Loss(1e9, 4e9, 0.9)
    candidates = [
        {"nonzero_params": n, "data_seen": 4e9, "sparsity": s, "modality": "language", "run_id": f"{n:g}, {s}"}
        for n, s in itertools.product([2e6, 5e8], [0.0, 0.9])
    ]
    for row in candidates:
        row["train_flops"] = 1e18  # each costs the same, so that the best per FLOP is the best
    plain = law_alone(posterior)  # a refit takes no notice of a discrepancy in its runs either
    found = bs.next_runs(plain, candidates, 1e30, target=target)
    order = found.runs["run_id"].to_numpy().tolist()
    assert order == ["5e+08, 0.9", "5e+08, 0.0"]  # the small ones tell no more than chance
    rows = {row["run_id"]: row for row in candidates}
    now = target.settled(plain).draws(plain, costs.get("gradual"), None).var()
    after = {name: variance_after(runs, plain, rows[name], target, 3) for name in (order[0], order[-1])}
    assert after[order[0]] < 0.85 * after[order[-1]]
    assert after[order[-1]] < 0.85 * now
    # the linear formula promises no more than refits bring, but for chance
    assert after[order[0]] < 1.25 * float(found.runs["after"][0]) ** 2


# --- which runs, and how many ----------------------------------------------------------------------------------------


def test_what_was_trained_is_not_picked(single):
    trained = single["runs"].to_dataset()
    found = bs.next_runs(single, trained, 1e30, target=SPARSITY)
    assert codes(found.notes) == ["all_trained"]
    assert found.runs.sizes["run"] == 0
    assert found.after == found.before
    counted = trained.assign(sparsity=trained["sparsity"] * 0.9997, nonzero_params=trained["nonzero_params"] * 1.002)
    assert codes(bs.next_runs(single, counted.drop_vars("loss"), 1e30, target=SPARSITY).notes) == ["all_trained"]
    new = {"nonzero_params": 2e6, "data_seen": 1e9, "sparsity": 0.6, "modality": "language"}
    rows = [*one_modality(), new | {"run_id": "a"}, new | {"run_id": "b", "data_seen": 1.001e9}]
    assert bs.next_runs(single, rows, 1e30, target=SPARSITY).runs["run_id"].values.tolist() == ["a"]


def test_no_design_twice_unless_asked_for(single):
    once = bs.next_runs(single, INSIDE, 1e30, target=SPARSITY).to_frame()
    assert not once.duplicated(["nonzero_params", "data_seen", "sparsity"]).any()
    twice = bs.next_runs(single, INSIDE, 1e30, target=SPARSITY, replicates=2).to_frame()
    designs = twice.groupby(["nonzero_params", "data_seen", "sparsity"]).size()
    assert designs.max() == 2
    assert twice["run_id"].is_unique
    trained = bs.next_runs(single, single["runs"].to_dataset(), 1e30, target=SPARSITY, replicates=2)
    assert not trained.to_frame().duplicated(["nonzero_params", "data_seen", "sparsity"]).any()
    assert not set(trained.runs["run_id"].values) & set(single["runs"]["run_id"].values)


def test_a_replicate_of_a_pick_is_worth_less(single):
    one = [{"nonzero_params": 2e6, "data_seen": 1e9, "sparsity": 0.8}]
    frame = bs.next_runs(single, one, 1e30, target=targets.Loss(2e6, 1e9, 0.8), replicates=4).to_frame()
    assert len(frame) == 4
    assert (np.diff(frame["gain"]) < 0).all()
    np.testing.assert_allclose(frame["before"][1:], frame["after"][:-1])


@pytest.mark.parametrize("budget", [1e17, 1e18, 1e19])
def test_the_budget_is_kept(single, budget):
    frame = bs.next_runs(single, INSIDE, budget, target=SPARSITY).to_frame()
    assert 0 < frame["train_flops"].sum() <= budget * (1 + 1e-9)
    np.testing.assert_allclose(frame["cumulative_flops"], frame["train_flops"].cumsum())
    assert frame["rank"].tolist() == list(range(1, len(frame) + 1))
    assert len(bs.next_runs(single, INSIDE, budget, target=SPARSITY, count=1).to_frame()) == 1
    exactly = bs.next_runs(single, INSIDE, frame["train_flops"].sum(), target=SPARSITY)
    assert float(exactly.runs["train_flops"].sum()) <= frame["train_flops"].sum() * (1 + 1e-9)


def test_nothing_fits(single):
    found = bs.next_runs(single, INSIDE, 1e12, target=SPARSITY)
    assert codes(found.notes) == ["nothing_affordable"]
    assert "1e+12" in str(found)
    assert found.to_dict()["runs"] == []


def test_nothing_tells():
    k = random_coefficients(0) | {"b_N": np.full(200, 0.3)}
    posterior = hand_built(k, one_modality())
    found = bs.next_runs(posterior, INSIDE, 1e30, target=targets.Coefficient("b_N"))
    assert codes(found.notes) == ["no_gain"]
    assert found.before == pytest.approx(0, abs=1e-12)


def test_more_is_known_after_each(single):
    for target in (SPARSITY, targets.Coefficient("c"), targets.Coefficient("a_D"), targets.Loss(2.56e8, 6.4e10, 0.75)):
        found = bs.next_runs(single, BEYOND, 1e30, target=target)
        assert (found.runs["after"] < found.runs["before"]).all()
        assert found.after == pytest.approx(float(found.runs["after"][-1]))
        assert found.after < found.before


# --- beyond the runs -------------------------------------------------------------------------------------------------


def test_variance_of_what_the_law_may_miss(single):
    table = bs.load_runs(one_modality(sizes=[1e6, 2.56e8], data=[4e9, 1.28e11], sparsities=[0, 0.75]))
    misses = Misses.of(single, table, table.isel(run=[-1]))
    nats = beyond(
        single,
        "language",
        "unstructured",
        **{n: xr.DataArray(table[n].values, dims="run") for n in ("nonzero_params", "data_seen", "sparsity")},
    ).sel(side="above")
    size, data, flops = (nats.sel(axis=a).values for a in ("nonzero_params", "data_seen", "train_flops"))
    expected = SCALE**2 * (size**2 + data**2 + np.maximum(0, flops - size - data) ** 2)
    np.testing.assert_allclose(misses.at, expected, rtol=0.12)
    assert misses.at_goal == pytest.approx(misses.at[-1])
    after = misses.after()
    assert after[-1] == 0  # the goal itself was trained
    inside = misses.at == 0
    assert inside.any()
    np.testing.assert_array_equal(after[inside], misses.at_goal)
    for i in np.flatnonzero(~inside):
        assert after[i] == misses.with_run(i).at_goal
        assert misses.with_run(i).at[i] == 0


def test_a_loss_beyond_carries_what_the_law_may_miss(single):
    target = targets.Loss(2.56e8, 1.28e11, 0.75)
    row = {"nonzero_params": 2.56e8, "data_seen": 1.28e11, "sparsity": 0.75}
    found = bs.next_runs(single, [row], 1e30, target=target)
    assert found.before == pytest.approx(float(np.log(bs.predict(single, [row])).std()), rel=0.03)
    assert found.now == pytest.approx(interval(np.log(bs.predict(single, [row]).isel(run=0))))
    alone = bs.next_runs(law_alone(single), [row], 1e30, target=target)
    assert alone.before < found.before
    noise = float((2 * single["posterior"]["sigma"] ** 2).mean()) ** 0.5
    assert found.after < 1.1 * (noise**2 + SCALE**2 * 4) ** 0.5
    assert "picks_beyond_runs" in codes(found.notes)
    assert "picks_beyond_runs" not in codes(bs.next_runs(single, INSIDE, 1e19, target=SPARSITY).notes)


def test_standard_errors_of_candidates_count(single):
    row = {"nonzero_params": 2e6, "data_seen": 1e9, "sparsity": 0.8}
    quiet, loud = (
        bs.next_runs(single, [row | {"loss_se": se}], 1e30, target=targets.Loss(2e6, 1e9, 0.8)).to_frame()
        for se in (0.0, 0.1)
    )
    assert loud["gain"][0] < 0.2 * quiet["gain"][0]


# --- candidates and their cost ---------------------------------------------------------------------------------------


def test_flops_of_candidates(single):
    table = bs.load_runs(
        [
            {"nonzero_params": 2e6, "data_seen": 1e9, "sparsity": 0.8, "train_flops": 5e15},
            {"nonzero_params": 4e6, "data_seen": 1e9, "sparsity": 0.8, "train_flops": ""},
        ],
        need_loss=False,
    )
    for cost in ("gradual", "dense"):
        found = bs.next_runs(single, table, 1e30, target=targets.Loss(3e6, 1e9, 0.8), cost=cost, flops_per_unit=10)
        flops = found.to_frame().set_index("nonzero_params")["train_flops"]
        assert flops[2e6] == 5e15
        assert flops[4e6] == pytest.approx(10 * 4e6 * 1e9 * costs.get(cost).multiplier(0.8))


def test_a_grid_spelled_out(single):
    every = bs.next_runs(single, INSIDE, 1e30, target=SPARSITY)
    rows = [dict(zip(INSIDE, cell, strict=True)) for cell in itertools.product(*INSIDE.values())]
    assert bs.next_runs(single, rows, 1e30, target=SPARSITY).to_dict() == every.to_dict()
    # a cube has cells that no run was trained in
    runs = bs.load_runs(one_modality()[:-1])
    posterior = xr.DataTree.from_dict({n: node.to_dataset() for n, node in single.children.items()})
    posterior.attrs = single.attrs
    posterior["runs"] = xr.DataTree(runs)
    (missing,) = bs.next_runs(posterior, bs.grid(runs), 1e30, target=SPARSITY).to_frame().to_dict("records")
    last = one_modality()[-1]
    assert all(missing[n] == last[n] for n in ("nonzero_params", "data_seen", "sparsity", "structure", "modality"))


def test_losses_of_candidates_are_not_looked_at(single):
    rows = [dict(zip(INSIDE, cell, strict=True)) for cell in itertools.product(*INSIDE.values())]
    losses = np.random.default_rng(0).uniform(1, 9, len(rows))
    known = [row | {"loss": loss} for row, loss in zip(rows, losses, strict=True)]
    found = bs.next_runs(single, known, 1e30, target=SPARSITY)
    assert "loss" not in found.runs
    assert found.to_dict() == bs.next_runs(single, rows, 1e30, target=SPARSITY).to_dict()


def test_the_result_is_a_run_table(single, tmp_path):
    found = bs.next_runs(single, INSIDE, 1e19, target=SPARSITY, prob=0.5)
    path = bs.save_runs(found.runs, tmp_path / "next.csv")
    again = bs.load_runs(path, need_loss=False)
    assert again["run_id"].values.tolist() == found.runs["run_id"].values.tolist()
    np.testing.assert_allclose(again["cumulative_flops"], found.runs["cumulative_flops"])
    said = found.to_dict()
    assert json.loads(json.dumps(said, allow_nan=False)) == said
    assert said["prob"] == 0.5
    assert said["train_flops"] == pytest.approx(sum(row["train_flops"] for row in said["runs"]))
    frame = found.to_frame()
    losses = bs.predict(single, found.runs.drop_vars("run_id"), "new-run")
    np.testing.assert_allclose(frame["predicted_lower"], losses.quantile(0.25, ("chain", "draw")))
    assert (frame["predicted_lower"] < frame["predicted_upper"]).all()
    assert "50%" in str(found)
    assert "Refit once they are trained" in " ".join(str(found).split())


# --- targets ---------------------------------------------------------------------------------------------------------


def test_the_default_is_the_demos_question(single):
    (asked,) = questions(single["runs"].to_dataset())
    size, budget = asked.nonzero_params, asked.train_flops
    found = bs.next_runs(single, INSIDE, 1e19, count=1)
    assert found.target == targets.OptimalSparsity(size, budget, "language", "unstructured")
    same = bs.next_runs(single, INSIDE, 1e19, count=1, target=targets.OptimalSparsity(size, budget))
    assert same.to_dict() == found.to_dict()


def test_draws_of_targets(simulated):
    where = ("language", "2:4")
    gradual = costs.get("gradual")
    asked = targets.OptimalSparsity(1e7, 1e19, *where)
    expected = bs.optimal_sparsity(simulated, 1e7, 1e19, *where).to_numpy().ravel()
    np.testing.assert_array_equal(asked.settled(simulated).draws(simulated, gradual, None), expected)
    loss = targets.Loss(1e7, 4e9, 0.5, *where)
    row = {"nonzero_params": 1e7, "data_seen": 4e9, "sparsity": 0.5, "modality": where[0], "structure": where[1]}
    expected = np.log(bs.predict(law_alone(simulated), [row])).to_numpy().ravel()
    np.testing.assert_allclose(loss.settled(simulated).draws(simulated, gradual, None), expected)
    draws = simulated["posterior"]
    floor = targets.Coefficient("c", "vision").settled(simulated).draws(simulated, gradual, None)
    np.testing.assert_array_equal(floor, draws["c"].sel(modality="vision").to_numpy().ravel())
    scale = targets.Coefficient("a_D", "vision").settled(simulated).draws(simulated, gradual, None)
    np.testing.assert_allclose(scale, np.log(draws["a_D"].sel(modality="vision").to_numpy().ravel()))


def test_other_groups_tell_too(simulated):
    rows = [
        {"nonzero_params": 2e6, "data_seen": 1e9, "sparsity": s, "modality": m, "structure": x}
        for m, x, s in (("language", "unstructured", 0.6), ("language", "2:4", 0.5), ("vision", "unstructured", 0.6))
    ]
    target = targets.Coefficient("b_S", "language", "unstructured")
    frame = bs.next_runs(simulated, rows, 1e30, target=target, flops_per_unit=6).to_frame()
    assert (frame["modality"][0], frame["structure"][0]) == ("language", "unstructured")


# --- mistakes --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"candidates": []}, "has no runs"),
        ({"candidates": {"nonzero_params": [1e6], "sparsity": [0.5]}}, "no column 'data_seen'"),
        ({"candidates": INSIDE | {"sparsity": [50]}}, "looks like a percent"),
        ({"candidates": INSIDE | {"modality": ["audio"]}}, "audio"),
        ({"candidates": INSIDE | {"train_flops": [0]}}, "'train_flops': found 0"),
        ({"candidates": INSIDE | {"nonzero_params": np.geomspace(1e6, 1e9, 400)}}, "2,400 cells"),
        ({"candidates": [{"nonzero_params": n + 1e6, "data_seen": 1e9, "sparsity": 0} for n in range(2001)]}, "2,001"),
        ({"budget_flops": 0}, "budget_flops is 0"),
        ({"budget_flops": float("nan")}, "budget_flops is nan"),
        ({"count": 0}, "count is 0"),
        ({"replicates": 0}, "replicates is 0"),
        ({"seed": -1}, "seed is -1"),
        ({"prob": 1.5}, "prob is 1.5"),
        ({"cost": "free"}, "cost 'free' is not known"),
        ({"target": "loss"}, "target is 'loss'"),
        ({"target": targets.Loss(1e7, 4e9, 75)}, "looks like a percent"),
        ({"target": targets.Loss(-1, 4e9)}, "'nonzero_params'"),
        ({"target": targets.Coefficient("alpha")}, "name is 'alpha'"),
        ({"target": targets.OptimalSparsity(1e7, 1e19, "audio")}, "audio"),
        ({"target": targets.OptimalSparsity(1e7, 1e3)}, "less than one token"),
        ({"target": targets.Regret(0, 1e19)}, "nonzero_params is 0"),
    ],
)
def test_what_is_refused(single, changed, message):
    asked = {"candidates": INSIDE, "budget_flops": 1e19, "target": SPARSITY} | changed
    with pytest.raises(InputError, match=message):
        bs.next_runs(single, asked.pop("candidates"), asked.pop("budget_flops"), **asked)


def test_what_is_asked_must_be_clear(simulated):
    rows = [{"nonzero_params": 2e6, "data_seen": 1e9, "sparsity": 0.6, "modality": m} for m in ("language", "vision")]
    with pytest.raises(InputError, match=r"several of modality .*--target optimal-sparsity .*--modality language"):
        bs.next_runs(simulated, rows, 1e19)
    with pytest.raises(InputError, match="does not say its modality"):
        bs.next_runs(simulated, rows, 1e19, target=targets.OptimalSparsity(1e7, 1e19))
    with pytest.raises(InputError, match="does not say its structure"):
        bs.next_runs(simulated, rows, 1e19, target=targets.Loss(1e7, 1e9, 0.5, "vision"))
    found = bs.next_runs(simulated, rows[1:], 1e19)
    assert (found.target.modality, found.target.structure) == ("vision", "unstructured")
    assert "flops_per_example" in codes(
        bs.next_runs(simulated, [rows[1] | {"data_unit": "examples"}], 1e19, target=found.target).notes
    )
