"""What a law is: a formula, its coefficients, and priors on quantities without units."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal

__all__ = [
    "CELL",
    "Coefficient",
    "Grouped",
    "Independent",
    "Law",
    "Pooled",
    "Prior",
    "Published",
    "Read",
    "Rough",
    "Shares",
    "broken_name",
    "latent_name",
]

CELL = ("modality", "structure")
"""Dimensions of whatever depends on how a network was made sparse; ``strategy`` joins where runs have several."""


@dataclass(frozen=True)
class Rough:
    """Prior of a modality's loss at its reference point: log-normal around the rough size of the losses seen.

    Parameters
    ----------
    sd : float
        Standard deviation of the log.
    """

    sd: float


@dataclass(frozen=True)
class Shares:
    """Prior of how a modality's loss at its reference point splits into terms: a Dirichlet distribution.

    Parameters
    ----------
    terms : tuple of str
        Names of the law's terms, which add up to the loss: the size term first, the data term last. The sampler breaks
        them off one after the other, from the end that the runs determine better.
    concentration : float or tuple of float
        One for every term, or each term's; 1 is uniform over all splits.
    """

    terms: tuple[str, ...]
    concentration: float | tuple[float, ...]

    @property
    def concentrations(self) -> tuple[float, ...]:
        """Each term's concentration."""
        each = self.concentration
        return each if isinstance(each, tuple) else (each,) * len(self.terms)


@dataclass(frozen=True)
class Pooled:
    """Prior of a quantity that differs between groups which resemble each other.

    On the link scale the groups are normal around a population mean, which is itself normal around ``center``; the
    standard deviation between groups is half-normal.

    Parameters
    ----------
    center : float
        The population's prior median, on the quantity's own scale.
    sd : float
        Prior standard deviation of the population mean, on the link scale.
    spread : float
        Scale of the half-normal prior of the standard deviation between groups, on the link scale.
    link : {"log", "logit"}
        ``log`` for positive quantities, ``logit`` for fractions.
    over : tuple of str
        What it varies over: ``("modality",)`` or `CELL`.
    slope_of : tuple of str
        Where this is an exponent: the term whose exponent it is, and quantities named before it that multiply. The
        product of exponent and share is the slope of log loss at the reference point, which data determine far better
        than any factor, so the sampler moves along the slope.
    strategy : str, optional
        The quantity enters only where runs have this strategy.
    """

    center: float
    sd: float
    spread: float
    link: Literal["log", "logit"]
    over: tuple[str, ...]
    slope_of: tuple[str, ...] = ()
    strategy: str | None = None


@dataclass(frozen=True)
class Independent:
    """Prior of a quantity that has the same distribution in every group, none of which learns from another.

    Parameters
    ----------
    distribution : str
        Name of a distribution of PyMC.
    parameters : tuple of (str, float)
        Its parameters.
    on_link : bool
        Whether it is the distribution of the quantity on its link scale, not of the quantity itself.
    bounded : bool
        Whether it allows a part only of what the quantity may be, so that the sampler needs its bounds.
    center, sd : float
        Its median on the quantity's own scale, and its standard deviation on the link scale.
    link, over, slope_of, strategy
        As of `Pooled`.
    """

    distribution: str
    parameters: tuple[tuple[str, float], ...]
    on_link: bool
    bounded: bool
    center: float
    sd: float
    link: Literal["log", "logit"]
    over: tuple[str, ...]
    slope_of: tuple[str, ...] = ()
    strategy: str | None = None


Grouped = Pooled | Independent
"""Priors of quantities that every group has one of, around a centre on a link scale."""

Prior = Rough | Shares | Grouped


def latent_name(name: str, prior: Grouped) -> str:
    """Name of a quantity of groups on its link scale."""
    return f"{prior.link}_{name}"


def broken_name(name: str) -> str:
    """Name of shares in the order in which the sampler breaks them off."""
    return f"{name}_as_broken"


