"""The coefficients of a posterior, for whichever groups an answer needs."""

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import xarray as xr

from bayes_scaling import laws
from bayes_scaling.assemble import UNSEEN
from bayes_scaling.errors import InputError
from bayes_scaling.notes import Note
from bayes_scaling.studies import FITTED

__all__ = ["coefficients", "law_of", "names_of", "refuse_studies", "unseen_notes"]


def law_of(posterior: xr.DataTree) -> laws.Law:
    """The law that a posterior was fitted with.

    Raises
    ------
    InputError
        If it is of a study, which answers other questions.
    """
    refuse_studies(posterior)
    return laws.get(posterior.attrs["law"])


def refuse_studies(posterior: xr.DataTree) -> None:
    """Refuse posteriors of studies, which answer other questions; coefficients of a point fit, which name no law, pass.

    Raises
    ------
    InputError
        If it is one.
    """
    name = posterior.attrs.get("law")
    if name in FITTED:
        raise InputError(f"the posterior is of {name!r}, which is not about losses of runs; ask it through bs.{name}")


def coefficients(
    posterior: xr.DataTree,
    modality: Any = None,
    structure: Any = None,
    strategy: Any = None,
) -> dict[str, xr.DataArray]:
    """Draws of the law's coefficients, for the groups asked for.

    Parameters
    ----------
    posterior : DataTree
    modality, structure, strategy : str, sequence of str or DataArray of str, optional
        One name drops the dimension; a sequence keeps it; DataArrays with a common dimension pick pairs. All of the
        posterior's unless said. A structure that no run had is answered from the population.

    Returns
    -------
    dict of DataArray
        By name, over ``chain``, ``draw`` and the dimensions left.

    Raises
    ------
    InputError
        If the posterior does not have a modality or a strategy.
    """
    draws = posterior["posterior"].to_dataset()
    law = law_of(posterior)
    known = draws[[name for name in law.coefficients if name in draws]]
    unseen = posterior[UNSEEN].to_dataset()
    extended = known.drop_vars("structure", errors="ignore")
    if "structure" in extended.dims:  # the one that no run had comes last, so that every unknown name can point at it
        extended = xr.concat([extended, unseen], dim="structure", data_vars="minimal", coords="minimal")
    levels = {
        "modality": draws["modality"].to_numpy().tolist(),
        "structure": draws["structure"].to_numpy().tolist(),
        "strategy": np.unique(posterior["constant_data"]["strategy"].to_numpy())[::-1].tolist(),  # scratch first
    }
    index = {
        dim: _positions(dim, levels[dim] if asked is None else asked, levels[dim])
        for dim, asked in {"modality": modality, "structure": structure, "strategy": strategy}.items()
    }
    picked = extended.isel(index, missing_dims="ignore")  # a strategy that is the only one is no dimension
    labels = {
        dim: (levels[dim] if asked is None else list(asked))
        for dim, asked in {"modality": modality, "structure": structure, "strategy": strategy}.items()
        if dim in picked.dims and not isinstance(asked, xr.DataArray)
    }
    picked = picked.assign_coords(labels).drop_vars([d for d in levels if d not in labels], errors="ignore")
    return {str(name): values for name, values in picked.data_vars.items()}


def _positions(dim: str, names: Any, levels: list[str]) -> Any:
    """Where names stand among the levels; -1 for structures that no run had."""

    def position(name: Any) -> int:
        if name in levels:
            return levels.index(name)
        if dim == "structure":
            return 0 if name == "dense" else -1  # at sparsity 0 every structure gives the same loss
        raise InputError(f"{dim} {str(name)!r} is not in the posterior, which has {', '.join(levels)}")

    if isinstance(names, str):
        return position(names)
    if isinstance(names, xr.DataArray):
        unique, inverse = np.unique(names.to_numpy(), return_inverse=True)
        found = np.array([position(str(name)) for name in unique])
        return names.copy(data=found[inverse])
    return [position(name) for name in names]


def names_of(posterior: xr.DataTree, dim: str, asked: str | Sequence[str] | None) -> list[str]:
    """The names asked for along a dimension of groups; all that the posterior has if none are."""
    refuse_studies(posterior)
    if asked is None:
        return [str(name) for name in posterior["posterior"][dim].to_numpy()]
    return [asked] if isinstance(asked, str) else list(dict.fromkeys(asked))


def unseen_notes(posterior: xr.DataTree, pairs: Iterable[tuple[str, str]]) -> list[Note]:
    """A note for each pair of modality and structure that had no sparse runs, where the law tells structures apart."""
    if not any("structure" in coefficient.over for coefficient in law_of(posterior).coefficients.values()):
        return []
    runs = posterior["constant_data"].to_dataset()
    sparse = runs["sparsity"].to_numpy() > 0
    columns = (runs[name].to_numpy()[sparse].tolist() for name in ("modality", "structure"))
    trained = set(zip(*columns, strict=True))
    return [
        Note(
            "unseen_pair",
            "warning",
            f"No run of {modality} had structure {structure}{_others(trained, modality)}: this answer comes from the "
            "population of structures.",
        )
        for modality, structure in dict.fromkeys(pairs)
        if (modality, structure) not in trained
    ]


def _others(trained: set[tuple[str, str]], modality: str) -> str:
    """What they had, for who misspelt a name: any name is a structure."""
    had = sorted(structure for other, structure in trained if other == modality)
    return f" (they had {', '.join(had)})" if had else ""
