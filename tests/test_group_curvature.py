import numpy as np
import pytest
from helpers import one_modality, two_modalities, two_starts

import bayes_scaling as bs
from bayes_scaling import laws
from bayes_scaling.compiled import Density, compiled_model
from bayes_scaling.curvature import hessian
from bayes_scaling.design import design_of
from bayes_scaling.group_curvature import hessian_by_groups, owners
from bayes_scaling.inputs import inputs
from bayes_scaling.model import build_model

SWEEPS = {"two modalities": two_modalities, "one": one_modality, "two starts": two_starts}


def average_density(law, rows):
    design = design_of(bs.load_runs(rows))
    code = compiled_model(law, design, lambda: build_model(law, design))
    return design, Density(code, inputs(law, design, average_spread={}))


@pytest.mark.parametrize("law", ["sparse", "coupled"])
@pytest.mark.parametrize("sweep", SWEEPS)
def test_all_groups_at_once_give_the_same_hessian_as_one_coordinate_at_a_time(law, sweep):
    law = laws.get(law)
    design, density = average_density(law, SWEEPS[sweep]())
    rng = np.random.default_rng(0)
    for _ in range(2):
        point = np.array(density.code.start) + rng.normal(0, 0.2, density.code.dim)
        expected = hessian(density, point)
        found = hessian_by_groups(density, law, design, point)
        size = np.sqrt(np.abs(np.outer(np.diag(expected), np.diag(expected))))
        np.testing.assert_allclose(found / size, expected / size, atol=1e-7)


def test_it_takes_as_many_steps_as_the_largest_group_has_coordinates(monkeypatch):
    law = laws.get("sparse")
    design, density = average_density(law, two_modalities())
    calls = []
    evaluate = Density.__call__
    monkeypatch.setattr(Density, "__call__", lambda self, z: calls.append(z) or evaluate(self, z))
    hessian_by_groups(density, law, design, np.array(density.code.start))
    largest = np.bincount(owners(density.code, design)).max()
    assert len(calls) == 2 * largest < 2 * density.code.dim


def test_owners_are_the_modalities_that_a_coordinate_moves():
    law = laws.get("sparse")
    design, density = average_density(law, two_modalities())
    start = np.array(density.code.start)
    owner = owners(density.code, design)
    assert owner.shape == (density.code.dim,)
    before = density.variables(start)
    for i, modality in enumerate(owner):
        after = density.variables(start + 0.1 * np.eye(len(start))[i])
        for name, values in after.items():
            rows = np.arange(len(design.modality)) if len(values) == len(design.modality) else design.cells[:, 0]
            changed = np.abs(values - before[name]).reshape(len(values), -1).max(axis=1) > 1e-9
            assert set(rows[changed]) <= {modality}, name
