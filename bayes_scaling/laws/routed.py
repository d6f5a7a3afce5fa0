"""The law of Clark et al.: experts are worth parameters, and less so the larger the model."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np

from bayes_scaling.errors import InputError
from bayes_scaling.laws.base import CELL, Coefficient, Law, Pooled, Prior, Published, Rough
from bayes_scaling.laws.dense import Dense

__all__ = ["Routed", "asked_size", "of_experts"]

PRIORS: dict[str, Prior] = {
    "reference_loss": Rough(sd=0.5),
    "b_N": Pooled(center=0.08, sd=0.6, spread=0.4, link="log", over=("modality",)),
    "gain": Pooled(center=0.05, sd=0.7, spread=0.4, link="log", over=CELL),
    "h": Pooled(center=0.005, sd=0.8, spread=0.4, link="log", over=CELL),
    "E_s": Pooled(center=2.0, sd=0.5, spread=0.4, link="log", over=CELL),
    "span": Pooled(center=150.0, sd=1.0, spread=0.4, link="log", over=CELL),
}
"""``gain`` is the exponent of experts at the reference size, and E_m is E_s (1 + ``span``)."""

SAME = 0.01
"""Relative difference of densities that rounding may make."""

DATA = 1.1
"""Ratio of amounts of data that passes for one: final steps differ by a per cent."""


def _house(a: float, b: float, c: float, d: float, E_s: float, E_m: float) -> dict[str, float]:
    """Coefficients as printed, with decimal logarithms, in the form of `Routed`."""
    start = math.log10(E_s)
    return {
        "A": 10 ** (d + b * start), "b_N": -(a + c * start), "b_E": -b, "h": c / math.log(10),
        "E_s": E_s, "E_m": E_m,
    }  # fmt: skip


def of_experts(name: str, runs: Any) -> None:
    """Refuse runs whose sparsity is not that of experts.

    Raises
    ------
    InputError
        If a run is of a pattern n:m or started from a trained model.
    """
    for column, bad, why in (
        ("structure", lambda value: ":" in value, "is about mixtures of experts"),
        ("strategy", lambda value: value == "pretrained", "is about training from scratch"),
    ):
        values = runs[column].to_numpy()
        wrong = np.array([bad(str(value)) for value in values])
        if wrong.any():
            run = str(runs["run_id"].to_numpy()[wrong][0])
            raise InputError(f"law {name!r} {why}, and run {run!r} has the {column} {str(values[wrong][0])!r}")


def asked_size(name: str, nonzero_params: Any) -> Any:
    """The size that a dense equivalent was asked for.

    Raises
    ------
    InputError
        If there is none.
    """
    if nonzero_params is None:
        raise InputError(
            f"under law {name!r} the dense equivalent depends on size, and nonzero_params is not given; it is the "
            "active parameters"
        )
    return nonzero_params


@dataclass(frozen=True)
class Routed(Law):
    """L(S, N) = A N^-b_N (Ê / E_s)^-(b_E - h log N), Ê the number of experts E = 1 / (1 - S), saturated.

    1 / Ê = 1 / (E - 1 + 1 / (1 / E_s - 1 / E_m)) + 1 / E_m rises from E_s with one expert to E_m with endlessly many. N
    are the parameters that a token meets, whatever E; S is the share of experts that it does not meet. Printed as
    log L = a log N + b log Ê + c log N log Ê + d with decimal logarithms: b_E = -b, h = c / log 10, b_N = -(a + c log
    E_s), and A = 10^d E_s^b. So written, all routers share one dense model, A N^-b_N.

    Experts are worth less the larger the model (h > 0), and nothing from N = e^(b_E / h) on. There is no term of data:
    all runs of a modality have seen the same, and the law says nothing of other amounts.

    References
    ----------
    Clark et al., "Unified Scaling Laws for Routed Language Models", arXiv:2202.01169, Eq. 1.
    """

    name = "routed"
    reference = "Clark et al. (2022), arXiv:2202.01169, Eq. 1"
    latex = r"L = A N^{-b_N} \left(\hat{E} / E_s\right)^{-(b_E - h \log N)}"
    coefficients: ClassVar[dict[str, Coefficient]] = {
        **{name: Dense.coefficients[name] for name in ("A", "b_N")},
        "b_E": Coefficient("1", CELL, "exponent of experts in a model of one parameter"),
        "h": Coefficient("1", CELL, "what it loses with every e-fold of size"),
        "E_s": Coefficient("experts", CELL, "experts that the first one counts for"),
        "E_m": Coefficient("experts", CELL, "experts that endlessly many count for"),
    }
    published: ClassVar[dict[str, Published]] = {
        "s-base": Published("S-Base, second-hand", _house(-0.082, -0.108, 0.009, 1.104, 1.847, 314.478)),
        "rl-r": Published("RL-R, second-hand", _house(-0.083, -0.126, 0.012, 1.111, 1.880, 469.982)),
        "hash": Published("Hash, second-hand", _house(-0.087, -0.136, 0.012, 1.157, 4.175, 477.741)),
    }
    held: ClassVar[tuple[str, ...]] = ("data_seen",)

    priors: Mapping[str, Prior] = field(default_factory=PRIORS.copy)

    def check(self, runs: Any) -> None:
        """Refuse runs whose sparsity is not that of their experts, or that have seen different amounts of data."""
        of_experts(self.name, runs)
        if "experts" in runs:
            active = runs["active_experts"].to_numpy() if "active_experts" in runs else 1.0
            density = active / runs["experts"].to_numpy().astype(float)
            off = ~(np.abs((1 - runs["sparsity"].to_numpy()) / density - 1) < SAME)
            if off.any():
                first = {name: runs[name].to_numpy()[off][0] for name in ("run_id", "experts", "sparsity")}
                raise InputError(
                    f"law {self.name!r} takes sparsity for the share of experts that a token does not meet, and run "
                    f"{str(first['run_id'])!r} has {first['experts']:g} experts and sparsity {first['sparsity']:.4g}, "
                    f"where that share is {1 - density[off][0]:.4g}; write it into the column sparsity"
                )
        for modality in np.unique(runs["modality"].to_numpy()):
            data = runs["data_seen"].to_numpy()[runs["modality"].to_numpy() == modality]
            if data.max() > DATA * data.min():
                raise InputError(
                    f"law {self.name!r} has no term of data, and the runs of {str(modality)!r} have seen from "
                    f"{data.min():.3g} to {data.max():.3g}; law 'routed_data' has one"
                )

    def from_shares(self, *, nonzero_params: Any = 1.0, data_seen: Any = 1.0, **quantities: Any) -> dict[str, Any]:  # noqa: ARG002
        """Coefficients from quantities at a reference size.

        Parameters
        ----------
        nonzero_params, data_seen : float or array
            The reference point in the units that the coefficients shall have.
        **quantities
            ``reference_loss``, ``b_N``, ``gain``, ``h``, ``E_s`` and ``span``.

        Returns
        -------
        dict
            The coefficients by name.
        """
        q = quantities
        return {
            "A": q["reference_loss"] * nonzero_params ** q["b_N"],
            "b_N": q["b_N"],
            "b_E": q["gain"] + q["h"] * np.log(nonzero_params),
            "h": q["h"],
            "E_s": q["E_s"],
            "E_m": q["E_s"] * (1 + q["span"]),
        }

    def loss(
        self,
        sparsity: Any,
        nonzero_params: Any,
        data_seen: Any,
        pretrain_data: Any = 0.0,
        *,
        A: Any,
        b_N: Any,
        **experts: Any,
    ) -> Any:
        """Expected held-out loss, in the unit of the coefficients; all arguments broadcast, and data change nothing."""
        worth = nonzero_params * self.dense_equivalent(sparsity, nonzero_params=nonzero_params, b_N=b_N, **experts)
        return A * worth**-b_N + 0.0 * (data_seen + pretrain_data)

    def dense_equivalent(
        self,
        sparsity: Any,
        *,
        nonzero_params: Any = None,
        b_N: Any,
        b_E: Any,
        h: Any,
        E_s: Any,
        E_m: Any,
        **_: Any,
    ) -> Any:
        """Dense parameters per active one at equal loss and data, a function of the active parameters.

        Raises
        ------
        InputError
            If ``nonzero_params`` is not given.
        """
        gain = b_E - h * np.log(asked_size(self.name, nonzero_params))
        more = sparsity / (1 - sparsity)
        saturated = 1 / (1 / (more + 1 / (1 / E_s - 1 / E_m)) + 1 / E_m)
        return (saturated / E_s) ** (gain / b_N)
