"""What replay.py measured, as Markdown and as a picture."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from bayes_scaling.intervals import PROB

Line = dict[str, Any]

QUANTITIES = ("optimal sparsity × 10", "optimal sparsity × 1", "log loss")
WORDS = {
    "sparsity per FLOP": "optimal sparsity, per FLOP",
    "sparsity per run": "optimal sparsity, per run",
    "loss per FLOP": "loss, per FLOP",
    "loss per run": "loss, per run",
    "D-optimal per FLOP": "D-optimal, per FLOP",
    "D-optimal per run": "D-optimal, per run",
    "cheapest": "cheapest first",
    "random": "random",
}
COUNTS = (24, 36)
LEVELS = {"language": (0.05, 0.2), "vision": (0.02, 0.05)}
"""Shares of the FLOPs of all runs at which rules are compared; ViT's cheap runs are cheaper than T5's."""


def error(line: Line, quantity: str) -> float:
    return abs(line["values"][quantity]["median"] - line["reference"][quantity])


def width(line: Line, quantity: str) -> float:
    return float(line["values"][quantity]["upper"] - line["values"][quantity]["lower"])


def hit(line: Line, quantity: str) -> float:
    return float(line["values"][quantity]["lower"] <= line["reference"][quantity] <= line["values"][quantity]["upper"])


Measure = Callable[[Line, str], float]
Path_ = list[Line]


def paths(lines: list[Line], kind: str, law: str, modality: str) -> dict[str, list[Path_]]:
    """By rule, its replays, each from the first step to the last."""
    found: dict[str, dict[tuple[int, int], Path_]] = {}
    for line in lines:
        if (line["kind"], line["law"], line["modality"]) == (kind, law, modality):
            found.setdefault(line["policy"], {}).setdefault((line["truth"], line["order"]), []).append(line)
    return {
        policy: [sorted(path, key=lambda line: len(line["runs"])) for path in found[policy].values()]
        for policy in WORDS
        if policy in found
    }


def at_count(path: Path_, count: int) -> Line:
    """The last step with at most so many runs."""
    return [line for line in path if len(line["runs"]) <= count][-1]


def at_flops(path: Path_, flops: float) -> Line:
    """The last step that so many FLOPs pay for."""
    return ([line for line in path if line["flops"] <= flops] or path[:1])[-1]


def mean(measure: Measure, lines: list[Line], quantity: str) -> float:
    return float(np.mean([measure(line, quantity) for line in lines]))


def report(lines: list[Line]) -> None:
    """Print a table for each kind of sweep, law and quantity."""
    for kind, law in dict.fromkeys((line["kind"], line["law"]) for line in lines):
        by = {modality: paths(lines, kind, law, modality) for modality in LEVELS}
        by = {modality: rules for modality, rules in by.items() if rules}
        for quantity in QUANTITIES:
            print(f"\n**{quantity}, {kind} losses, law `{law}`: mean error; mean width**\n")
            table(by, quantity)
        for modality, rules in by.items():
            print(f"\nReplays of {modality}: { ({WORDS[p]: len(replays) for p, replays in rules.items()}) }")
    print(f"\n{len(lines)} refits, {sum(line['cpu'] for line in lines):.0f} CPU-s")


def table(by: dict[str, dict[str, list[Path_]]], quantity: str) -> None:
    """A row per rule; for each modality after so many runs, for such shares of all FLOPs, and how often inside."""
    heads = []
    for modality in by:
        cells = [f"{n} runs" for n in COUNTS] + [f"{level:.0%} of FLOPs" for level in LEVELS[modality]] + ["inside"]
        heads += [f"{modality}: {cells[0]}", *cells[1:]]
    print(f"| rule | {' | '.join(heads)} |")
    print("|---" * (len(heads) + 1) + "|")
    starts: list[str] = []
    for rules in by.values():
        first = [path[0] for path in next(iter(rules.values()))]
        starts += [cell(first, quantity), *[""] * (len(heads) // len(by) - 1)]
    print(f"| (the first 12 runs) | {' | '.join(starts)} |")
    for policy in WORDS:
        cells = []
        for modality, rules in by.items():
            replays = rules.get(policy, [])
            if not replays:
                cells += [""] * (len(heads) // len(by))
                continue
            total = replays[0][0]["all_flops"]
            cells += [cell([at_count(path, n) for path in replays], quantity) for n in COUNTS]
            cells += [cell([at_flops(path, level * total) for path in replays], quantity) for level in LEVELS[modality]]
            steps = [line for path in replays for line in path[1:]]
            cells.append(f"{mean(hit, steps, quantity):.2f}")
        print(f"| {WORDS[policy]} | {' | '.join(cells)} |")


def cell(lines: list[Line], quantity: str) -> str:
    return f"{mean(error, lines, quantity):.3f}; {mean(width, lines, quantity):.3f}"


STYLE = {
    "sparsity per FLOP": ("C0", "-"),
    "sparsity per run": ("C0", "--"),
    "loss per FLOP": ("C3", "-"),
    "loss per run": ("C3", "--"),
    "D-optimal per FLOP": ("C2", "-"),
    "D-optimal per run": ("C2", "--"),
    "cheapest": ("0.1", ":"),
    "random": ("0.55", "-"),
}
ROWS = (
    ("measured", "optimal sparsity × 10", width, f"width of the {PROB:.0%} interval\nof optimal sparsity"),
    ("measured", "log loss", width, f"width of the {PROB:.0%} interval\nof log loss (nats)"),
    ("simulated", "optimal sparsity × 10", error, "absolute error of\noptimal sparsity, simulated"),
    ("simulated", "log loss", error, "absolute error of\nlog loss (nats), simulated"),
)


def draw(lines: list[Line], laws: dict[str, str], out: Path) -> None:
    """Widths in measured sweeps and errors in simulated ones, over runs and over FLOPs; law by kind of sweep."""
    import matplotlib as mpl

    mpl.use("Agg")
    import matplotlib.pyplot as plt
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

    figure, axes = plt.subplots(len(ROWS), 4, figsize=(17, 15), sharey="row", layout="constrained")
    for row, (kind, quantity, measure, label) in zip(axes, ROWS, strict=True):
        row[0].set_ylabel(label)
        for k, modality in enumerate(("language", "vision")):
            by = paths(lines, kind, laws[kind], modality)
            for ax, over in zip(row[2 * k : 2 * k + 2], ("runs", "flops"), strict=True):
                for policy, replays in by.items():
                    own = {"optimal sparsity × 10": "sparsity", "log loss": "loss"}[quantity]
                    if policy.split()[0] in {"sparsity", "loss"} - {own}:
                        continue
                    curve(ax, policy, replays, quantity, measure, over)
                ax.set_yscale("log")
                scaled = [(ax.yaxis, FuncFormatter(lambda value, _: f"{value:g}"))]
                if over == "flops":
                    ax.set_xscale("log")
                    scaled.append((ax.xaxis, FuncFormatter(lambda value, _: f"{100 * value:g} %")))
                for axis, words in scaled:
                    axis.set_major_locator(LogLocator(subs=(1, 2, 5)))
                    axis.set_major_formatter(words)
                    axis.set_minor_formatter(NullFormatter())
        for ax in row:
            ax.grid(alpha=0.3, which="both", lw=0.5)
    for k, modality in enumerate(("T5 (language)", "ViT (vision)")):
        axes[0, 2 * k].set_title(f"{modality}, over runs")
        axes[0, 2 * k + 1].set_title(f"{modality}, over compute")
        axes[-1, 2 * k].set_xlabel("runs trained")
        axes[-1, 2 * k + 1].set_xlabel("training FLOPs, share of those of all runs")
    handles: dict[str, Any] = {}
    for ax in axes.ravel():
        for handle, name in zip(*ax.get_legend_handles_labels(), strict=True):
            handles.setdefault(name, handle)
    names = [WORDS[policy] for policy in WORDS if WORDS[policy] in handles]
    figure.legend([handles[n] for n in names], names, loc="outside lower center", ncols=4)
    figure.savefig(out, dpi=72, pil_kwargs={"optimize": True})


def curve(ax: Any, policy: str, replays: list[Path_], quantity: str, measure: Measure, over: str) -> None:
    """Mean over replays; with ten and more, the range of the middle eight in ten."""
    colour, style = STYLE[policy]
    if over == "runs":
        x = np.array([len(line["runs"]) for line in replays[0]], dtype=float)
        values = np.array([[measure(at_count(path, n), quantity) for n in x] for path in replays])
    else:
        total = replays[0][0]["all_flops"]
        ends = [min(path[0]["flops"] for path in replays), np.mean([path[-1]["flops"] for path in replays])]
        x = np.geomspace(*ends, 60) / total
        values = np.array([[measure(at_flops(path, share * total), quantity) for share in x] for path in replays])
    ax.plot(x, values.mean(axis=0), color=colour, ls=style, label=WORDS[policy], lw=1.8)
    if len(replays) >= 10:
        ax.fill_between(x, *np.quantile(values, [0.1, 0.9], axis=0), color=colour, alpha=0.25, lw=0)
