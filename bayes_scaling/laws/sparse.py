"""The law of Frantar et al.: sparsity multiplies the size term and saturates."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

from bayes_scaling.laws.base import CELL, Coefficient, Law, Pooled, Prior, Published, Rough, Shares

__all__ = ["Sparse"]

PRIORS: dict[str, Prior] = {
    "reference_loss": Rough(sd=0.5),
    "share": Shares(terms=("size", "irreducible", "data"), concentration=1.5),
    "b_N": Pooled(center=0.3, sd=0.6, spread=0.4, link="log", over=("modality",), slope_of=("size",)),
    "b_D": Pooled(center=0.3, sd=0.6, spread=0.4, link="log", over=("modality",), slope_of=("data",)),
    "b_S": Pooled(center=0.9, sd=0.5, spread=0.4, link="log", over=CELL),
    "floor": Pooled(center=0.6, sd=0.8, spread=0.6, link="logit", over=CELL),
    "rho": Pooled(center=0.3, sd=1.0, spread=0.5, link="logit", over=("modality",), strategy="pretrained"),
}


def _physical(
    a: float, b: float, c: float, d: float, e: float, f: float, g: float, data_unit: float
) -> dict[str, float]:
    """Coefficients as printed, for N in millions and D in ``data_unit``, in parameters and tokens or images."""
    million = 1e6
    return {
        "a_S": a * million**d, "b_S": b, "c_S": c * million**d, "b_N": d,
        "a_D": e ** (1 / f) * data_unit, "b_D": f, "c": g,
    }  # fmt: skip


@dataclass(frozen=True)
class Sparse(Law):
    """L(S, N, D) = (a_S (1 - S)^b_S + c_S) N^-b_N + (a_D / D)^b_D + c.

    N are the non-zero parameters, D the training data, S the sparsity. One dense model per modality: a_S = A (1 - κ)
    and c_S = A κ, with A of the modality and the floor κ and exponent b_S of the structure, so that a_S + c_S is one
    number per modality. Runs that started from a trained dense model count its data at the rate ρ: D + ρ D_pretrain.

    References
    ----------
    Frantar, Ruiz, Houlsby, Alistarh, Evci, "Scaling Laws for Sparsely-Connected Foundation Models",
    arXiv:2309.08520; coefficients as in its public code, google-research/jaxpruner, projects/bigsparse.
    """

    name = "sparse"
    reference = "Frantar et al. (2023), arXiv:2309.08520"
    latex = r"L = \left(a_S (1 - S)^{b_S} + c_S\right) N^{-b_N} + \left(a_D / D\right)^{b_D} + c"
    coefficients: ClassVar[dict[str, Coefficient]] = {
        "a_S": Coefficient("loss × parameters^b_N", CELL, "part of the size term that sparsity removes"),
        "b_S": Coefficient("1", CELL, "exponent of density"),
        "c_S": Coefficient("loss × parameters^b_N", CELL, "part of the size term that no sparsity removes"),
        "b_N": Coefficient("1", ("modality",), "exponent of non-zero parameters"),
        "a_D": Coefficient("data units", ("modality",), "scale of the data term"),
        "b_D": Coefficient("1", ("modality",), "exponent of training data"),
        "c": Coefficient("loss", ("modality",), "irreducible loss"),
        "rho": Coefficient("1", ("modality",), "worth of a unit of pretraining data, where runs are pretrained"),
    }
    published: ClassVar[dict[str, Published]] = {
        "vit-jft": Published(
            "ViT on JFT-4B (loss on JFT's scale; images)",
            _physical(1.30485411, 0.82101251, 2.07506343, 0.39222675, 0.27818217, 0.88979104, 4.51669257, 1e9),
        ),
        "t5-c4": Published(
            "T5 on C4 (nats; tokens, 65,536 a step); not the minimum of its own objective",
            _physical(0.56778512, 0.72161276, 1.52265016, 0.24513173, 0.63361517, 0.20270772, 0.65074219, 6.5536e9),
        ),
    }

    priors: Mapping[str, Prior] = field(default_factory=PRIORS.copy)

    def from_shares(self, *, nonzero_params: Any = 1.0, data_seen: Any = 1.0, **quantities: Any) -> dict[str, Any]:
        """Coefficients from loss shares at a reference point.

        Parameters
        ----------
        nonzero_params, data_seen : float or array
            The reference point in the units that the coefficients shall have; 1 gives coefficients relative to it.
        **quantities
            ``reference_loss``; ``irreducible``, ``size`` and ``data``, its shares; ``b_N``, ``b_D``, ``b_S``,
            ``floor``; ``rho`` where runs started from a trained model.

        Returns
        -------
        dict
            The coefficients by name.
        """
        q = quantities
        size = q["reference_loss"] * q["size"] * nonzero_params ** q["b_N"]
        coefficients = {
            "a_S": size * (1 - q["floor"]),
            "b_S": q["b_S"],
            "c_S": size * q["floor"],
            "b_N": q["b_N"],
            "a_D": (q["reference_loss"] * q["data"]) ** (1 / q["b_D"]) * data_seen,
            "b_D": q["b_D"],
            "c": q["reference_loss"] * q["irreducible"],
        }
        return coefficients | ({"rho": q["rho"]} if "rho" in q else {})

    def loss(
        self,
        sparsity: Any,
        nonzero_params: Any,
        data_seen: Any,
        pretrain_data: Any = 0.0,
        *,
        c: Any,
        **coefficients: Any,
    ) -> Any:
        """Expected held-out loss, in the unit of the coefficients; all arguments broadcast."""
        size, data = self.terms(sparsity, nonzero_params, data_seen, pretrain_data, **coefficients)
        return size + data + c

    def terms(
        self,
        sparsity: Any,
        nonzero_params: Any,
        data_seen: Any,
        pretrain_data: Any = 0.0,
        *,
        a_S: Any,
        b_S: Any,
        c_S: Any,
        b_N: Any,
        a_D: Any,
        b_D: Any,
        rho: Any = 0.0,
        c: Any = 0.0,  # noqa: ARG002 - all coefficients are welcome, and the irreducible loss is part of no term
    ) -> tuple[Any, Any]:
        """The terms of size and of data, which the irreducible loss is added to."""
        size = (a_S * (1 - sparsity) ** b_S + c_S) * nonzero_params ** (-b_N)
        return size, (a_D / (data_seen + rho * pretrain_data)) ** b_D

    def dense_equivalent(self, sparsity: Any, *, a_S: Any, b_S: Any, c_S: Any, b_N: Any, **_: Any) -> Any:
        """Dense parameters per non-zero parameter at equal loss and data; independent of N and D."""
        return ((a_S + c_S) / (a_S * (1 - sparsity) ** b_S + c_S)) ** (1 / b_N)
