"""Priors that a user states, as `pymc_extras.prior.Prior` objects, in place of a law's own."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from bayes_scaling import laws
from bayes_scaling.errors import InputError
from bayes_scaling.hierarchy import link, unlink
from bayes_scaling.independent import distribution, drawn, log_density
from bayes_scaling.laws.base import Grouped, Independent, Law, Pooled, Prior, Rough, Shares

if TYPE_CHECKING:
    from pymc_extras.prior import Prior as Stated

__all__ = ["as_json", "given", "stated"]

DRAWS = 4000
"""Draws that tell a distribution's centre, and whether it leaves the range of its quantity."""

TRANSFORMS = {"log": ("exp",), "logit": ("sigmoid", "invlogit")}
"""Names by which a prior says that it is one on a link scale."""

HIERARCHICAL = {"log": "LogNormal", "logit": "LogitNormal"}
"""Distributions whose parameters are a mean and a standard deviation on a link scale."""


@dataclass(frozen=True)
class _Range:
    """What a quantity may be, in words and in numbers outside and at the ends of it."""

    words: str
    outside: tuple[float, ...]
    ends: tuple[float, ...]


RANGES = {
    "log": _Range("above 0", (-1e6, -1.0, -1e-3, -1e-9), (1e-8, 1e8)),
    "logit": _Range("between 0 and 1", (-1.0, -1e-9, 1 + 1e-9, 2.0), (1e-8, 1 - 1e-8)),
}

SIGMA = Independent("LogNormal", (), False, False, 1.0, 1.0, "log", ("modality",))
"""Stands for the noise scale, which every law has."""


def stated(prior: Mapping[str, Any] | None, law: Law) -> dict[str, "Stated"]:
    """The priors that a user stated, checked against the names of a law's quantities.

    Parameters
    ----------
    prior : dict of Prior, or of what `as_json` made of one
        By the name of the quantity.
    law : Law
        With the quantities of all its parts, where it mixes laws.

    Raises
    ------
    InputError
        If a name is not known, or a value is no prior.
    """
    if not prior:
        return {}
    if not isinstance(prior, Mapping):
        raise InputError(f"prior is {prior!r}; it is a dict of pymc_extras.prior.Prior by the name of a quantity")
    from pymc_extras.prior import Prior as Stated

    known = [*dict.fromkeys(name for each in _parts(law) for name in each.priors), "sigma"]
    found = {}
    for name, value in prior.items():
        if name not in known:
            raise InputError(
                f"prior names {name!r}, and the law {law.name!r} has no such quantity; it has {', '.join(known)}"
            )
        if isinstance(value, Mapping):
            try:
                value = Stated.from_dict(dict(value))
            except Exception as error:
                raise InputError(f"the prior of {name} cannot be read: {_first_line(error)}") from error
        if not isinstance(value, Stated):
            raise InputError(f"the prior of {name} is {value!r}; it is a pymc_extras.prior.Prior")
        found[name] = value
    return found


def as_json(prior: Mapping[str, "Stated"]) -> dict[str, Any]:
    """Priors as plain JSON, which `stated` reads."""
    return {name: value.to_dict() for name, value in prior.items()}


def given(law: Law, prior: Mapping[str, "Stated"]) -> Law:
    """The law with a user's priors in place of its own; names that it does not have are left to other laws.

    Parameters
    ----------
    law : Law
    prior : dict of Prior
        From `stated`.

    Raises
    ------
    InputError
        If a prior allows what its quantity cannot be, has dimensions that the quantity has not, or is built in a way
        that is not supported.
    """
    own = {**law.priors, "sigma": SIGMA}
    return replace(law, priors={**law.priors, **{n: _converted(n, p, own[n]) for n, p in prior.items() if n in own}})


def _parts(law: Law) -> list[Law]:
    return [laws.get(name) for name in law.parts] or [law]


def _converted(name: str, prior: "Stated", own: Prior) -> Prior:
    """A user's prior as one of the kinds that models are built from."""
    over = own.over if isinstance(own, Grouped) else ("modality",)
    dims = (prior.dims,) if isinstance(prior.dims, str) else tuple(prior.dims or ())
    if dims and set(dims) - {"term", "strategy"} != set(over):
        raise InputError(f"the prior of {name} has the dims {dims}; it has none, or {over}")
    if isinstance(own, Shares):
        return replace(own, concentration=_concentration(name, prior, own))
    nested = [key for key, value in prior.parameters.items() if not _number(value)]
    if nested and isinstance(own, Pooled):
        return _pooled(name, prior, own)
    if nested:
        raise InputError(f"the prior of {name} has {_listed(nested)} that is no number; its parameters are numbers")
    return _independent(name, prior, own)


