"""Every quantity of a posterior in a few numbers."""

import xarray as xr

from bayes_scaling.intervals import PROB, interval

__all__ = ["summarise"]


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
    for name, values in posterior["posterior"].to_dataset().data_vars.items():
        groups = [str(dim) for dim in values.dims if dim not in ("chain", "draw")]
        stacked = values.stack(scalar=groups) if groups else values.expand_dims("scalar")
        for i in range(stacked.sizes["scalar"]):
            scalar = stacked.isel(scalar=i)
            label = f"[{', '.join(str(scalar[dim].item()) for dim in groups)}]" if groups else ""
            scalar = scalar.stack(sample=("chain", "draw")).dropna("sample")  # a law in a mixture may lack it
            moments = {"mean": float(scalar.mean()), "sd": float(scalar.std())}
            rows[f"{name}{label}"] = moments | interval(scalar, prob)
    return rows
