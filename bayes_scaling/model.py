"""A law with its hierarchy and noise as a PyMC model.

Everything that depends on the runs enters through ``pm.Data``, so that one compiled model serves all runs with the
same numbers of modalities and cells.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pymc as pm
import pytensor.tensor as pt
from pymc.distributions.transforms import Transform

from bayes_scaling.design import Design
from bayes_scaling.hierarchy import link
from bayes_scaling.independent import distribution, drawn, parameters
from bayes_scaling.inputs import inputs
from bayes_scaling.laws.base import Grouped, Independent, Law, Pooled, Rough, Shares, broken_name, latent_name
from bayes_scaling.noise import NOISE_DF, SIGMA_MEDIAN, SIGMA_SD

__all__ = ["build_model"]

_DIMS = {"modality_of_cell": "cell", "rough_log_loss": "modality", "last_first": "modality"} | dict.fromkeys(
    ("sparsity", "nonzero_params", "data_seen", "pretrain_data", "log_loss", "log_loss_se", "cell_of_run"), "run"
)


def build_model(law: Law, design: Design) -> pm.Model:
    """The hierarchical model of a law for the runs of a design.

    Parameters
    ----------
    law : Law
    design : Design

    Returns
    -------
    pymc.Model
        Free variables: ``reference_loss_offset`` (of the log, from its rough size) and ``share_as_broken`` (shares in
        the order in which they break off) per modality, the quantities of groups on their link scales (``log_b_N``, …)
        per modality or cell, and ``sigma`` per modality; a quantity whose prior allows a part only of what it may be
        goes by its own name. Observed: log loss per run.
    """
    dims = _DIMS | dict.fromkeys(law.reads, "run")
    coords = {
        "modality": list(design.modality),
        "cell": np.arange(len(design.cells)),
        "run": np.arange(len(design.cell_of_run)),
    }
    with pm.Model(coords=coords) as model:
        x = {name: pm.Data(name, values, dims=dims.get(name)) for name, values in inputs(law, design).items()}
        cell_of_run, modality_of_cell = x["cell_of_run"], x["modality_of_cell"]

        quantities: dict[str, Any] = {}
        by_modality: dict[str, Any] = {}
        for name, prior in law.priors.items():
            if isinstance(prior, Rough):
                # Data in a prior would also move where chains start, and a compiled model keeps the start that it was
                # compiled with: draws would depend on what the process had fitted before.
                offset = pm.Normal(f"{name}_offset", 0.0, prior.sd, dims="modality")
                quantities[name] = pt.exp(x["rough_log_loss"] + offset)[modality_of_cell]
            elif isinstance(prior, Shares):
                # Each modality may have the terms in the order that suits its runs.
                model.add_coord("broken", range(len(prior.terms)))
                last_first, each = x["last_first"][:, None], np.array(prior.concentrations, dtype=float)
                alike = len(set(prior.concentrations)) == 1
                broken = pm.Dirichlet(
                    broken_name(name),
                    each if alike else pt.switch(last_first, each[::-1], each),
                    dims=("modality", "broken"),
                    default_transform=_BrokenStick(),
                )
                shares = pt.switch(last_first, broken[:, ::-1], broken)
                by_modality |= {term: shares[:, i] for i, term in enumerate(prior.terms)}
                quantities |= {term: by_modality[term][modality_of_cell] for term in prior.terms}
        for name, prior in design.active(law).items():
            slope = sum(pt.log(by_modality[factor]) for factor in prior.slope_of)
            if isinstance(prior, Independent):
                value = _independent(name, prior, design, slope)
            else:
                value = _unlinked(_pooled(latent_name(name, prior), prior, design, x, slope), prior)
            if prior.over == ("modality",):
                by_modality[name], value = value, value[modality_of_cell]
            quantities[name] = value

        quantities.pop("sigma", None)
        coefficients = {name: value[cell_of_run] for name, value in law.from_shares(**quantities).items()}
        usual = ("sparsity", "nonzero_params", "data_seen", "pretrain_data")
        columns = {name: x[name] for name in (*usual, *law.reads) if name in x}
        loss = law.loss(**columns, **coefficients)
        sigma = by_modality.get("sigma")
        if sigma is None:
            sigma = pm.LogNormal("sigma", np.log(SIGMA_MEDIAN), SIGMA_SD, dims="modality")
        scale = pt.sqrt(sigma[modality_of_cell][cell_of_run] ** 2 + x["log_loss_se"] ** 2)
        pm.StudentT("observed", nu=NOISE_DF, mu=pt.log(loss), sigma=scale, observed=x["log_loss"], dims="run")
    return model


def _pooled(name: str, prior: Pooled, design: Design, x: Mapping[str, Any], slope: Any) -> Any:
    """Groups with their population integrated out (see `hierarchy`), sampled along the slope of a term if given."""
    return pm.CustomDist(
        name,
        x[f"{name}_mean"],
        x[f"{name}_axes"],
        x[f"{name}_precision"],
        x[f"{name}_log_det"],
        slope if prior.slope_of else np.zeros(len(design.groups(prior))),
        logp=_mixture_logp,
        random=_mixture_draw,
        signature="(g),(s,g,g),(n,s,g),(n,s),(g)->(g)",
        default_transform=_AlongSlope() if prior.slope_of else None,
        dims=_dims(prior),
    )


def _dims(prior: Grouped) -> str:
    return "modality" if prior.over == ("modality",) else "cell"


def _unlinked(latent: Any, prior: Grouped) -> Any:
    return pt.exp(latent) if prior.link == "log" else pt.sigmoid(latent)


def _independent(name: str, prior: Independent, design: Design, slope: Any) -> Any:
    """Groups that are alike in nothing but their prior, a distribution of PyMC; in the coordinates of pooled ones
    unless its bounds forbid that.
    """
    if prior.bounded:
        kind, own_name = getattr(pm, prior.distribution), latent_name(name, prior) if prior.on_link else name
        value = kind(own_name, **parameters(prior), dims=_dims(prior))
        return _unlinked(value, prior) if prior.on_link else value

    def logp(latent: Any, slope: Any) -> Any:  # noqa: ARG001
        if prior.on_link:
            return pm.logp(distribution(prior), latent).sum(axis=-1)
        value = _unlinked(latent, prior)
        log_slope = latent if prior.link == "log" else pt.log(value) + pt.log1p(-value)
        return (pm.logp(distribution(prior), value) + log_slope).sum(axis=-1)

    def random(slope: Any, rng: np.random.Generator, size: Any = None) -> Any:
        return link(drawn(prior, (*(size or ()), slope.shape[-1]), rng), prior)

    latent = pm.CustomDist(
        latent_name(name, prior),
        slope if prior.slope_of else np.zeros(len(design.groups(prior))),
        logp=logp,
        random=random,
        support_point=lambda rv, size, slope: pt.full_like(rv, float(link(prior.center, prior))),  # noqa: ARG005
        signature="(g)->(g)",
        default_transform=_AlongSlope() if prior.slope_of else None,
        dims=_dims(prior),
    )
    return _unlinked(latent, prior)


def _mixture_logp(x: Any, mean: Any, axes: Any, precision: Any, log_det: Any, slope: Any) -> Any:  # noqa: ARG001
    square = (precision * pt.dot(axes, x - mean) ** 2).sum(axis=-1)
    constant = pt.log(log_det.size) + 0.5 * x.shape[0] * np.log(2 * np.pi)
    return pt.logsumexp(0.5 * (log_det - square)) - constant


def _mixture_draw(
    mean: np.ndarray,
    axes: np.ndarray,
    precision: np.ndarray,
    log_det: np.ndarray,  # noqa: ARG001
    slope: np.ndarray,  # noqa: ARG001
    rng: np.random.Generator,
    size: Any = None,
) -> np.ndarray:
    spread, share = (rng.integers(n, size=size) for n in precision.shape[:2])
    along = rng.standard_normal((*np.shape(share), len(mean))) / np.sqrt(precision[spread, share])
    return mean + (np.linalg.inv(axes)[share] @ along[..., None])[..., 0]


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
    loss and a data term seen over a factor of four, this one keeps that trouble in one coordinate, if the term that
    data do determine breaks off first.
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
