import json
from dataclasses import replace

import numpy as np
import pytest
import xarray as xr
from artists import close
from helpers import two_modalities

import bayes_scaling as bs
from bayes_scaling import laws
from bayes_scaling.assemble import assemble, posterior_of, prior_draws
from bayes_scaling.design import design_of
from bayes_scaling.mixing import mix
from bayes_scaling.notes import Note, write_notes
from bayes_scaling.pointwise import add_pointwise
from bayes_scaling.validate.result import scores_of

DRAWS = 200


@pytest.fixture(autouse=True)
def _close():
    yield
    close()


def _drawn_from_the_prior(law, design, runs):
    settings = {"seed": 0, "draws": DRAWS, "chains": 1, "group": "modality"}
    tree = posterior_of(prior_draws(law, design, DRAWS, np.random.default_rng(0)), law, design, runs, settings)
    more = prior_draws(law, design, DRAWS, np.random.default_rng(1))
    tree["prior"] = xr.DataTree(assemble(more, law, design, np.random.default_rng(2))[0])
    return tree


@pytest.fixture(scope="session")
def of_law():
    """A posterior of any law that no sampler was run for: draws of its prior, with the groups that a fit has."""
    known = {}

    def build(name, *, dense_runs=False):
        if (name, dense_runs) not in known:
            law = laws.get(name)
            dense = dense_runs or not law.prunes
            rows = [row for row in two_modalities() if row["sparsity"] == 0 or not dense]
            if name.startswith("routed"):  # mixtures of experts have no patterns
                rows = [row for row in rows if ":" not in row["structure"]]
            if "data_seen" in law.held:
                rows = [row for row in rows if row["data_seen"] == rows[0]["data_seen"]]
            runs = bs.load_runs(rows)
            design = design_of(runs, law)
            each = {part: _drawn_from_the_prior(laws.get(part), design, runs) for part in law.parts or [name]}
            tree = mix(each, law, np.random.default_rng(3)) if law.parts else each[name]
            tree["runs"] = xr.DataTree(runs)
            add_pointwise(tree, runs, design.runs["log_loss_se"], 0)
            tree.attrs["notes"] = json.dumps([])
            known[name, dense_runs] = tree
        return known[name, dense_runs]

    return build


@pytest.fixture(scope="session")
def distrusted(few):
    """A posterior that failed its gate."""
    tree = few.copy()
    tree.attrs = dict(few.attrs)
    write_notes(tree.attrs, [Note("gate_rhat", "error", "Do not trust this posterior: R-hat is 1.213, above 1.01.")])
    return tree


def thinned(posterior):
    """The posterior with every twentieth draw, where it is about looks and not about numbers."""
    few = posterior.map_over_datasets(lambda ds: ds.isel(draw=slice(None, None, 20)) if "draw" in ds.dims else ds)
    few.attrs = dict(posterior.attrs)
    return few


@pytest.fixture(scope="session")
def few(simulated):
    """Two modalities, two structures, few draws."""
    return thinned(simulated)


@pytest.fixture(scope="session")
def few_starts(starts):
    """Two strategies, few draws."""
    return thinned(starts)


@pytest.fixture(scope="session")
def held_out():
    """The largest size held out: predictions of the posterior, and of a stand-in for the bootstrap that is too sure."""
    found = bs.holdout(two_modalities(), "sparse", against=(), progressbar=False)
    sure = found.predictions.assign_coords(predicted_by=["bootstrap"])
    for name in ("lower", "upper"):
        sure[name] = sure["median"] + (sure[name] - sure["median"]) / 5
    sure["pit"] = (sure["pit"] > 0.5).astype(float)
    predictions = xr.concat([found.predictions, sure], "predicted_by", data_vars="minimal")
    return replace(found, predictions=predictions, scores=scores_of(predictions, found.prob))


@pytest.fixture(scope="session")
def picked(single):
    """Runs to train next, some of them beyond the runs."""
    candidates = {"nonzero_params": [8e6, 6.4e7, 6.4e8], "data_seen": [4e9, 3.2e10], "sparsity": [0, 0.75, 0.875]}
    return bs.next_runs(single, candidates, 1e22, count=4)
