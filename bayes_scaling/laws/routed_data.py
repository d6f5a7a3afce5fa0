"""The law of Abnar et al.: mixtures of experts by active and by all parameters, and by data."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np

from bayes_scaling.laws.base import Coefficient, Law, Pooled, Prior, Published, Rough, Shares
from bayes_scaling.laws.dense import Dense
from bayes_scaling.laws.routed import asked_size, of_experts

__all__ = ["RoutedData"]

PRIORS: dict[str, Prior] = {
    "reference_loss": Rough(sd=0.5),
    "share": Shares(terms=("size", "active", "experts", "irreducible", "data"), concentration=1.5),
    "b_N": Pooled(center=0.5, sd=0.6, spread=0.4, link="log", over=("modality",)),
    "b_D": Pooled(center=0.3, sd=0.6, spread=0.4, link="log", over=("modality",), slope_of=("data",)),
    "b_E": Pooled(center=0.2, sd=0.6, spread=0.4, link="log", over=("modality",)),
    "delta": Pooled(center=0.2, sd=0.6, spread=0.4, link="log", over=("modality",)),
    "gamma": Pooled(center=0.2, sd=0.6, spread=0.4, link="log", over=("modality",)),
}

FAR = 200.0
"""Nats of size, up or down, within which dense equivalents are looked for."""


@dataclass(frozen=True)
class RoutedData(Law):
    """L(S, N, D) = A M^-b_N + (a_D / D)^b_D + c_E (1 - S)^b_E + d (1 - S)^-δ M^-γ + c, with M = N / (1 - S).

    M are all parameters, N those that a token meets, S the share that it does not. With M held, sparsity takes active
    parameters away, which the fourth term charges; with N held, it adds parameters, which the first pays for. Printed
    as a M^-α + b D^-β + c (1 - S)^-λ + d (1 - S)^-δ M^-γ + e: α = b_N, β = b_D, b = a_D^b_D, λ = -b_E and e = c.

    References
    ----------
    Abnar et al., "Parameters vs FLOPs: Scaling Laws for Optimal Sparsity for Mixture-of-Experts Language Models",
    arXiv:2501.12370.
    """

    name = "routed_data"
    reference = "Abnar et al. (2025), arXiv:2501.12370"
    latex = (
        r"L = A M^{-b_N} + \left(a_D / D\right)^{b_D} + c_E (1 - S)^{b_E} + d (1 - S)^{-\delta} M^{-\gamma} + c, "
        r"\quad M = N / (1 - S)"
    )
    coefficients: ClassVar[dict[str, Coefficient]] = {
        **{name: Dense.coefficients[name] for name in ("A", "b_N", "a_D", "b_D", "c")},
        "c_E": Coefficient("loss", ("modality",), "loss that endless sparsity takes away"),
        "b_E": Coefficient("1", ("modality",), "exponent of density in what sparsity takes away"),
        "d": Coefficient("loss × parameters^gamma", ("modality",), "active term of one parameter"),
        "delta": Coefficient("1", ("modality",), "exponent of density in the active term"),
        "gamma": Coefficient("1", ("modality",), "exponent of all parameters in the active term"),
    }
    published: ClassVar[dict[str, Published]] = {
        "moe": Published(
            "Abnar et al. (2025), arXiv:2501.12370, second-hand",
            {
                "A": 16612.5, "b_N": 0.5962, "a_D": 5455.67 ** (1 / 0.3954), "b_D": 0.3954, "c": 0.94,
                "c_E": 0.4598, "b_E": 0.1666, "d": 17.26, "delta": 0.1603, "gamma": 0.1595,
            },
        )
    }  # fmt: skip
    costs: ClassVar[tuple[str, ...]] = ("static", "measured")

    priors: Mapping[str, Prior] = field(default_factory=PRIORS.copy)

    def check(self, runs: Any) -> None:
        """Refuse runs whose sparsity is not that of experts."""
        of_experts(self.name, runs)

    def from_shares(self, *, nonzero_params: Any = 1.0, data_seen: Any = 1.0, **quantities: Any) -> dict[str, Any]:
        """Coefficients from loss shares at a reference point.

        Parameters
        ----------
        nonzero_params, data_seen : float or array
            The reference point in the units that the coefficients shall have.
        **quantities
            ``reference_loss``; the shares ``size``, ``active``, ``experts``, ``irreducible`` and ``data``; ``b_N``,
            ``b_D``, ``b_E``, ``delta`` and ``gamma``.

        Returns
        -------
        dict
            The coefficients by name.
        """
        q = quantities
        part = {name: q["reference_loss"] * q[name] for name in ("size", "active", "experts", "irreducible", "data")}
        return {
            "A": part["size"] * nonzero_params ** q["b_N"],
            "b_N": q["b_N"],
            "a_D": part["data"] ** (1 / q["b_D"]) * data_seen,
            "b_D": q["b_D"],
            "c": part["irreducible"],
            "c_E": part["experts"],
            "b_E": q["b_E"],
            "d": part["active"] * nonzero_params ** q["gamma"],
            "delta": q["delta"],
            "gamma": q["gamma"],
        }

    def loss(
        self,
        sparsity: Any,
        nonzero_params: Any,
        data_seen: Any,
        pretrain_data: Any = 0.0,
        *,
        a_D: Any,
        b_D: Any,
        c: Any,
        **of_size: Any,
    ) -> Any:
        """Expected held-out loss, in the unit of the coefficients; all arguments broadcast."""
        return _of_size(sparsity, nonzero_params, **of_size) + (a_D / (data_seen + 0.0 * pretrain_data)) ** b_D + c

    def dense_equivalent(self, sparsity: Any, *, nonzero_params: Any = None, **coefficients: Any) -> Any:
        """Dense parameters per active one at equal loss and data, a function of the active parameters; infinite where
        no dense model is as good.

        Raises
        ------
        InputError
            If ``nonzero_params`` is not given.
        """
        asked_size(self.name, nonzero_params)
        import xarray as xr

        names = ("A", "b_N", "c_E", "b_E", "d", "delta", "gamma")
        values = (sparsity, nonzero_params, *(coefficients[name] for name in names))
        return xr.apply_ufunc(lambda S, N, *each: _equivalent(S, N, dict(zip(names, each, strict=True))), *values)


def _of_size(
    sparsity: Any, nonzero_params: Any, *, A: Any, b_N: Any, c_E: Any, b_E: Any, d: Any, delta: Any, gamma: Any
) -> Any:
    """What the loss has of size and sparsity."""
    density = 1 - sparsity
    every = nonzero_params / density
    return A * every**-b_N + c_E * density**b_E + d * density**-delta * every**-gamma


def _equivalent(sparsity: Any, nonzero_params: Any, of_size: Mapping[str, Any]) -> Any:
    """The size at which the dense terms reach what the sparse ones come to, over the size asked for.

    The dense terms are sums of falling powers, so in the log of size there is one crossing, or none.
    """
    from scipy.optimize import elementwise

    sought = _of_size(sparsity, nonzero_params, **of_size)
    names = list(of_size)
    sought, *each = np.broadcast_arrays(sought, *of_size.values())

    def excess(log_times: np.ndarray, sought: np.ndarray, size: np.ndarray, *values: np.ndarray) -> np.ndarray:
        return _of_size(0.0, size * np.exp(log_times), **dict(zip(names, values, strict=True))) - sought

    size = np.broadcast_to(np.asarray(nonzero_params, float), sought.shape)
    arguments = (sought, size, *each)
    reached = excess(np.full(sought.shape, FAR), *arguments) < 0
    found = elementwise.find_root(excess, (np.full(sought.shape, -FAR), np.full(sought.shape, FAR)), args=arguments)
    return np.where(reached, np.exp(found.x), np.inf)[()]
