"""A posterior that mixes laws, taken apart: each law must stand up to the runs by itself."""

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import xarray as xr

from bayes_scaling.notes import Note

__all__ = ["by_law", "said_of_all"]


def by_law(posterior: xr.DataTree) -> dict[str, xr.DataTree]:
    """The draws of each law of a posterior, as posteriors of one chain; the posterior itself where it has one law.

    Parameters
    ----------
    posterior : DataTree
        A coordinate ``law`` over (``chain``, ``draw``) tells which law a draw comes from.
    """
    draws = posterior["posterior"].to_dataset()
    if "law" not in draws.coords:
        return {posterior.attrs["law"]: posterior}
    law = draws["law"].transpose("chain", "draw").to_numpy()
    found = {}
    for name in dict.fromkeys(law.ravel().tolist()):
        groups = {str(key): _draws_of(group.to_dataset(), name, law) for key, group in posterior.children.items()}
        found[name] = xr.DataTree.from_dict(groups)
        found[name].attrs = posterior.attrs | {"law": name}
    return found


def said_of_all(found: Mapping[str, list[Note]]) -> list[Note]:
    """The notes on several laws as one list: what holds for all is said once, the rest says of which law it holds."""
    if len(found) == 1:
        return next(iter(found.values()))
    keys = {law: {_key(note) for note in notes} for law, notes in found.items()}
    merged: dict[object, Note] = {}
    for law, notes in found.items():
        for note in notes:
            if all(_key(note) in others for others in keys.values()):
                merged.setdefault(_key(note), note)
            else:
                about = dict(note.about) | {"law": law}
                merged[law, _key(note)] = replace(note, message=f"Law {law}: {note.message}", about=about)
    return list(merged.values())


def _draws_of(group: xr.Dataset, name: str, law: np.ndarray) -> xr.Dataset:
    if not {"chain", "draw"} <= set(group.dims):
        return group
    # Groups with draws of their own, as the prior has, say themselves where they come from.
    of = group["law"].transpose("chain", "draw").to_numpy() if "law" in group.coords else law
    chain, draw = np.nonzero(of == name)
    picked = group.drop_vars(["chain", "draw", "law"], errors="ignore").isel(
        chain=xr.DataArray(chain, dims="picked"), draw=xr.DataArray(draw, dims="picked")
    )
    picked = picked.rename(picked="draw").expand_dims("chain")
    return picked.assign_coords(chain=[0], draw=np.arange(len(draw))).transpose("chain", "draw", ...)


def _key(note: Note) -> tuple[str, tuple[tuple[str, str], ...]]:
    return note.code, tuple(sorted(note.about.items()))
