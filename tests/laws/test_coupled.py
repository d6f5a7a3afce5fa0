import numpy as np
import pytest
from helpers import physical, random_coefficients

from bayes_scaling import laws

SPARSE, COUPLED = laws.get("sparse"), laws.get("coupled")


@pytest.mark.parametrize("name", ["vit", "t5", "t5 best"])
def test_with_k_one_it_is_the_law_of_frantar(name):
    k = physical(name)
    S, N, D = np.meshgrid([0, 0.5, 0.9], [1e6, 1e8], [1e9, 1e11])
    np.testing.assert_allclose(COUPLED.loss(S, N, D, k=1.0, **k), SPARSE.loss(S, N, D, **k), rtol=1e-14)
    np.testing.assert_array_equal(COUPLED.dense_equivalent(S, k=0.5, **k), SPARSE.dense_equivalent(S, **k))


def test_formula():
    k = {"a_S": 3.0, "b_S": 0.5, "c_S": 2.0, "b_N": 0.5, "a_D": 4.0, "b_D": 0.5, "c": 0.25, "k": 2.0}
    # (3 (1/4)^(1/2) + 2) / 2 = 7/4 and (4/16)^(1/2) = 1/2
    assert COUPLED.loss(0.75, 4.0, 16.0, **k) == pytest.approx((7 / 4 + 1 / 2) ** 2 + 0.25)


def test_kaplans_form_is_a_case():
    """Dense, no irreducible loss, k = b_D: [(N_c / N)^(alpha_N / alpha_D) + D_c / D]^alpha_D."""
    n_c, d_c, alpha_n, alpha_d = 6.4e13, 1.8e13, 0.076, 0.103
    N, D = np.meshgrid([1e6, 1e9], [1e9, 1e12])
    kaplan = ((n_c / N) ** (alpha_n / alpha_d) + d_c / D) ** alpha_d
    k = {"a_S": 0.0, "b_S": 1.0, "c_S": n_c ** (alpha_n / alpha_d), "b_N": alpha_n / alpha_d, "a_D": d_c, "b_D": 1.0}
    np.testing.assert_allclose(COUPLED.loss(0.0, N, D, c=0.0, k=alpha_d, **k), kaplan, rtol=1e-12)


@pytest.mark.parametrize("k", [0.4, 1.0, 1.7])
def test_shares_at_the_reference_point(k):
    shares = {"size": 0.3, "data": 0.2, "irreducible": 0.5}
    quantities = {"reference_loss": 2.5, "b_N": 0.4, "b_D": 0.6, "b_S": 0.8, "floor": 0.6, "k": k, **shares}
    at = COUPLED.from_shares(nonzero_params=1e7, data_seen=1e10, **quantities)

    def log_loss(n, d):
        return np.log(COUPLED.loss(0.0, 1e7 * np.exp(n), 1e10 * np.exp(d), **at))

    assert np.exp(log_loss(0, 0)) == pytest.approx(2.5, rel=1e-12)
    assert at["c"] == pytest.approx(2.5 * 0.5)
    # slopes of log loss are minus exponent × share × k, which is what `slope_of` says
    h = 1e-6
    assert (log_loss(h, 0) - log_loss(-h, 0)) / (2 * h) == pytest.approx(-0.4 * 0.3 * k, rel=1e-6)
    assert (log_loss(0, h) - log_loss(0, -h)) / (2 * h) == pytest.approx(-0.6 * 0.2 * k, rel=1e-6)
    assert COUPLED.priors["b_N"].slope_of == ("size", "k")
    assert COUPLED.priors["b_D"].slope_of == ("data", "k")


def test_optima_do_not_depend_on_k():
    """A power of a sum is least where the sum is."""
    at = random_coefficients(3, count=20)
    S = np.linspace(0, 0.97, 400)[:, None]
    D = 1e21 / (6 * 1e9) * (1 - S)
    plain = SPARSE.loss(S, 1e9, D, **at).argmin(axis=0)
    for k in (0.5, 1.6):
        np.testing.assert_array_equal(COUPLED.loss(S, 1e9, D, k=k, **at).argmin(axis=0), plain)


def test_k_comes_before_the_exponents_that_it_steepens():
    names = list(COUPLED.priors)
    assert names.index("k") < names.index("b_N") < names.index("b_D")
    assert set(COUPLED.priors) == set(SPARSE.priors) | {"k"}
    assert set(COUPLED.coefficients) == set(SPARSE.coefficients) | {"k"}
