"""What peers.py measured, as Markdown: seconds and convergence, optimisers, runs held out, and where a peer leads."""

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from bayes_scaling.diagnostics import MAX_RHAT, MIN_ESS
from bayes_scaling.intervals import PROB

Record = dict[str, Any]
Found = dict[str, dict[str, list[Record]]]
"""By data set and contestant: a record per seed, of the parts ``all`` and ``held_out``."""

OURS = ("sparse", "default")
SPLIT = ("frantar2023",)
"""Sweeps whose modalities are data sets of their own; those of others are pooled over their runs."""

SCORES = ("crps", "interval_score", "width")


def report(found: Found, held_out: dict[str, str]) -> None:
    """Print all tables.

    Parameters
    ----------
    found : dict
    held_out : dict
        By data set, which runs were held out.
    """
    leads: list[str] = []
    for name, by in found.items():
        print(f"\n**{name}, all runs**\n")
        leads += seconds_and_convergence(name, by)
        optimisers(by)
    for name, by in found.items():
        for label, groups in sections(name, by):
            print(f"\n**{label}, {held_out[name]} held out**\n")
            leads += predictions(label, by, groups)
    if any(name in by for by in found.values() for name in OURS):
        print("\nWhere a peer leads:\n")
        print("\n".join(f"- {lead}" for lead in leads) or "nowhere")


def seconds_and_convergence(name: str, by: dict[str, list[Record]]) -> list[str]:
    """A row per contestant; returns where a peer leads."""
    seconds, speed, rows = {}, {}, {}
    for contestant, records in by.items():
        fits = finished(records, "all")
        chains = [fit["convergence"] for fit in fits if "rhat" in fit["convergence"]]
        rows[contestant] = [outcome(records, "all"), "–", "–", "–", "–", "–"]
        if fits:
            seconds[contestant] = float(np.median([fit["seconds"] for fit in fits]))
        if chains:
            ess = [min(c["ess_bulk"], c["ess_tail"]) for c in chains]
            rate = float(np.median([e / fit["seconds"] for e, fit in zip(ess, fits, strict=True)]))
            passed = sum(converged(c) for c in chains)
            if passed == len(records):
                speed[contestant] = rate
            rows[contestant][1:] = [
                f"{np.median(ess):,.0f}; {min(ess):,.0f}",
                f"{rate:.3g}",
                f"{max(c['rhat'] for c in chains):.3f}",
                f"{sum(c['divergences'] for c in chains)}",
                f"{passed} of {len(records)}",
            ]
    for contestant, value in seconds.items():
        missing = f" ({rows[contestant][0]})" if rows[contestant][0] else ""
        rows[contestant][0] = marked(value, seconds, min, "{:.1f}") + missing
    for contestant, value in speed.items():
        rows[contestant][2] = marked(value, speed, max, "{:.3g}")
    head = "seconds, median", "ESS, median; least", "ESS/s, median", "largest R-hat", "divergences", "converged"
    table(head, rows)
    return [
        *lead(f"{name}, seconds", seconds, min, "{:.1f}"),
        *lead(f"{name}, ESS/s of fits that converged", speed, max, "{:.3g}"),
    ]


def optimisers(by: dict[str, list[Record]]) -> None:
    """How optimisers ended, a row per contestant and group; medians over seeds."""
    rows = {}
    for contestant, records in by.items():
        fits = [
            fit["convergence"]["optimiser"] for fit in finished(records, "all") if "optimiser" in fit["convergence"]
        ]
        for group in fits[0] if fits else ():
            of = {key: [fit[group].get(key) for fit in fits] for key in fits[0][group]}
            rows[f"{contestant}, {group}"] = [
                share(of["successful"]),
                share(of.get("agreeing")),
                f"{np.median(of['gradient']):.1e}",
                share(of.get("above_lowest_known")),
                share(of["refits_failed"]),
            ]
    if rows:
        print()
        head = "flagged as successful", "starts at the best objective", "gradient / objective"
        table((*head, "above the lowest objective known", "bootstrap refits failed"), rows)


