"""Every quantity of a posterior in a few numbers, and whether to trust them."""

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import xarray as xr

from bayes_scaling.intervals import PROB, check_prob, interval
from bayes_scaling.notes import Note, read_notes
from bayes_scaling.viewed import Viewed

__all__ = ["Summary", "scalars", "summarise", "summary"]


@dataclass(frozen=True, repr=False)
class Summary(Viewed):
    """What a fit found, and whether to trust it; prints as a table.

    Attributes
    ----------
    law : str
    n_runs : int
        Runs fitted.
    prob : float
        Probability of every interval.
    quantities : dict
        As `summarise` returns them.
    diagnostics : dict
        Of the gate: ``max_rhat``, ``min_ess_bulk``, ``min_ess_tail``, ``divergences``, ``ok`` and others.
    notes : list of Note
        What the runs cannot tell, or seem to have wrong.
    """

    law: str
    n_runs: int
    prob: float
    quantities: dict[str, dict[str, float]]
    diagnostics: dict[str, Any]
    notes: list[Note] = field(default_factory=list)

    def to_dict(self) -> dict[str, Any]:
        """Everything as plain JSON."""
        kept = {name: value for name, value in vars(self).items() if name != "quantities"}
        return kept | {"summary": self.quantities, "notes": [note.to_dict() for note in self.notes]}

    def _view(self) -> Any:
        from bayes_scaling.display import fit_view

        return fit_view(self)


def summary(posterior: xr.DataTree, prob: float = PROB) -> Summary:
    """What a fit found: all coefficients with their intervals, the gate, and the notes.

    Parameters
    ----------
    posterior : DataTree
        From `fit`.
    prob : float
        Probability of the equal-tailed intervals.

    Returns
    -------
    Summary

    Raises
    ------
    InputError
        If the probability is none.

    Examples
    --------
    >>> bs.summary(posterior)  # doctest: +SKIP
    """
    check_prob(prob)
    return Summary(
        posterior.attrs["law"],
        posterior["constant_data"].sizes["run"],
        prob,
        summarise(posterior, prob),
        json.loads(posterior.attrs["diagnostics"]),
        read_notes(posterior.attrs),
    )


def summarise(posterior: xr.DataTree, prob: float = PROB) -> dict[str, dict[str, float]]:
    """Mean, standard deviation, median and interval of each scalar of the posterior group.

    Parameters
    ----------
    posterior : DataTree
        From `fit`.
    prob : float
        Probability of the equal-tailed intervals.

    Returns
    -------
    dict
        By label, as ``b_N[language]`` or ``b_S[language, unstructured]``: ``mean``, ``sd``, ``median``, ``lower`` and
        ``upper``, over the draws that have it.
    """
    rows: dict[str, dict[str, float]] = {}
    for label, draws in scalars(posterior["posterior"].to_dataset()):
        scalar = draws.stack(sample=("chain", "draw")).dropna("sample")  # a law in a mixture may lack it
        moments = {"mean": float(scalar.mean()), "sd": float(scalar.std())}
        rows[label] = moments | interval(scalar, prob)
    return rows


def scalars(variables: xr.Dataset) -> Iterator[tuple[str, xr.DataArray]]:
    """Each scalar with its label, as ``b_S[language, unstructured]``; draws stay dimensions."""
    for name, values in variables.data_vars.items():
        groups = [str(dim) for dim in values.dims if dim not in ("chain", "draw")]
        stacked = values.stack(scalar=groups) if groups else values.expand_dims("scalar")
        for i in range(stacked.sizes["scalar"]):
            scalar = stacked.isel(scalar=i)
            label = f"[{', '.join(str(scalar[dim].item()) for dim in groups)}]" if groups else ""
            yield f"{name}{label}", scalar
