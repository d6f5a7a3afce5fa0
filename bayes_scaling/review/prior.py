"""Which quantities a posterior takes from the prior and not from the runs."""

import xarray as xr

from bayes_scaling.design import Design
from bayes_scaling.hierarchy import link
from bayes_scaling.laws.base import Grouped, Law
from bayes_scaling.log_prior import log_prior
from bayes_scaling.notes import Note

__all__ = ["prior_notes"]

KEPT = 0.5
"""Standard deviation of the posterior over that of the prior, on the link scale, from which on the runs have said
little. Exponents of sweeps that determine them keep .03 to .25; of the T5 runs of arXiv:2309.08520, whose data span a
factor of four, b_D keeps .70."""

PULL = 0.5
"""Sensitivity to the prior over that to the likelihood, from which on the prior pulls. Between two normal densities the
ratio is that of their precisions where they agree, and goes to one where they do not."""

_EXPLAINED = {
    "one_level_nonzero_params": ("b_N",),
    "one_level_data_seen": ("b_D",),
    "no_sparse_runs": ("b_S", "floor"),
    "one_sparsity": ("b_S", "floor"),
}
"""Notes on the design that say already that these come from the prior."""


def prior_notes(posterior: xr.DataTree, law: Law, design: Design, known: list[Note]) -> list[Note]:
    """A note for each exponent or floor that the runs leave to the prior.

    Two signs must agree: the posterior is nearly as wide as the prior, and it moves with the prior when that is raised
    to a power near one (power-scaling sensitivity; Kallioinen, Paananen, Bürkner, Vehtari, arXiv:2107.14054).

    Parameters
    ----------
    posterior : DataTree
        From `bayes_scaling.fit`; its group ``log_prior`` is used where it is there.
    law : Law
    design : Design
    known : list of Note
        On the design; what they explain is not said again.
    """
    draws, prior = posterior["posterior"].to_dataset(), posterior["prior"].to_dataset()
    pooled = {name: spec for name, spec in design.active(law).items() if name in draws}
    kept = {name: _spread(draws[name], spec) / _spread(prior[name], spec) for name, spec in pooled.items()}
    suspects = [name for name, ratio in kept.items() if (ratio >= KEPT).any()]
    if not suspects:
        return []
    from_prior, from_runs = _sensitivities(posterior, law, design, suspects)
    notes = []
    for name in suspects:
        for group in _groups(design, pooled[name]):
            about = {"modality": group["modality"], "quantity": name} | group
            if _explained(known, about):
                continue
            ratio, pull, push = (float(values[name].sel(group)) for values in (kept, from_prior, from_runs))
            if ratio >= KEPT and pull >= PULL * push:
                notes.append(_note(about, ratio, pull, push))
    return notes


def _note(about: dict[str, str], ratio: float, pull: float, push: float) -> Note:
    where = ", ".join(value for key, value in about.items() if key != "quantity")
    return Note(
        "mostly_prior",
        "warning",
        f"The runs of {where} leave {about['quantity']} mostly to its prior: its posterior is {ratio:.2f} times as "
        f"wide, with a power-scaling sensitivity of {pull:.2f} to the prior and {push:.2f} to the runs.",
        about,
        {"kept": ratio, "prior_sensitivity": pull, "likelihood_sensitivity": push},
    )


def _spread(values: xr.DataArray, spec: Grouped) -> xr.DataArray:
    return values.copy(data=link(values.to_numpy(), spec)).std(("chain", "draw"))


def _sensitivities(posterior: xr.DataTree, law: Law, design: Design, names: list[str]) -> tuple[xr.Dataset, xr.Dataset]:
    """Power-scaling sensitivity of some quantities to the prior and to the likelihood."""
    import arviz as az

    draws = posterior["posterior"].to_dataset()
    known = "log_prior" in posterior.children
    density = posterior["log_prior"].to_dataset() if known else log_prior(draws, law, design)
    tree = xr.DataTree.from_dict(
        {
            "posterior": draws[names],
            "log_prior": density,
            "log_likelihood": posterior["log_likelihood"].to_dataset(),
        }
    )
    return az.psense(tree, group="prior"), az.psense(tree, group="likelihood")


def _groups(design: Design, spec: Grouped) -> list[dict[str, str]]:
    """The groups of a quantity that had runs."""
    if spec.over == ("modality",):
        return [{"modality": name} for name in design.modality]
    levels = (design.modality, design.structure, design.strategy)
    return [
        {dim: level[i] for dim, level, i in zip(design.cell_dims, levels, cell, strict=False)}
        for cell in design.cells.tolist()
    ]


def _explained(known: list[Note], about: dict[str, str]) -> bool:
    return any(
        about["quantity"] in _EXPLAINED.get(note.code, ())
        and all(about.get(key, value) == value for key, value in note.about.items())
        for note in known
    )
