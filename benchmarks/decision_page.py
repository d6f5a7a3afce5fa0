"""Runs the code of docs/decisions.md and puts what it prints under it: python benchmarks/decision_page.py [--check].

Needs the data set frantar2023. With --check the page stays as it is, and the exit status says whether it is up to date.
"""

import contextlib
import io
import os
import re
import sys
import tempfile
from pathlib import Path

import matplotlib as mpl

PAGE = Path(__file__).resolve().parents[1] / "docs" / "decisions.md"
BLOCK = re.compile(r"```python\n(?P<code>.*?)```\n(?:\n```text\n.*?```\n)?", flags=re.DOTALL)


def refreshed(page: str) -> str:
    """The page with the output of each block of Python below it; later blocks see the names of earlier ones."""
    names: dict[str, object] = {}

    def run(block: re.Match[str]) -> str:
        out = io.StringIO()
        with contextlib.redirect_stdout(out):
            exec(compile(block["code"], PAGE.name, "exec"), names)
        printed = "".join(line.rstrip() + "\n" for line in out.getvalue().splitlines())
        return f"```python\n{block['code']}```\n" + (f"\n```text\n{printed}```\n" if printed else "")

    with tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder):
        return BLOCK.sub(run, page)


if __name__ == "__main__":
    mpl.use("Agg")
    os.environ.setdefault("NO_COLOR", "1")
    before = PAGE.read_text(encoding="utf-8")
    after = refreshed(before)
    if "--check" in sys.argv[1:]:
        sys.exit(before != after)
    PAGE.write_text(after, encoding="utf-8")
