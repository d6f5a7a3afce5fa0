"""What curves have in common: how often each form is the one, and where its quantities lie.

Every curve's quantities come from a normal distribution on their link scales, one per form, and its form from shares
that all curves have in common. Means, spreads and shares are found by expectation maximisation over the draws of curves
that were fitted on their own; each form learns from a curve as much as the curve speaks for it. A few curves hardly
move them: they stand beside `EARLIER` curves that were as the form's own prior says.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.special import logsumexp

from bayes_scaling.curve.forms.base import Form
from bayes_scaling.curve.sampler import Sample
from bayes_scaling.curve.target import COMMON, Target, log_normal, quantities

__all__ = ["LEAST_CURVES", "Population", "learn", "unlearnt"]

LEAST_CURVES = 5
"""From so many curves on they learn from each other."""

EARLIER = 2.0
ROUNDS = 15


@dataclass(frozen=True)
class Population:
    """Priors of all forms, on the link scales, in the order of `quantities`.

    Attributes
    ----------
    shift, sd : dict of ndarray
        By form: means less the form's own centre for a curve, and standard deviations.
    share : dict of float
        By form: how often it is the one.
    """

    shift: Mapping[str, np.ndarray]
    sd: Mapping[str, np.ndarray]
    share: Mapping[str, float]


def unlearnt(forms: Sequence[Form]) -> Population:
    """The forms' own priors, all forms alike."""
    sd = {form.name: np.array([quantity.sd for quantity in quantities(form).values()]) for form in forms}
    shift = {name: np.zeros(len(values)) for name, values in sd.items()}
    return Population(shift, sd, {form.name: 1 / len(forms) for form in forms})


def learn(
    targets: Sequence[Mapping[str, Target]], samples: Sequence[Mapping[str, Sample]], forms: Sequence[Form]
) -> Population:
    """The population of curves that were fitted under `unlearnt` priors.

    Parameters
    ----------
    targets, samples : sequence of dict
        By curve and name of the form.
    forms : sequence of Form

    Returns
    -------
    Population
    """
    own = found = unlearnt(forms)
    away = {
        form.name: np.array([s[form.name].points - t[form.name].center for t, s in zip(targets, samples, strict=True)])
        for form in forms
    }
    evidence = np.array([[sample[form.name].log_evidence for form in forms] for sample in samples])
    # The level's prior is around each curve's own last loss and is not learnt.
    learnt = {form.name: np.arange(len(quantities(form))) != COMMON.index("level") for form in forms}
    for _ in range(ROUNDS):
        relative, moments = np.empty_like(evidence), {}
        for i, form in enumerate(forms):
            name = form.name
            weight = log_normal(away[name], found.shift[name], found.sd[name])
            weight = weight - log_normal(away[name], own.shift[name], own.sd[name])
            total = logsumexp(weight, axis=1, keepdims=True)
            relative[:, i] = evidence[:, i] + total[:, 0] - np.log(weight.shape[1])
            normed = np.exp(weight - total)[..., None]
            mean = (normed * away[name]).sum(axis=1)
            moments[name] = mean, (normed * (away[name] - mean[:, None]) ** 2).sum(axis=1)
        belongs = relative + np.log([found.share[form.name] for form in forms])
        belongs = np.exp(belongs - logsumexp(belongs, axis=1, keepdims=True))
        shift, sd = {}, {}
        for i, form in enumerate(forms):
            shift[form.name], sd[form.name] = _step(belongs[:, i], *moments[form.name], own.sd[form.name])
            sd[form.name] = np.where(learnt[form.name], sd[form.name], own.sd[form.name])
            shift[form.name] = np.where(learnt[form.name], shift[form.name], 0.0)
        count = belongs.sum(axis=0) + EARLIER / len(forms)
        found = Population(shift, sd, {form.name: float(c) for form, c in zip(forms, count / count.sum(), strict=True)})
    return found


def _step(
    belongs: np.ndarray, mean: np.ndarray, variance: np.ndarray, own_sd: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Mean and spread that make the draws most probable, beside `EARLIER` curves of the form's own prior."""
    count = belongs.sum()
    shift = belongs @ mean / (count + EARLIER)
    square = belongs @ (variance + (mean - shift) ** 2) + EARLIER * own_sd**2
    return shift, np.sqrt(square / (count + EARLIER))
