"""`report`: one file with the answer, an explorer of the posterior, and everything both rest on."""

import json
import os
import re
from importlib import resources
from pathlib import Path
from typing import Any

import xarray as xr

from bayes_scaling.decide import costs
from bayes_scaling.errors import InputError
from bayes_scaling.intervals import PROB
from bayes_scaling.report import charts, sections
from bayes_scaling.report.explorer import explorer_of, thinned
from bayes_scaling.report.figures import pictures
from bayes_scaling.report.opening import Opening, opening_of
from bayes_scaling.report.words import alternatives, case_of, row, slots

__all__ = ["report"]

SCRIPTS = ("answers.js", "formats.js", "drawing.js", "explorer.js")


def report(
    posterior: xr.DataTree,
    path: str | os.PathLike[str],
    *,
    nonzero_params: float | None = None,
    train_flops: float | None = None,
    modality: str | None = None,
    structure: str | None = None,
    cost: str | costs.Cost = "gradual",
    flops_per_unit: float | None = None,
    margin: float = 0.0,
    prob: float = PROB,
) -> Path:
    """Write a page that a colleague opens: what to train, how sure, why, and what would change the advice.

    The page is one file that asks nothing of any network. It opens with the answer to a question; its reader asks
    others, which the page answers from the posterior's draws by the formulas of the law and the cost models, as
    `recommend` and `optimal_sparsity` do. Without JavaScript it shows the first answer, tables and figures.

    Parameters
    ----------
    posterior : DataTree
        From `fit`. Of very many groups the page holds fewer draws, says so, and answers from those throughout.
    path : path
        The file; it is replaced only when the new one is complete.
    nonzero_params : float, optional
        Non-zero parameters that the page opens with; the largest size trained unless said.
    train_flops : float, optional
        Budget that it opens with, in FLOPs; that of the largest run unless said.
    modality, structure : str, optional
        What it opens with; the first modality and its best structure unless said.
    cost : str or Cost
        How sparsity changes the cost of training; see `decide.costs`. The page offers others beside it.
    flops_per_unit : float, optional
        FLOPs per non-zero parameter and token or example; 6 unless said.
    margin : float
        How much lower than a dense model's the loss must be to be worth it, in units of loss.
    prob : float
        Probability of every interval.

    Returns
    -------
    Path
        The file.

    Raises
    ------
    InputError
        If the extra ``report`` is not installed, the file cannot be written, the modality is not in the posterior, or
        a number is out of range.
    """
    charts.needed()
    target = Path(path)
    if not target.parent.is_dir() or target.is_dir():
        raise InputError(f"{target} cannot be written: {target.parent} must be a folder and {target} not be one")
    few = thinned(posterior)
    asked: dict[str, Any] = {"nonzero_params": nonzero_params, "train_flops": train_flops, "cost": cost}
    asked |= {"modality": modality, "structure": structure, "flops_per_unit": flops_per_unit}
    page = _render(posterior, opening_of(few, **asked, margin=margin, prob=prob))
    part = target.with_name(f".{target.name}.{os.getpid()}.part")
    try:
        part.write_text(page, encoding="utf-8", newline="\n")
        os.replace(part, target)
    except OSError as error:
        raise InputError(f"{target} cannot be written ({error.strerror or error})") from error
    finally:
        part.unlink(missing_ok=True)
    return target


def _render(posterior: xr.DataTree, opening: Opening) -> str:
    """The page as text; `opening` holds the draws that it answers from."""
    import jinja2

    few = opening.posterior
    answers = {name: opening.recommendation(name) for name in opening.modalities}
    answer = opening.answer(answers[opening.modality])
    content = _plain(answer.to_dict())
    explorer = explorer_of(few, opening, {name: content[name] for name in content if name != "notes"})
    notes = sections.notes(posterior)
    environment = jinja2.Environment(
        loader=jinja2.FunctionLoader(_asset), autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True,
        lstrip_blocks=True,
    )  # fmt: skip
    environment.policies["json.dumps_kwargs"] = {"sort_keys": True, "allow_nan": False}
    return environment.get_template("report.html.j2").render(
        opening=opening,
        question=opening.to_dict(),
        case=case_of(few, answer),
        slots=_plain(slots(opening, answer)),
        answer=answer,
        alternatives=alternatives(opening, answers[opening.modality]),
        others=[row(f"{a.modality}, {a.structure}", a) for each in answers.values() for a in each.answers],
        notes=notes,
        failed=[note for note in notes if note.severity == "error"],
        explorer=explorer,
        draws=few["posterior"].sizes["chain"] * few["posterior"].sizes["draw"],
        all_draws=posterior["posterior"].sizes["chain"] * posterior["posterior"].sizes["draw"],
        charts=charts.charts() if explorer else {},
        library=_script(charts.library()) if explorer else "",
        library_version=charts.library_version(),
        scripts=[_asset(name) for name in SCRIPTS],
        style=_asset("report.css"),
        pictures=pictures(posterior, opening),
        diagnostics=sections.diagnostics(posterior),
        data=sections.data(posterior),
        runs=sections.runs(posterior),
        law=sections.law(posterior),
        coefficients=sections.coefficients(posterior, opening.prob),
        priors=sections.priors(posterior),
        citation=sections.citation(posterior),
    )


def _script(code: str) -> str:
    """Code that no HTML parser takes for the end of its script."""
    return re.sub(r"<(?=/script|!--)", r"\\x3c", code, flags=re.IGNORECASE)


def _asset(name: str) -> str:
    return (resources.files("bayes_scaling.report") / "assets" / name).read_text(encoding="utf-8")


def _plain(value: Any) -> Any:
    """As JSON has it, in which a number that is not finite is null."""
    return json.loads(json.dumps(value), parse_constant=lambda _: None)
