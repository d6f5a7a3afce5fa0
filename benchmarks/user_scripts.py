"""What a user of each tool writes, run on the same data: lines, processor time, and the largest models held out.

    python benchmarks/user_scripts.py --data FOLDER --store FOLDER [--tools a,b] [--limit 600]

``user_scripts/`` has a whole script for each tool: it reads a CSV of finished runs and one of planned ones, fits, and
prints median and 89 % interval of each planned run's loss. Processor seconds are of the whole process and what it
started, which other work on the machine hardly changes; run this twice for warm caches. ``frantar2023`` (160 T5 and ViT
runs of arXiv:2309.08520) is for tools that know sparsity, ``chinchilla2022`` (240 dense runs) for those that know
L(N, D). The largest non-zero parameters of each modality are held out. Needs the packages of the dependency group
``bench``.
"""

import argparse
import ast
import io
import json
import os
import resource
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from peers import tables, versions, written

SCRIPTS = Path(__file__).with_name("user_scripts")
BOTH = ("frantar2023", "chinchilla2022")
TOOLS = {
    "bayes_scaling": BOTH,
    "pymc": BOTH,
    "scipy": BOTH[:1],
    "simple_scaling_laws": BOTH[1:],
    "chinchilla": BOTH[1:],
}
"""By script: what its tool can fit."""


def lines(script: Path) -> int:
    """Lines of code: neither blank, nor comment, nor the docstring on top."""
    text = script.read_text()
    first = ast.parse(text).body[0]
    rest = text.splitlines()[first.end_lineno :]
    return sum(bool(line.strip()) and not line.strip().startswith("#") for line in rest)


def run(script: Path, files: list[Path], limit: float) -> tuple[pd.DataFrame | None, float | str]:
    """The intervals that a script printed and its processor seconds, or how it ended without."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    try:
        done = subprocess.run(
            [sys.executable, str(script), *map(str, files)], capture_output=True, text=True, timeout=limit, check=False
        )
    except subprocess.TimeoutExpired:
        return None, f"over {limit:.0f} s"
    if done.returncode:
        return None, (done.stderr.strip().splitlines() or [f"exit status {done.returncode}"])[-1]
    found = pd.read_csv(io.StringIO(done.stdout), index_col=0)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    spent = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return found.set_axis(["lower", "median", "upper"], axis=1), spent


def scored(found: pd.DataFrame, held: pd.DataFrame) -> dict[str, dict[str, Any]]:
    """By modality: share of runs inside, mean width and mean error of the median, the latter on log loss."""
    each = {}
    for name, runs in held.set_index("run_id").groupby("modality"):
        mine = found.loc[runs.index]
        intervals = bool((mine["upper"] > mine["lower"]).all())
        inside = (mine["lower"] <= runs["loss"]) & (runs["loss"] <= mine["upper"])
        each[str(name)] = {
            "runs": len(runs),
            "error": float(np.abs(np.log(mine["median"] / runs["loss"])).mean()),
            "coverage": float(inside.mean()) if intervals else None,
            "width": float(np.log(mine["upper"] / mine["lower"]).mean()) if intervals else None,
        }
    return each


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=os.environ.get("BAYES_SCALING_DATA"))
    parser.add_argument("--store", type=Path, required=True, help="where the CSV files and what was measured go")
    parser.add_argument("--tools", default=",".join(TOOLS))
    parser.add_argument("--limit", type=float, default=600, help="seconds for one script")
    arguments = parser.parse_args()
    if arguments.data is None:
        parser.error("--data is not given, and BAYES_SCALING_DATA is not set")
    files = {}
    for name, table in tables(Path(arguments.data), list(BOTH)).items():
        held_out, parts = written(table, name, arguments.store / "runs")
        files[name] = parts["held_out"]
        print(f"{name}: {held_out} held out", file=sys.stderr)
    head = "lines of code", "processor seconds", "error, %", "inside 89 %", "width, %"
    print("| data, held out | tool | " + " | ".join(head) + " |\n|---|---|" + "---|" * len(head))
    for data, paths in files.items():
        for tool in arguments.tools.split(","):
            if data not in TOOLS[tool]:
                continue
            script = SCRIPTS / f"with_{tool}.py"
            found, seconds = run(script, paths, arguments.limit)
            kept = {"lines": lines(script), "seconds": seconds, "load": os.getloadavg()[0], "versions": versions()}
            scores = {} if found is None else scored(found, pd.read_csv(paths[1]))
            out = arguments.store / f"{tool}_{data}.json"
            out.write_text(json.dumps(kept | {"scores": scores}, indent=1))
            for modality, each in scores.items() or [("–", None)]:
                print(f"| {data}, {modality} | {tool} | {kept['lines']} | {shown(seconds, each)} |", flush=True)


def shown(seconds: float | str, each: dict[str, Any] | None) -> str:
    """The cells of a row."""
    if each is None:
        return f"{seconds} | – | – | –"
    intervals = "none | –"
    if each["coverage"] is not None:
        intervals = f"{each['coverage'] * each['runs']:.0f} of {each['runs']} | {100 * each['width']:.2f}"
    return f"{seconds:.1f} | {100 * each['error']:.2f} | {intervals}"


if __name__ == "__main__":
    main()
