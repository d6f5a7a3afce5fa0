"""Posteriors of several laws as one: each draw comes from one of them, and says from which."""

from collections.abc import Mapping

import numpy as np
import xarray as xr

from bayes_scaling.assemble import UNSEEN
from bayes_scaling.laws.base import Law

__all__ = ["mix"]

_SAMPLED = ("posterior", UNSEEN, "sample_stats", "log_prior")
"""Groups whose draws belong together."""


def mix(posteriors: Mapping[str, xr.DataTree], law: Law, rng: np.random.Generator) -> xr.DataTree:
    """One posterior of a law's parts, with their shares of the draws.

    Parameters
    ----------
    posteriors : dict of DataTree
        By name of the part, with the same numbers of chains and draws, of the same runs.
    law : Law
        Its ``parts`` are the names and shares.
    rng : numpy.random.Generator
        Decides which draws come from which part.

    Returns
    -------
    DataTree
        The coordinate ``law`` over (``chain``, ``draw``) tells the part. Draws of a part that lacks a coefficient have
        the value that makes it a case of this law; other variables that a part lacks are NaN in its draws.
    """
    first = posteriors[next(iter(law.parts))]
    tree = xr.DataTree.from_dict({name: node.to_dataset() for name, node in first.children.items()})
    tree.attrs = dict(first.attrs) | {"law": law.name}
    for groups in (_SAMPLED, ("prior",)):
        if groups[0] not in tree.children:
            continue
        sizes = tree[groups[0]].sizes
        part = _shuffled(law, sizes["chain"], sizes["draw"], rng)
        for group in groups:
            if group in tree.children:
                tree[group] = xr.DataTree(_mixed([posteriors[n][group].to_dataset() for n in law.parts], law, part))
    return tree


def _shuffled(law: Law, chains: int, draws: int, rng: np.random.Generator) -> xr.DataArray:
    """Which part each draw comes from: every chain has the shares that the law says, in random order."""
    ends = np.round(np.cumsum(list(law.parts.values())) * draws).astype(int)
    part = np.searchsorted(ends, np.arange(draws), side="right")
    return xr.DataArray(np.stack([rng.permutation(part) for _ in range(chains)]), dims=("chain", "draw"))


def _mixed(parts: list[xr.Dataset], law: Law, part: xr.DataArray) -> xr.Dataset:
    template = {str(name): values for each in reversed(parts) for name, values in each.data_vars.items()}
    mixed = {}
    for name, like in template.items():
        missing = law.nested.get(name, np.nan)
        arrays = [each[name] if name in each else xr.full_like(like, missing) for each in parts]
        mixed[name] = arrays[0]
        for i, values in enumerate(arrays[1:], start=1):
            mixed[name] = xr.where(part == i, values, mixed[name])
        mixed[name] = mixed[name].transpose(*like.dims).assign_attrs(like.attrs)
    names = np.array(list(law.parts))[part.to_numpy()]
    return xr.Dataset(mixed).assign_coords(law=(("chain", "draw"), names))
