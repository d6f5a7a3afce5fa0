"""What the page says of a posterior beside its answers, as plain tables of text and numbers."""

import inspect
import json
from importlib import metadata
from typing import Any

import numpy as np
import xarray as xr

from bayes_scaling.diagnostics import MAX_RHAT, MIN_EBFMI, MIN_ESS, gate_notes
from bayes_scaling.display import count
from bayes_scaling.groups import law_of
from bayes_scaling.laws.base import Grouped, Independent, Law, Pooled, Rough, Shares
from bayes_scaling.laws.base import Prior as LawPrior
from bayes_scaling.notes import Note, read_notes
from bayes_scaling.priors import given, stated
from bayes_scaling.summary import summarise

__all__ = ["citation", "coefficients", "data", "diagnostics", "law", "notes", "priors", "runs"]

MOST_RUNS = 1000
"""Runs that the page lists one by one."""

SEVERITIES = ("error", "warning", "info")

RUN_COLUMNS = ("run_id", "modality", "structure", "sparsity", "nonzero_params", "data_seen", "loss")


def diagnostics(posterior: xr.DataTree) -> dict[str, Any] | None:
    """Each diagnostic with its limit and whether it passed; None where the posterior records none."""
    if "diagnostics" not in posterior.attrs:
        return None
    found = json.loads(posterior.attrs["diagnostics"])
    failed = {note.code for note in gate_notes(found)}
    rows = [
        ("largest R-hat", f"{found['max_rhat']:.4f}", f"at most {MAX_RHAT}", "gate_rhat"),
        ("least bulk effective draws", f"{found['min_ess_bulk']:.0f}", f"at least {MIN_ESS}", "gate_ess_bulk"),
        ("least tail effective draws", f"{found['min_ess_tail']:.0f}", f"at least {MIN_ESS}", "gate_ess_tail"),
        ("divergences", str(found["divergences"]), "none", "gate_divergences"),
        ("draws at the tree depth limit", str(found["max_treedepth"]), "none", "gate_treedepth"),
        ("least E-BFMI", f"{found['min_ebfmi']:.2f}", f"above {MIN_EBFMI}", "gate_energy"),
    ]
    draws = posterior["posterior"].sizes
    return {
        "rows": [{"name": n, "found": f, "allowed": a, "passed": code not in failed} for n, f, a, code in rows],
        "ok": not failed,
        "chains": draws["chain"],
        "draws": draws["draw"],
    }


def notes(posterior: xr.DataTree) -> list[Note]:
    """The posterior's notes, the graver first, and those of a gate that failed."""
    found = read_notes(posterior.attrs)
    if "diagnostics" in posterior.attrs:
        found = [*gate_notes(json.loads(posterior.attrs["diagnostics"])), *found]
    else:
        said = "This posterior records no sampling diagnostics, so nothing says whether its draws can be trusted."
        found = [Note("no_diagnostics", "error", said), *found]
    return sorted(dict.fromkeys(found), key=lambda note: SEVERITIES.index(note.severity))


def data(posterior: xr.DataTree) -> list[dict[str, Any]]:
    """The runs that were fitted in a line for each modality and structure."""
    table = _fitted(posterior)
    groups = dict.fromkeys(zip(table["modality"].tolist(), table["structure"].tolist(), strict=True))
    rows = []
    for modality, structure in sorted(groups, key=lambda pair: (pair[0], pair[1] != "dense", pair[1])):
        mine = (table["modality"] == modality) & (table["structure"] == structure)
        levels = np.unique(np.round(table["sparsity"][mine], 3))
        rows.append(
            {
                "modality": modality,
                "structure": structure,
                "runs": int(mine.sum()),
                "nonzero_params": _range(table["nonzero_params"][mine]),
                "data_seen": f"{_range(table['data_seen'][mine])} {table['data_unit'][mine][0]}",
                "sparsity": ", ".join(f"{s:g}" for s in levels) if len(levels) <= 8 else _between(levels, ".3g"),
                "loss": _between(table["loss"][mine], ".4g") if "loss" in table else "–",
            }
        )
    return rows


def runs(posterior: xr.DataTree) -> dict[str, Any]:
    """The run table as text, row by row, as far as the page lists it."""
    table = posterior["runs"].to_dataset().reset_coords()
    columns = [name for name in RUN_COLUMNS if name in table]
    total = table.sizes["run"]
    values = [table[name].to_numpy()[:MOST_RUNS] for name in columns]
    rows = [[_cell(name, v) for name, v in zip(columns, row, strict=True)] for row in zip(*values, strict=True)]
    return {"columns": columns, "rows": rows, "total": total}