def _number(value: Any) -> bool:
    return isinstance(value, int | float | np.integer | np.floating | np.ndarray) and np.ndim(value) == 0


def _listed(names: Iterable[str]) -> str:
    return "parameter " + ", ".join(names)


def _concentration(name: str, prior: "Stated", own: Shares) -> float | tuple[float, ...]:
    allowed = f"Dirichlet with a number above 0 for each of {', '.join(own.terms)}"
    each = np.asarray(prior.parameters.get("a", ()), dtype=float)
    right = prior.distribution == "Dirichlet" and not prior.transform and each.shape == (len(own.terms),)
    if not right or not (np.isfinite(each) & (each > 0)).all():
        raise InputError(f"the prior of {name} is {prior}; it is a {allowed}")
    return tuple(each.tolist())


def _pooled(name: str, prior: "Stated", own: Pooled) -> Pooled:
    """A hierarchy of normal distributions on the link scale, whose population is integrated out as the law's own is."""
    by_transform = prior.distribution == "Normal" and prior.transform in TRANSFORMS[own.link]
    by_itself = prior.distribution == HIERARCHICAL[own.link] and not prior.transform
    mean, spread = (prior.parameters.get(key) for key in ("mu", "sigma"))
    center, sd = _of(mean, "Normal", mu=0.0, sigma=1.0)
    (scale,) = _of(spread, "HalfNormal", sigma=1.0)
    if not (by_transform or by_itself) or center is None or sd is None or scale is None:
        raise InputError(
            f"the prior of {name} is {prior}; one with priors inside is a Normal with the transform "
            f"{TRANSFORMS[own.link][0]!r} (or a {HIERARCHICAL[own.link]}) whose mu is a Normal and whose sigma is a "
            "HalfNormal, both with numbers as parameters"
        )
    return replace(own, center=float(unlink(center, own)), sd=sd, spread=scale)


def _of(prior: Any, kind: str, **defaults: float) -> tuple[float | None, ...]:
    """Parameters of a prior of that kind, in the order of the defaults; nothing if it is another one."""
    missing = (None,) * len(defaults)
    if getattr(prior, "distribution", None) != kind or prior.transform or set(prior.parameters) - set(defaults):
        return missing
    if not all(_number(value) for value in prior.parameters.values()):
        return missing
    values = {**defaults, **prior.parameters}
    return tuple(float(values[key]) for key in defaults) if values["sigma"] > 0 else missing


def _independent(name: str, prior: "Stated", own: Rough | Pooled | Independent) -> Independent:
    """A distribution with numbers as parameters, the same in each group."""
    kind = own.link if not isinstance(own, Rough) else "log"
    if prior.transform and prior.transform not in TRANSFORMS[kind]:
        raise InputError(
            f"the prior of {name} has the transform {prior.transform!r}; it has none, or {TRANSFORMS[kind][0]!r}"
        )
    made = Independent(
        distribution=prior.distribution,
        parameters=tuple((key, float(value)) for key, value in sorted(prior.parameters.items())),
        on_link=bool(prior.transform),
        bounded=False,
        center=1.0,
        sd=1.0,
        link=kind,
        over=own.over if isinstance(own, Grouped) else ("modality",),
        slope_of=own.slope_of if isinstance(own, Grouped) else (),
        strategy=own.strategy if isinstance(own, Grouped) else None,
    )
    allowed = RANGES[kind]
    try:
        values = drawn(made, (DRAWS,), np.random.default_rng(0))
        kind_of_number = distribution(made).dtype
        leaks = not made.on_link and np.isfinite(log_density(made, np.array(allowed.outside))).any()
        bounded = not np.isfinite(log_density(made, np.array(allowed.ends))).all()
    except Exception as error:
        raise InputError(f"the prior of {name} is {prior}, which PyMC does not take: {_first_line(error)}") from error
    low, high = (0.0, np.inf) if kind == "log" else (0.0, 1.0)
    outside = ~((values > low) & (values < high))
    if kind_of_number.startswith(("int", "uint", "bool")) or outside.any() or leaks:
        raise InputError(
            f"the prior of {name} is {prior}, which allows {_example(values[outside], kind_of_number, allowed)}; "
            f"{name} is any number {allowed.words}"
        )
    on_link = link(values, made)
    return replace(made, bounded=bounded, center=float(np.median(values)), sd=float(on_link.std()))


def _first_line(error: Exception) -> str:
    return str(error).strip().partition("\n")[0]


def _example(outside: np.ndarray, kind_of_number: str, allowed: _Range) -> str:
    """What is wrong with a distribution, by a number that it draws."""
    if outside.size:
        return f"{outside[0]:.3g}"
    return "whole numbers only" if "float" not in kind_of_number else f"numbers that are not {allowed.words}"