def predictions(label: str, by: dict[str, list[Record]], groups: list[str]) -> list[str]:
    """A row per contestant, of the runs of some groups; returns where a peer leads."""
    rows, means = {}, {}
    for contestant, records in by.items():
        fits = finished(records, "held_out")
        rows[contestant] = [outcome(records, "held_out") or "–", *["–"] * (len(SCORES) + 2)]
        if not fits:
            continue
        each = [pooled(fit["scores"], groups) for fit in fits]
        mean = {key: float(np.mean([e[key] for e in each])) for key in each[0]}
        means[contestant] = mean
        checks = [converged(fit["convergence"]) for fit in fits if "rhat" in fit["convergence"]]
        rows[contestant] = [
            f"{mean['coverage']:.2f} of {mean['runs']:.0f}",
            *(f"{100 * mean[key]:.2f}" for key in SCORES),
            f"{mean['impossible']:.1%}",
            f"{sum(checks)} of {len(records)}" if checks else "–",
        ]
        if missing := outcome(records, "held_out"):
            rows[contestant][0] += f" ({missing})"
    leads = []
    for i, key in enumerate(SCORES[:2], 1):
        of = {contestant: 100 * mean[key] for contestant, mean in means.items()}
        for contestant, value in of.items():
            rows[contestant][i] = marked(value, of, min, "{:.2f}")
        leads += lead(f"{label}, {key.replace('_', ' ').replace('crps', 'CRPS')} in %", of, min, "{:.2f}")
    nominal = f"coverage, {PROB:.0%} nominal"
    table((nominal, "CRPS, %", "interval score, %", "width, %", "draws without a positive loss", "converged"), rows)
    return leads


def sections(name: str, by: dict[str, list[Record]]) -> Iterator[tuple[str, list[str]]]:
    """What is scored by itself: a label, and the groups of runs in it."""
    fits = [fit for records in by.values() for fit in finished(records, "held_out")]
    groups = list(fits[0]["scores"]) if fits else []
    if name in SPLIT:
        yield from ((f"{name}, {group}", [group]) for group in groups)
    elif groups:
        yield name, groups


def pooled(scores: dict[str, dict[str, float]], groups: list[str]) -> dict[str, float]:
    """Means over the runs of several groups."""
    count = sum(scores[group]["runs"] for group in groups)
    keys = [key for key in scores[groups[0]] if key != "runs"]
    return {"runs": count} | {
        key: sum(scores[group]["runs"] * scores[group][key] for group in groups) / count for key in keys
    }


def converged(found: dict[str, Any]) -> bool:
    """Whether chains pass the package's gate on R-hat, effective sample sizes and divergences."""
    ess = min(found["ess_bulk"], found["ess_tail"])
    return found["rhat"] <= MAX_RHAT and ess >= MIN_ESS and found["divergences"] == 0


def finished(records: list[Record], part: str) -> list[Record]:
    return [record[part] for record in records if "seconds" in record[part]]


def outcome(records: list[Record], part: str) -> str:
    """How many fits did not finish, and why; nothing where all did."""
    limits = [record[part]["timed_out"] for record in records if "timed_out" in record[part]]
    failed = [record[part]["failed"] for record in records if "failed" in record[part]]
    said = [f"{len(limits)} of {len(records)} over {limits[0]:.0f} s"] if limits else []
    return "; ".join(said + ([f"{len(failed)} of {len(records)} failed: {failed[0]}"] if failed else []))


def marked(value: float, of: dict[str, float], which: Callable[..., float], shown: str) -> str:
    """A figure, in bold where it is the best to the digits shown."""
    cell = shown.format(value)
    return f"**{cell}**" if cell == shown.format(which(of.values())) else cell


def lead(what: str, of: dict[str, float], which: Callable[..., float], shown: str) -> list[str]:
    """Peers ahead of both fits of this package to the digits shown, the best first."""
    ours = [of[name] for name in OURS if name in of]
    if not ours:
        return []
    bar = which(ours)
    peers = {name: value for name, value in of.items() if name not in OURS and which(value, bar) == value}
    ahead = sorted(peers, key=lambda name: peers[name], reverse=which is max)
    cells = [f"{name} {shown.format(of[name])}" for name in ahead if shown.format(of[name]) != shown.format(bar)]
    return [f"{what}: {', '.join(cells)}; this package {shown.format(bar)}"] if cells else []


def share(values: list[float | None] | None) -> str:
    known = [value for value in values or [] if value is not None]
    return f"{np.median(known):.1%}" if known else "not told"


def table(head: tuple[str, ...], rows: dict[str, list[str]]) -> None:
    print("| | " + " | ".join(head) + " |\n|---|" + "---|" * len(head))
    for name, cells in rows.items():
        print(f"| {name} | " + " | ".join(cells) + " |")
