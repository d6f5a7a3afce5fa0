import numpy as np
import pytest
from helpers import two_modalities

import bayes_scaling as bs
from bayes_scaling import laws
from bayes_scaling.compiled import compiled_model
from bayes_scaling.design import design_of
from bayes_scaling.model import build_model
from bayes_scaling.sampling import nuts, whitened


@pytest.fixture(scope="module")
def density():
    design = design_of(bs.load_runs(two_modalities()))
    law = laws.get("sparse")
    return whitened(compiled_model(law, design, lambda: build_model(law, design)), law, design)


@pytest.fixture(scope="module")
def sampled(density):
    return nuts(density, draws=500, tune=300, chains=2, seed=3, target_accept=0.9, thin=2)


def test_whitened_coordinates_are_about_standard(density, sampled):
    drawn, _ = sampled
    # back from the variables to z, by way of two that are free coordinates themselves
    unconstrained = np.concatenate(
        [drawn["reference_loss_offset"].reshape(1000, -1), np.log(drawn["sigma"]).reshape(1000, -1)], axis=1
    )
    spread = np.sqrt((density.root**2).sum(axis=1))
    names, at = list(drawn), 0
    for name in names:
        size = int(np.prod(density.code.shapes[names.index(name)])) - (2 if name == "share_as_broken" else 0)
        if name in ("reference_loss_offset", "sigma"):
            column = unconstrained[:, :2] if name == "reference_loss_offset" else unconstrained[:, 2:]
            ratio = column.std(axis=0) / spread[at : at + size]
            assert ((ratio > 0.6) & (ratio < 1.6)).all(), (name, ratio)
        at += size
    assert at == density.code.dim


def test_shapes_and_statistics(density, sampled):
    drawn, stats = sampled
    assert {name: values.shape[:2] for name, values in drawn.items()} == dict.fromkeys(density.code.names, (2, 500))
    assert dict(stats.sizes) == {"chain": 2, "draw": 500}
    assert {"diverging", "maxdepth_reached", "energy", "lp", "n_steps"} <= set(stats.data_vars)
    assert stats["diverging"].dtype == bool
    np.testing.assert_allclose(drawn["share_as_broken"].sum(axis=-1), 1)


def test_the_seed_decides(density, sampled):
    settings = {"draws": 500, "tune": 300, "chains": 2, "target_accept": 0.9, "thin": 2}
    again, _ = nuts(density, seed=3, **settings)
    other, _ = nuts(density, seed=4, **settings)
    for name, values in sampled[0].items():
        np.testing.assert_array_equal(values, again[name])
        assert not np.array_equal(values, other[name])
