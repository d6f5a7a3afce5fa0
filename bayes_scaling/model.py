"""A law with its hierarchy and noise as a PyMC model.

Everything that depends on the runs enters through ``pm.Data``, so that one compiled model serves all runs with the
same numbers of modalities and cells.
"""

from typing import Any

import numpy as np
import pymc as pm
import pytensor.tensor as pt
from pymc.distributions.transforms import Transform

from bayes_scaling.design import Design
from bayes_scaling.laws.base import Law, Pooled, Rough, Shares, latent_name
from bayes_scaling.noise import NOISE_DF, SIGMA_MEDIAN, SIGMA_SD

__all__ = ["build_model"]


def build_model(law: Law, design: Design) -> pm.Model:
    """The hierarchical model of a law for the runs of a design.

    Parameters
    ----------
    law : Law
    design : Design

    Returns
    -------
    pymc.Model
        Free variables: ``reference_loss_offset`` (of the log, from its rough size) and ``share`` per modality, the
        pooled quantities on their link scales (``log_b_N``, …) per modality or cell, and ``sigma`` per modality;
        observed: log loss per run.
    """
    coords = {
        "modality": list(design.modality),
        "cell": np.arange(len(design.cells)),
        "run": np.arange(len(design.cell_of_run)),
    }
    with pm.Model(coords=coords) as model:
        used = {name: values for name, values in design.runs.items() if design.pretrained or name != "pretrain_data"}
        x = {name: pm.Data(name, values, dims="run") for name, values in used.items()}
        cell_of_run = pm.Data("cell_of_run", design.cell_of_run, dims="run")
        modality_of_cell = pm.Data("modality_of_cell", design.cells[:, 0], dims="cell")

        quantities: dict[str, Any] = {}
        for name, prior in law.priors.items():
            if isinstance(prior, Rough):
                rough = pm.Data("rough_log_loss", design.rough_log_loss, dims="modality")
                # Data in a prior would also move where chains start, and a compiled model keeps the start that it was
                # compiled with: draws would depend on what the process had fitted before.
                offset = pm.Normal(f"{name}_offset", 0.0, prior.sd, dims="modality")
                quantities[name] = pt.exp(rough + offset)[modality_of_cell]
            elif isinstance(prior, Shares):
                model.add_coord("term", list(prior.terms))
                concentration = np.full(len(prior.terms), prior.concentration)
                shares = pm.Dirichlet(name, concentration, dims=("modality", "term"), default_transform=_BrokenStick())
                by_term = {term: shares[:, i] for i, term in enumerate(prior.terms)}
                quantities |= {term: share[modality_of_cell] for term, share in by_term.items()}
        for name, prior in design.active(law).items():
            slope = pt.log(by_term[prior.slope_of]) if prior.slope_of else None
            latent = _pooled(latent_name(name, prior), prior, design, slope)
            value = pt.exp(latent) if prior.link == "log" else pt.sigmoid(latent)
            quantities[name] = value[modality_of_cell] if prior.over == ("modality",) else value

        coefficients = {name: value[cell_of_run] for name, value in law.from_shares(**quantities).items()}
        columns = {name: x[name] for name in ("sparsity", "nonzero_params", "data_seen", "pretrain_data") if name in x}
        loss = law.loss(**columns, **coefficients)
        sigma = pm.LogNormal("sigma", np.log(SIGMA_MEDIAN), SIGMA_SD, dims="modality")
        scale = pt.sqrt(sigma[modality_of_cell][cell_of_run] ** 2 + x["log_loss_se"] ** 2)
        pm.StudentT("observed", nu=NOISE_DF, mu=pt.log(loss), sigma=scale, observed=x["log_loss"], dims="run")
    return model


def _pooled(name: str, prior: Pooled, design: Design, slope: Any | None) -> Any:
    """Groups with their population integrated out (see `hierarchy`), sampled along the slope of a term if given."""
    population, groups = design.population(prior)
    precision, log_det = population.precision(groups)
    return pm.CustomDist(
        name,
        population.mean,
        pm.Data(f"{name}_precision", precision),
        pm.Data(f"{name}_log_det", log_det),
        np.zeros(len(groups)) if slope is None else slope,
        logp=_mixture_logp,
        random=_mixture_draw,
        signature="(),(k,g,g),(k),(g)->(g)",
        default_transform=None if slope is None else _AlongSlope(),
        dims="modality" if prior.over == ("modality",) else "cell",
    )


def _mixture_logp(x: Any, mean: Any, precision: Any, log_det: Any, slope: Any) -> Any:  # noqa: ARG001
    residual = x - mean
    square = (pt.dot(precision, residual) * residual).sum(axis=-1)
    return pt.logsumexp(0.5 * (log_det - square)) - pt.log(log_det.shape[0]) - 0.5 * x.shape[0] * np.log(2 * np.pi)


def _mixture_draw(
    mean: np.ndarray,
    precision: np.ndarray,
    log_det: np.ndarray,
    slope: np.ndarray,  # noqa: ARG001
    rng: np.random.Generator,
    size: Any = None,
) -> np.ndarray:
    node = rng.integers(len(log_det), size=size)
    normal = rng.standard_normal((*node.shape, precision.shape[-1]))
    # With precision = C Cᵀ, solving Cᵀ x = z gives x the covariance (C Cᵀ)⁻¹.
    upper = np.swapaxes(np.linalg.cholesky(precision), -1, -2)[node]
    return mean + np.linalg.solve(upper, normal[..., None])[..., 0]


class _AlongSlope(Transform):
    """Moves an exponent's logarithm by the logarithm of its term's share: the sampler sees the slope of log loss.

    A shear has unit Jacobian, so the prior stays what it is in the exponent. The share arrives as the distribution's
    last parameter, which its density ignores.
    """

    name = "slope"
    ndim_supp = 1

    def forward(self, value: Any, *inputs: Any) -> Any:
        return value + inputs[-1]

    def backward(self, value: Any, *inputs: Any) -> Any:
        return value - inputs[-1]

    def log_jac_det(self, value: Any, *inputs: Any) -> Any:  # noqa: ARG002
        return pt.zeros_like(value[..., 0])


class _BrokenStick(Transform):
    """Shares as logits, each of what is left when the shares before it are taken.

    PyMC's own transform of the simplex couples all shares; where data cannot tell two terms apart, as irreducible
    loss and a data term seen over a factor of four, this one keeps that trouble in one coordinate.
    """

    name = "stick"
    ndim_supp = 1

    def forward(self, value: Any, *inputs: Any) -> Any:  # noqa: ARG002
        left = 1 - pt.cumsum(value, axis=-1)[..., :-1]
        return pt.log(value[..., :-1]) - pt.log(left)

    def backward(self, value: Any, *inputs: Any) -> Any:  # noqa: ARG002
        left = pt.cumprod(pt.sigmoid(-value), axis=-1)
        one = pt.ones_like(value[..., :1])
        return pt.concatenate([pt.sigmoid(value), one], axis=-1) * pt.concatenate([one, left], axis=-1)

    def log_jac_det(self, value: Any, *inputs: Any) -> Any:  # noqa: ARG002
        log_left = pt.cumsum(pt.log(pt.sigmoid(-value)), axis=-1)
        before = pt.concatenate([pt.zeros_like(value[..., :1]), log_left[..., :-1]], axis=-1)
        return (pt.log(pt.sigmoid(value)) + pt.log(pt.sigmoid(-value)) + before).sum(axis=-1)
