"""Reports taken apart, and posteriors that put them to the test."""

import json
from html.parser import HTMLParser

import numpy as np
import xarray as xr

HOSTILE = {
    "modality": "<script>alert('m')</script>\u2028</textarea>",
    "structure": '"><img src=x onerror="alert(1)">&amp; {{ 7 * 7 }}',
    "run": "\u202egnp.evil\u202c " + "very-long-name-" * 40,
    "note": "</script><script>alert('note')</script><!-- <b>bold</b> \u2029",
}


class Page(HTMLParser):
    """A page taken apart: texts, slots, tags with their attributes, and scripts, as an HTML parser sees them."""

    def __init__(self, path):
        super().__init__()
        self.source = path.read_text(encoding="utf-8")
        self.tags, self.texts, self.slots, self.scripts = [], [], {}, []
        self._in_script = False
        self.feed(self.source)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        self._in_script = tag == "script"
        if self._in_script:
            self.scripts.append("")
        if "data-value" in dict(attrs):
            self.slots[dict(attrs)["data-slot"]] = json.loads(dict(attrs)["data-value"])

    def handle_endtag(self, tag):
        if tag == "script":
            self._in_script = False

    def handle_data(self, data):
        if self._in_script:
            self.scripts[-1] += data
        else:
            self.texts.append(data)

    @property
    def text(self):
        return " ".join("".join(self.texts).split())


def renamed(posterior):
    """The posterior with hostile names in the place of its first modality and structure."""
    new = {"language": HOSTILE["modality"], "unstructured": HOSTILE["structure"]}

    def rename(values):
        return np.array([new.get(str(value), str(value)) for value in values])

    tree = {}
    for name, node in posterior.children.items():
        group = node.to_dataset()
        for column in ("modality", "structure"):
            if column in group.variables:
                there = group[column]
                changed = there.copy(data=rename(there.to_numpy())) if column not in group.dims else None
                group = (
                    group.assign({column: changed})
                    if changed is not None
                    else group.assign_coords({column: rename(there.to_numpy())})
                )
        tree[name] = group
    runs = tree["runs"]
    tree["runs"] = runs.assign_coords(run_id=("run", np.array([HOSTILE["run"], *runs["run_id"].to_numpy()[1:]])))
    hostile = xr.DataTree.from_dict(tree)
    note = {"code": "hostile", "severity": "warning", "message": HOSTILE["note"]}
    hostile.attrs = posterior.attrs | {"notes": json.dumps([note])}
    return hostile


def failing(posterior):
    """The posterior with diagnostics that failed."""
    tree = posterior.copy()
    found = json.loads(posterior.attrs["diagnostics"]) | {"max_rhat": 1.5, "ok": False}
    tree.attrs = posterior.attrs | {"diagnostics": json.dumps(found)}
    return tree


def for_dense(posterior):
    """The posterior as one of the law of dense models, which is its law at sparsity 0."""
    tree = posterior.copy()
    for group in ("posterior", "prior"):
        draws = posterior[group].to_dataset()
        size = (draws["a_S"] + draws["c_S"]).isel(structure=0, drop=True)
        tree[group] = xr.DataTree(draws.assign(A=size).drop_vars(["a_S", "b_S", "c_S"]))
    tree["unseen_structure"] = xr.DataTree(xr.Dataset())
    tree.attrs = posterior.attrs | {"law": "dense"}
    return tree
