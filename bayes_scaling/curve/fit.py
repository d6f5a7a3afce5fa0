"""Learning curves in, a posterior out: every curve under every form, curves learning from each other."""

import json
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib import metadata
from typing import Any

import numpy as np
import xarray as xr
from scipy.special import logsumexp

from bayes_scaling.curve import forms as known
from bayes_scaling.curve.forms.base import Form
from bayes_scaling.curve.isotonic import with_noise, without_ties
from bayes_scaling.curve.population import LEAST_CURVES, Population, learn, unlearnt
from bayes_scaling.curve.posterior import population_group, population_of, tree_of
from bayes_scaling.curve.sampler import Sample, sample
from bayes_scaling.curve.table import Curve, read_curves
from bayes_scaling.curve.target import Target, quantities
from bayes_scaling.errors import InputError
from bayes_scaling.threads import one_blas_thread

__all__ = ["FORMS", "fit"]

FORMS = ("M2", "M3", "M4")
"""Mixed by default. M1 is M2 without a floor."""

MAX_KHAT, LEAST_ESS = 0.7, 100
"""Gate of importance sampling: up to this shape means of weighted draws converge (arXiv:1507.02646)."""

MATTERS = 0.05
"""Forms with less of a curve's posterior are not held to the gate."""


@dataclass(frozen=True)
class _Fitted:
    """A curve under all forms."""

    targets: dict[str, Target]
    samples: dict[str, Sample]

    def log_share(self, population: Population) -> np.ndarray:
        """Log of the posterior probability of each form."""
        found = [np.log(population.share[name]) + each.log_evidence for name, each in self.samples.items()]
        return np.array(found) - logsumexp(found)


def fit(
    curves: Any,
    *,
    forms: Sequence[str] = FORMS,
    columns: Mapping[str, str] | None = None,
    isotonic: bool = False,
    population: xr.DataTree | None = None,
    draws: int = 1000,
    seed: int = 0,
) -> xr.DataTree:
    """Fit learning curves, each with a posterior of its own.

    Parameters
    ----------
    curves : path, DataFrame, Dataset or list of dicts
        One row a point, with ``curve`` (a name), ``x`` (steps, tokens, examples, …; above 0) and ``loss`` (above 0); or
        what `bayes_scaling.load_curves` returns, or a store of run records: then ``x`` is ``data_seen`` and ``loss`` is
        ``heldout_loss``. Rows without a loss are left out. Five points a curve at least.
    forms : sequence of str
        Forms to mix, of `bayes_scaling.curve.forms.names`.
    columns : dict of str to str, optional
        New names by the table's own, as ``{"train_loss": "loss"}``.
    isotonic : bool
        Whether losses are an isotonic (never rising) fit to noisier measurements, as published curves often are. Then
        runs of equal losses count once, and the noise of single measurements, which are what new points will be, is
        worked out from how far such a fit strays (Brunk 1970). Measurements are taken to have been as far apart in x as
        the two closest points are.
    population : DataTree, optional
        An earlier posterior of `fit`, whose population of curves is the prior. By default five or more curves make
        their own, and fewer have the forms' own priors.
    draws : int
        Draws a curve.
    seed : int
        Every curve has random numbers of its own, whatever others are in the table.

    Returns
    -------
    DataTree
        ``posterior`` has ``level`` (loss at the last point, in the loss's unit), ``slope`` (-d log loss / d log x
        there), ``floor`` (irreducible loss), ``noise`` (standard deviation of log loss of a measurement), ``drift``
        (nats of slope per square root of a nat of log x) and the forms' shape quantities over (``chain``, ``draw``,
        ``curve``), NaN in draws of forms that lack them, with the coordinate ``form`` over (``draw``, ``curve``).
        ``sample_stats`` has ``khat``, ``ess`` and ``probability`` over (``curve``, ``form``), and ``ok`` over
        (``curve``). ``observed_data``, ``constant_data`` and ``population`` make it self-contained.

    Raises
    ------
    InputError
        A column is missing, a value is not above 0, an x comes twice, a curve has fewer than five points or does not
        fall, or a form is not known.

    Notes
    -----
    log loss = form + integrated Wiener process over log x + Gaussian noise. Amplitude and local slope at the last point
    are parameters of every form. A curve that fails its gate (k-hat above 0.7 or fewer than 100 effective points for a
    form with 5 % of the posterior or more) is sampled once more for longer; if it fails again, ``ok`` is False and
    a note of severity error names it.

    Examples
    --------
    >>> posterior = bs.curve.fit("curves.csv")  # doctest: +SKIP
    >>> bs.curve.predict(posterior, 1e10, prob=0.89)  # doctest: +SKIP
    """
    started = time.perf_counter()
    if draws < 1:
        raise InputError(f"draws is {draws}; a posterior has one draw or more")
    if not forms or len(set(forms)) != len(forms):
        raise InputError(f"forms is {tuple(forms)}; it names each form to mix once, and one at least")
    mixed = [known.get(name) for name in forms]
    with one_blas_thread():
        read = read_curves(curves, columns)
        asked = list(_smoothed(read)) if isotonic else [(curve, 0.0) for curve in read]
        prior = population_of(population, mixed) if population is not None else unlearnt(mixed)
        fitted = [_fit_curve(curve, mixed, prior, seed, draws) for curve, _ in asked]
        if population is None and len(asked) >= LEAST_CURVES:
            prior = learn([f.targets for f in fitted], [f.samples for f in fitted], mixed)
            asked = [(_renoised(*each, f, prior), each[1]) for each, f in zip(asked, fitted, strict=True)]
            fitted = [_fit_curve(curve, mixed, prior, seed, draws) for curve, _ in asked]
        fitted = [each if _passes(each, prior) else _strictly(each, prior, seed, draws) for each in fitted]
    log_share = np.array([each.log_share(prior) for each in fitted])
    settings = {"forms": list(forms), "isotonic": isotonic, "seed": seed, "draws": draws}
    tree = tree_of(
        [each.targets for each in fitted],
        [each.samples for each in fitted],
        log_share,
        np.array([_passes(each, prior) for each in fitted]),
        seed,
    )
    tree["population"] = population_group(prior, mixed)
    tree.attrs |= {
        "settings": json.dumps(settings),
        "version": metadata.version("bayes-scaling"),
        "seconds": time.perf_counter() - started,
    }
    return tree


