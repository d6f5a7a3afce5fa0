"""The gate: whether a posterior's draws may be trusted."""

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import xarray as xr

from bayes_scaling.notes import Note

__all__ = ["MAX_RHAT", "MIN_EBFMI", "MIN_ESS", "diagnose", "gate_notes", "nearly", "worst"]

MAX_RHAT = 1.01
MIN_ESS = 400
MIN_EBFMI = 0.3
"""Vehtari et al., arXiv:1903.08008, for R-hat and effective sample sizes; Betancourt, arXiv:1701.02434, for energy."""


def diagnose(posterior: xr.DataTree) -> dict[str, Any]:
    """Sampling diagnostics over all variables of the posterior group.

    Parameters
    ----------
    posterior : DataTree
        With the groups ``posterior`` and ``sample_stats``.

    Returns
    -------
    dict
        ``max_rhat``, ``min_ess_bulk``, ``min_ess_tail``, ``divergences``, ``max_treedepth`` (draws that hit the limit),
        ``min_ebfmi``, and ``ok``, whether all of them pass the gate.
    """
    import arviz as az

    draws = posterior["posterior"].to_dataset()
    stats = posterior["sample_stats"].to_dataset()

    def extreme(values: xr.Dataset, pick: Any) -> float:
        return float(pick([pick(v.to_numpy()) for v in values.data_vars.values() if v.size]))

    found = {
        "max_rhat": extreme(az.rhat(draws), np.max) if draws.sizes["chain"] > 1 else float("nan"),
        "min_ess_bulk": extreme(az.ess(draws, method="bulk"), np.min),
        "min_ess_tail": extreme(az.ess(draws, method="tail"), np.min),
        "divergences": int(stats["diverging"].sum()),
        "max_treedepth": int(stats["maxdepth_reached"].sum()),
        "min_ebfmi": extreme(az.bfmi(xr.DataTree.from_dict({"sample_stats": stats})), np.min),
    }
    return found | {"ok": not gate_notes(found)}


def nearly(found: Mapping[str, Any]) -> bool:
    """Whether a fit failed the gate and longer chains alone are likely to mend it.

    Chains of four times the length have about four times the effective draws, and a quarter of what R-hat is above 1.
    With some room, that asks for an R-hat of 1.03 and a third of the effective draws needed; and nothing may speak
    against the sampler's steps.

    Parameters
    ----------
    found : mapping
        As `diagnose` returns.
    """
    failed = {note.code for note in gate_notes(found)}
    of_draws = {"gate_rhat", "gate_ess_bulk", "gate_ess_tail"}
    close = found["max_rhat"] <= 1.03 and min(found["min_ess_bulk"], found["min_ess_tail"]) >= MIN_ESS / 3
    return bool(failed) and failed <= of_draws and close


def worst(several: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """The worst of several diagnostics, each of `diagnose`, as if they were one."""
    each = list(several)
    largest = ("max_rhat", "max_treedepth")
    found = {name: max(d[name] for d in each) if name in largest else min(d[name] for d in each) for name in each[0]}
    return found | {"divergences": sum(d["divergences"] for d in each), "ok": all(d["ok"] for d in each)}


def gate_notes(found: Mapping[str, Any]) -> list[Note]:
    """What of the gate a fit fails, one note each; none when it may be trusted.

    Parameters
    ----------
    found : mapping
        As `diagnose` returns.
    """
    # Comparisons are written so that NaN, as of a variable that never moved, fails.
    checks = [
        ("rhat", found["max_rhat"] <= MAX_RHAT, f"R-hat is {found['max_rhat']:.3f}, above {MAX_RHAT}"),
        ("ess_bulk", found["min_ess_bulk"] >= MIN_ESS, f"bulk ESS is {found['min_ess_bulk']:.0f}, below {MIN_ESS}"),
        ("ess_tail", found["min_ess_tail"] >= MIN_ESS, f"tail ESS is {found['min_ess_tail']:.0f}, below {MIN_ESS}"),
        ("divergences", found["divergences"] == 0, f"{found['divergences']} draws diverged"),
        ("treedepth", found["max_treedepth"] == 0, f"{found['max_treedepth']} draws hit the tree depth limit"),
        ("energy", found["min_ebfmi"] > MIN_EBFMI, f"E-BFMI is {found['min_ebfmi']:.2f}, not above {MIN_EBFMI}"),
    ]
    return [
        Note(f"gate_{name}", "error", f"Do not trust this posterior: {fault}.")
        for name, passed, fault in checks
        if not passed
    ]