def law(posterior: xr.DataTree) -> dict[str, Any]:
    """The law's formula and where it comes from."""
    known = law_of(posterior)
    formula, *rest = inspect.cleandoc(type(known).__doc__ or known.latex).split("\n\n")
    about = rest[0] if rest and not rest[0].startswith(("Parameters", "References")) else ""
    return {
        "name": known.name,
        "formula": " ".join(formula.split()),
        "about": " ".join(about.replace("`", "").split()),
        "reference": known.reference,
        "parts": {name: f"{share:.0%}" for name, share in known.parts.items()},
    }


def coefficients(posterior: xr.DataTree, prob: float) -> list[dict[str, Any]]:
    """Median and interval of each coefficient in each group, with its unit and meaning."""
    known = law_of(posterior).coefficients
    rows = []
    for label, values in summarise(posterior, prob).items():
        name, _, groups = label.partition("[")
        if name in known:
            rows.append(
                {
                    "name": name,
                    "group": groups.removesuffix("]"),
                    "units": known[name].units,
                    "meaning": known[name].meaning,
                    "values": [f"{values[key]:.4g}" for key in ("median", "lower", "upper")],
                }
            )
    return rows


def priors(posterior: xr.DataTree) -> list[dict[str, Any]]:
    """What each quantity was expected to be before the runs, in words, and whether the user stated it."""
    known = law_of(posterior)
    own = json.loads(posterior.attrs.get("settings", "{}")).get("prior") or {}
    used: Law = given(known, stated(own, known)) if own else known
    return [{"name": name, "prior": _in_words(prior), "stated": name in own} for name, prior in used.priors.items()] + [
        {"name": name, "prior": json.dumps(value), "stated": True} for name, value in own.items() if name == "sigma"
    ]


def citation(posterior: xr.DataTree) -> dict[str, Any]:
    """What to name in a text that uses the answers, and what would make the posterior again."""
    settings = json.loads(posterior.attrs.get("settings", "{}"))
    return {
        "version": metadata.version("bayes-scaling"),
        "fitted_with": json.loads(posterior.attrs.get("versions", "{}")),
        "settings": {name: value for name, value in settings.items() if name != "prior"},
        "law": posterior.attrs["law"],
        "reference": law_of(posterior).reference,
        "n_runs": posterior["constant_data"].sizes["run"],
    }


def _fitted(posterior: xr.DataTree) -> dict[str, np.ndarray]:
    """Columns of the runs that were fitted, with their loss where the posterior has it."""
    constant = posterior["constant_data"].to_dataset()
    names = ("modality", "structure", "sparsity", "nonzero_params", "data_seen", "data_unit")
    table = {name: constant[name].to_numpy() for name in names}
    if "observed_data" in posterior.children:
        table["loss"] = np.exp(posterior["observed_data"]["log_loss"].to_numpy())
    return table


def _cell(name: str, value: Any) -> str:
    if name in ("nonzero_params", "data_seen"):
        return count(float(value))
    return f"{value:.5g}" if isinstance(value, float | np.floating) else str(value)


def _range(values: np.ndarray) -> str:
    low, high = count(float(values.min())), count(float(values.max()))
    return low if low == high else f"{low} to {high}"


def _between(values: np.ndarray, shown: str) -> str:
    low, high = format(float(values.min()), shown), format(float(values.max()), shown)
    return low if low == high else f"{low} to {high}"


def _in_words(prior: LawPrior) -> str:
    match prior:
        case Rough():
            return f"log-normal around the rough size of the losses, standard deviation {prior.sd:g} of the log"
        case Shares():
            each = ", ".join(f"{value:g}" for value in prior.concentrations)
            return f"Dirichlet({each}) over {', '.join(prior.terms)}"
        case Pooled():
            return (
                f"pooled: population median {prior.center:g}, standard deviation {prior.sd:g} on the {prior.link} "
                f"scale; spread between groups half-normal({prior.spread:g}){_of(prior)}"
            )
        case Independent():
            parameters = ", ".join(f"{name}={value:g}" for name, value in prior.parameters)
            scale = f" on the {prior.link} scale" if prior.on_link else ""
            return f"{prior.distribution}({parameters}){scale}, in each group by itself{_of(prior)}"


def _of(prior: Grouped) -> str:
    return f"; by {' and '.join(prior.over)}"
