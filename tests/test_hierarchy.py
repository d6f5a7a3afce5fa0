import numpy as np
import pytest
from scipy import stats

from bayes_scaling.hierarchy import Population, link, pool, unlink
from bayes_scaling.laws.base import Pooled

FLAT = Pooled(center=0.3, sd=0.6, spread=0.4, link="log", over=("modality",))
CELLS = Pooled(center=0.6, sd=0.8, spread=0.6, link="logit", over=("modality", "structure"))
NESTED = np.array([[0, 0, 0, 1, 1, 1], [0, 1, 2, 0, 1, 2]])  # two modalities, three structures
DRAWS = 400_000


def brute_force(population, count, rng):
    """Population mean, spread and groups, drawn level by level as the model is told, nothing integrated out."""
    node = rng.integers(len(population.scales), size=count)
    mean = rng.normal(population.mean, population.sd, count)
    groups = np.repeat(mean[:, None], population.levels.shape[1], axis=1)
    for component, members in enumerate(population.levels):
        effects = rng.standard_normal((count, members.max() + 1)) * population.scales[node, component, None]
        groups += effects[:, members]
    quantile = (node // len(population.shares) + rng.random(count)) / len(population.spreads)
    return mean, stats.halfnorm.ppf(quantile, scale=population.scale), groups


@pytest.mark.parametrize("levels", [[[0]], [[0, 1, 2]], NESTED, [[0, 0], [0, 0], [0, 1]]])
@pytest.mark.parametrize("prior", [FLAT, CELLS])
def test_covariance_is_that_of_the_effects(levels, prior):
    population = pool(prior, levels)
    covariance = population.covariance()
    groups = np.shape(levels)[1]
    assert covariance.shape == (len(population.scales), groups, groups)
    np.testing.assert_array_equal(covariance, np.swapaxes(covariance, 1, 2))
    assert (np.linalg.eigvalsh(covariance) > 0).all()
    _, _, drawn = brute_force(population, DRAWS, np.random.default_rng(1))
    expected = covariance.mean(axis=0)  # every node has the same mean
    np.testing.assert_allclose(np.cov(drawn.T).reshape(groups, groups), expected, rtol=0.02)


def test_precision_is_of_the_groups_asked_for():
    population = pool(CELLS, NESTED)
    some = np.array([0, 2, 4])
    precision, log_det = population.precision(some)
    covariance = population.covariance()[np.ix_(np.arange(len(population.scales)), some, some)]
    np.testing.assert_allclose(precision @ covariance, np.broadcast_to(np.eye(3), precision.shape), atol=1e-8)
    np.testing.assert_allclose(log_det, -np.log(np.linalg.det(covariance)), rtol=1e-8)


UNBALANCED = np.array([[0, 0, 0, 1, 1, 2], [0, 1, 2, 0, 3, 1]])
HUNDRED = np.stack(np.unravel_index(np.arange(400), (100, 4)))


@pytest.mark.parametrize(
    ("levels", "some"),
    [
        ([[0]], [0]),
        ([[0, 1]], [0, 1]),
        ([range(100)], range(100)),
        (NESTED, range(6)),
        (NESTED, [0, 2, 4]),
        (UNBALANCED, range(6)),
        (HUNDRED, range(0, 400, 4)),
        (HUNDRED, np.random.default_rng(0).choice(400, 130, replace=False)),
    ],
)
def test_on_its_axes_the_density_is_the_mixtures(levels, some):
    """All spreads have axes in common, however many groups share a level."""
    population, some = pool(CELLS, levels), np.array(some)
    axes, along, log_det = population.axes(some)
    assert axes.shape == (len(population.shares), len(some), len(some))
    assert along.shape == (len(population.spreads), *axes.shape[:2])
    covariance = population.covariance()[:, some][:, :, some]
    rng = np.random.default_rng(1)
    for away in (0.1, 2.0):
        at = rng.normal(population.mean, away, len(some))
        square = (along * (axes @ (at - population.mean)) ** 2).sum(axis=2)
        found = 0.5 * (log_det - square).ravel() - 0.5 * len(some) * np.log(2 * np.pi)
        mean = np.full(len(some), population.mean)
        expected = [stats.multivariate_normal.logpdf(at, mean, k) for k in covariance]
        np.testing.assert_allclose(found, expected, rtol=1e-10, atol=1e-10)


def test_at_average_is_the_mean_covariance():
    population = pool(CELLS, NESTED)
    weight = np.random.default_rng(2).dirichlet(np.ones(len(population.scales)))
    for average, expected in [
        (population.at_average(), population.covariance().mean(axis=0)),
        (population.at_average(weight), np.tensordot(weight, population.covariance(), 1)),
    ]:
        assert average.spreads.shape == (1,)
        np.testing.assert_allclose(average.covariance()[0], expected, rtol=1e-12)


def test_groups_that_share_more_levels_resemble_each_other_more():
    covariance = pool(CELLS, NESTED).covariance().mean(axis=0)
    same_modality, same_structure, nothing = covariance[0, 1], covariance[0, 3], covariance[0, 4]
    assert covariance[0, 0] > same_modality > nothing
    assert same_structure > nothing == pytest.approx(CELLS.sd**2)


@pytest.mark.parametrize("levels", [[[0, 1, 2]], NESTED])
def test_scales_are_half_normal(levels):
    """The grid stands for the half-normal prior of the spread, whatever the number of components."""
    population = pool(FLAT, levels)
    total = np.sqrt((population.scales**2).sum(axis=1))
    assert total.mean() == pytest.approx(stats.halfnorm.mean(scale=FLAT.spread), rel=0.03)
    assert np.median(total) == pytest.approx(stats.halfnorm.median(scale=FLAT.spread), rel=0.03)
    assert population.mean == pytest.approx(np.log(FLAT.center))
    assert (population.scales > 0).all()


def test_two_dimensions_get_an_effect_of_their_own():
    one, two = pool(FLAT, [[0, 1]]), pool(FLAT, NESTED)
    assert one.levels.shape == (1, 2)
    assert two.levels.shape == (3, 6)
    assert two.levels[2].tolist() == list(range(6))
    # each component in turn carries most of the variance
    dominant = np.unique(two.scales.argmax(axis=1), return_counts=True)
    assert dominant[0].tolist() == [0, 1, 2]
    assert np.ptp(dominant[1]) == 0


@pytest.mark.parametrize(
    ("levels", "seen"), [([[0, 1, 2]], [0, 2]), (NESTED, [0, 1, 3]), (NESTED, [5]), ([[0]], [0]), (NESTED, range(6))]
)
def test_recover_leaves_seen_groups_as_they_are(levels, seen):
    population = pool(CELLS, levels)
    seen = np.array(list(seen))
    values = np.random.default_rng(0).normal(size=(500, len(seen)))
    mean, spread, every = population.recover(values, seen, np.random.default_rng(1))
    np.testing.assert_array_equal(every[:, seen], values)
    assert every.shape == (500, np.shape(levels)[1])
    assert mean.shape == spread.shape == (500,)
    assert np.isfinite(every).all()
    assert (spread > 0).all()


@pytest.mark.parametrize(("levels", "seen"), [([[0, 1, 2]], [0, 2]), (NESTED, [0, 1, 3]), ([[0]], [0])])
def test_recover_of_prior_draws_gives_back_the_joint_prior(levels, seen):
    """Draw everything, forget all but the seen groups, recover: the joint distribution is what it was."""
    population = pool(CELLS, levels)
    seen = np.array(seen)
    mean, spread, groups = brute_force(population, DRAWS, np.random.default_rng(2))
    again = population.recover(groups[:, seen], seen, np.random.default_rng(3))
    before = np.column_stack([mean, spread, groups])
    after = np.column_stack(again)
    error = np.sqrt((before.var(axis=0) + after.var(axis=0)) / DRAWS)
    assert (np.abs(before.mean(axis=0) - after.mean(axis=0)) < 5 * error + 1e-12).all()
    scale = np.sqrt(np.outer(before.var(axis=0), before.var(axis=0)))
    np.testing.assert_allclose(np.cov(before.T) / scale, np.cov(after.T) / scale, atol=0.015)


@pytest.mark.parametrize(
    ("levels", "seen", "at"), [([[0, 1, 2]], [0, 2], [-0.8, -1.6]), (NESTED, [0, 1, 3], [1.2, 0.4, 0.0])]
)
def test_recover_is_the_conditional_distribution(levels, seen, at):
    """Simulate jointly, keep what comes near the seen values, compare with recover."""
    population = pool(CELLS, levels)
    seen, at = np.array(seen), np.array(at)
    mean, spread, groups = brute_force(population, 2_000_000, np.random.default_rng(4))
    near = (np.abs(groups[:, seen] - at) < 0.5).all(
        axis=1
    )  # recover is given the exact values, so the window only selects
    assert near.sum() > 5_000
    found = population.recover(groups[near][:, seen], seen, np.random.default_rng(5))
    unseen = np.setdiff1d(np.arange(groups.shape[1]), seen)
    pairs = [(mean[near], found[0]), (spread[near], found[1])]
    pairs += [(groups[near][:, i], found[2][:, i]) for i in unseen]
    for expected, got in pairs:
        assert stats.ks_2samp(expected, got).statistic < 2.2 * np.sqrt(2 / near.sum())


@pytest.mark.parametrize("levels", [[range(100)], np.stack([np.arange(100), np.zeros(100, int)])])
@pytest.mark.parametrize(("between", "low", "high"), [(0.002, 0.0, 0.1), (0.4, 0.25, 1.2)])
def test_the_spread_of_many_groups_is_never_a_constant(levels, between, low, high):
    """One node of the grid may be left then, and the gate takes what never moves for a chain that is stuck."""
    population = pool(FLAT, levels)
    groups = np.random.default_rng(8).normal(-1.0, between, 100)
    values = groups + np.random.default_rng(9).normal(0, 0.001, (4000, 100))
    _, spread, _ = population.recover(values, np.arange(100), np.random.default_rng(10))
    assert len(np.unique(spread)) == 4000
    assert ((spread > low) & (spread < high)).mean() > 0.99


def test_unseen_groups_follow_their_neighbours():
    population = pool(CELLS, NESTED)
    at = np.full((20_000, 2), 3.0)
    _, _, every = population.recover(at, np.array([0, 1]), np.random.default_rng(6))
    same_modality, other_modality = every[:, 2].mean(), every[:, 5].mean()
    assert population.mean < other_modality < same_modality < 3.0
    assert every[:, 2].std() < every[:, 5].std()


@pytest.mark.parametrize("prior", [FLAT, CELLS])
def test_links(prior):
    values = np.array([0.01, 0.3, 0.6, 0.99])
    np.testing.assert_allclose(unlink(link(values, prior), prior), values, rtol=1e-12)
    assert (np.diff(link(values, prior)) > 0).all()


def test_a_population_may_be_made_by_hand():
    population = Population(1.0, 2.0, np.array([[0, 1]]), shares=np.array([[1.0]]), spreads=np.array([0.5]), scale=0.5)
    np.testing.assert_allclose(population.covariance(), [[[4.25, 4.0], [4.0, 4.25]]])
    _, _, every = population.recover(np.full((200_000, 1), 3.0), np.array([0]), np.random.default_rng(7))
    gain = 4.0 / 4.25
    assert every[:, 1].mean() == pytest.approx(1.0 + gain * 2.0, abs=0.01)
    assert every[:, 1].var() == pytest.approx(4.25 - gain * 4.0, rel=0.02)