@dataclass(frozen=True)
class Coefficient:
    """A coefficient of the formula, in physical units.

    Parameters
    ----------
    units : str
        What it is measured in; "1" for pure numbers.
    over : tuple of str
        The group dimensions that it has in a posterior.
    meaning : str
        One line for people.
    """

    units: str
    over: tuple[str, ...]
    meaning: str


@dataclass(frozen=True)
class Published:
    """A set of coefficients as printed, in physical units."""

    source: str
    coefficients: Mapping[str, float]


@dataclass(frozen=True)
class Read:
    """A column of the runs that a law reads beside sparsity, size and data.

    Parameters
    ----------
    per : {"data_seen", "nonzero_params", "one"}
        What it is measured in, so that a model's copy of it is relative to the reference point.
    absent : str, optional
        The column that stands in for it where runs do not have it; None where the formula does without. Empty where
        runs must have it.
    """

    per: Literal["data_seen", "nonzero_params", "one"]
    absent: str | None = ""


@dataclass(frozen=True)
class Law:
    """Base of all laws; one subclass a file, with the members below filled in.

    The formula and the way from priors to coefficients use operators only, so that the same lines serve PyTensor,
    xarray and numpy.
    """

    name: ClassVar[str]
    reference: ClassVar[str]
    latex: ClassVar[str]
    coefficients: ClassVar[Mapping[str, Coefficient]]
    published: ClassVar[Mapping[str, Published]]

    parts: ClassVar[Mapping[str, float]] = {}
    """Laws that this one mixes, with their shares of the draws; empty for a law of its own."""

    nested: ClassVar[Mapping[str, float]] = {}
    """Coefficients that make a part that lacks them a case of this law."""

    prunes: ClassVar[bool] = True
    """Whether it says anything of sparse models."""

    held: ClassVar[tuple[str, ...]] = ()
    """Columns among size and data that it is no function of: runs of a modality have one value of them, and so have
    questions to it."""

    costs: ClassVar[tuple[str, ...]] = ()
    """Names of the package's cost models that suit its kind of sparsity; empty for all."""

    reads: ClassVar[Mapping[str, Read]] = {}
    """Columns that `loss` takes by name beside sparsity, size, data and pretraining data. Questions that nobody has
    trained leave them out, so each has a default there that means the ordinary case."""

    priors: Mapping[str, Prior] = field(default_factory=dict)

    def check(self, runs: Any) -> None:
        """Refuse runs that the law is not about.

        Parameters
        ----------
        runs : Dataset
            A validated run table.

        Raises
        ------
        InputError
            In one sentence, with the column and what was found.
        """

    def from_shares(self, *, nonzero_params: Any = 1.0, data_seen: Any = 1.0, **quantities: Any) -> dict[str, Any]:
        """Coefficients from the quantities that have priors, for a reference point in the units asked for."""
        raise NotImplementedError

    # Subclasses spell out their coefficients, which type checkers allow for this signature only.
    def loss(self, *columns: Any, **coefficients: Any) -> Any:
        """Expected held-out loss from ``sparsity``, ``nonzero_params``, ``data_seen`` and ``pretrain_data``."""
        raise NotImplementedError

    def terms(self, *columns: Any, **coefficients: Any) -> tuple[Any, Any]:
        """The terms of size and of data, from what `loss` takes; stated beside `loss` by laws that have such terms.

        The loss rises with their sum and depends on its columns in no other way. The size term is a function of
        sparsity that falls, times a function of size; the data term without pretraining is a power of ``data_seen``.
        Then optimal sparsity has an explicit inverse (`decide.inverse`); other laws are searched.
        """
        raise NotImplementedError

    def dense_equivalent(self, *columns: Any, **coefficients: Any) -> Any:
        """Size of the dense model with the same loss at a ``sparsity``, as a multiple of the non-zero parameters.

        Laws where it depends on size ask for ``nonzero_params`` by name; the others take it and leave it.
        """
        raise NotImplementedError