def _smoothed(curves: Iterator[Curve]) -> Iterator[tuple[Curve, float]]:
    """Curves of isotonic fits, and how far apart their measurements were."""
    for curve in curves:
        gap = float(np.diff(np.exp(curve.log_x)).min())
        yield with_noise(without_ties(curve), gap), gap


def _renoised(curve: Curve, gap: float, fitted: _Fitted, population: Population) -> Curve:
    """The same curve, with the noise that its first fit found in place of the rough one."""
    if not gap:
        return curve
    best = list(fitted.samples)[int(fitted.log_share(population).argmax())]
    place = list(quantities(fitted.targets[best].form)).index("noise")
    return with_noise(curve, gap, float(np.exp(np.median(fitted.samples[best].points[:, place]))))


def _fit_curve(curve: Curve, forms: Sequence[Form], prior: Population, seed: int, draws: int) -> _Fitted:
    targets = {form.name: Target(curve, form, prior.shift[form.name], prior.sd[form.name]) for form in forms}
    return _Fitted(targets, {name: _sampled(target, seed, draws) for name, target in targets.items()})


def _strictly(fitted: _Fitted, prior: Population, seed: int, draws: int) -> _Fitted:
    shares = np.exp(fitted.log_share(prior))
    again = {
        name: _sampled(fitted.targets[name], seed, draws, strict=True) if share >= MATTERS else old
        for (name, old), share in zip(fitted.samples.items(), shares, strict=True)
    }
    return _Fitted(fitted.targets, again)


def _sampled(target: Target, seed: int, draws: int, *, strict: bool = False) -> Sample:
    rng = np.random.default_rng([seed, *target.curve.name.encode(), *target.form.name.encode()])
    return sample(target, target.prior_mean, target.prior_sd, draws=draws, rng=rng, strict=strict)


def _passes(fitted: _Fitted, prior: Population) -> bool:
    shares = np.exp(fitted.log_share(prior))
    return all(
        share < MATTERS or (each.khat <= MAX_KHAT and each.ess >= LEAST_ESS)
        for each, share in zip(fitted.samples.values(), shares, strict=True)
    )
