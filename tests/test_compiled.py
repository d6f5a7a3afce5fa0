import subprocess
import sys

import numpy as np
import pytest
from helpers import one_modality, two_modalities, two_starts

import bayes_scaling as bs
from bayes_scaling import laws
from bayes_scaling.compiled import Density, compiled_model
from bayes_scaling.design import design_of
from bayes_scaling.inputs import inputs
from bayes_scaling.laws.sparse import Sparse
from bayes_scaling.model import build_model

SWEEPS = {"two modalities": two_modalities, "two starts": two_starts}


def density_of(law, rows):
    design = design_of(bs.load_runs(rows))
    code = compiled_model(law, design, lambda: build_model(law, design))
    return design, Density(code, inputs(law, design))


def value_by_pymc(law, density, design, x):
    """The model's log density by PyMC, at a point given as one row."""
    model = build_model(law, design)
    point, start = {}, model.initial_point()
    for variable in density.code.names:
        name = model.rvs_to_values[model[variable]].name
        size = start[name].size
        point[name], x = x[:size].reshape(start[name].shape), x[size:]
    return float(model.compile_logp(mode="FAST_COMPILE")(point))


@pytest.mark.parametrize("law", ["sparse", "coupled"])
@pytest.mark.parametrize("sweep", SWEEPS)
def test_density_is_pymcs(law, sweep):
    law = laws.get(law)
    design, density = density_of(law, SWEEPS[sweep]())
    rng = np.random.default_rng(0)
    for _ in range(3):
        x = np.array(density.code.start) + rng.normal(0, 0.3, density.code.dim)
        value, gradient = density(x)
        assert value == pytest.approx(value_by_pymc(law, density, design, x), rel=1e-9)
        steps = 1e-6 * np.eye(len(x))
        expected = [(density(x + s)[0] - density(x - s)[0]) / 2e-6 for s in steps]
        np.testing.assert_allclose(gradient, expected, rtol=1e-4, atol=1e-3 * np.abs(gradient).max())


def test_one_code_serves_any_runs_of_the_same_shape():
    law = laws.get("sparse")
    rows = two_modalities()
    _, density = density_of(law, rows)
    fewer = [row | {"loss": row["loss"] * 1.01} for row in rows if row["nonzero_params"] < 5e7]
    design, other = density_of(law, fewer)
    assert other.code is density.code
    x = np.array(density.code.start)
    assert other(x)[0] == pytest.approx(value_by_pymc(law, other, design, x), rel=1e-9)
    assert other(x)[0] != density(x)[0]


def test_coordinates_move_with_the_gradient():
    _, density = density_of(laws.get("sparse"), two_modalities())
    rng = np.random.default_rng(1)
    dim = density.code.dim
    centre, root = np.array(density.code.start), rng.normal(0, 0.2, (dim, dim)) + np.eye(dim)
    moved = density.moved(centre, root)
    z = rng.normal(0, 0.2, dim)
    value, gradient = density(centre + root @ z)
    assert moved(z)[0] == pytest.approx(value, rel=1e-12)
    np.testing.assert_allclose(moved(z)[1], root.T @ gradient, rtol=1e-9)
    variables, expected = moved.variables(z[None]), density.variables((centre + root @ z)[None])
    for name in expected:
        np.testing.assert_allclose(variables[name], expected[name], rtol=1e-12)


def test_nonsense_has_no_density():
    _, density = density_of(laws.get("sparse"), two_modalities())
    value, gradient = density(np.full(density.code.dim, 1e6))
    assert value == -np.inf
    assert (gradient == 0).all()


def test_a_later_process_needs_no_pymc(tmp_path):
    """The code that this process compiled is on disk, and a law of the package is found without its graph."""
    density_of(laws.get("sparse"), one_modality())
    bs.save_runs(bs.load_runs(one_modality()), tmp_path / "sweep.csv")
    program = (
        "import sys\n"
        "import bayes_scaling as bs\n"
        f"posterior = bs.fit({str(tmp_path / 'sweep.csv')!r}, law='sparse', draws=300, chains=2, progressbar=False)\n"
        "assert 'pymc' not in sys.modules\n"
        "print(posterior['posterior'].sizes['draw'])\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() in ("300", "600")


def test_code_is_kept_where_the_environment_says(tmp_path, monkeypatch):
    from bayes_scaling import compiled

    monkeypatch.setenv("BAYES_SCALING_CACHE", str(tmp_path))
    monkeypatch.setattr(compiled, "_KNOWN", {})
    _, density = density_of(laws.get("sparse"), one_modality())
    kept = {path.suffix for path in (tmp_path / "compiled").iterdir() if path.is_file()}
    assert {".py", ".json"} <= kept
    monkeypatch.setattr(compiled, "_KNOWN", {})
    _, again = density_of(laws.get("sparse"), one_modality())
    assert again.code is not density.code
    assert again.code.density.cache_hits == 1
    x = np.array(density.code.start)
    assert again(x)[0] == density(x)[0]


def test_a_folder_that_cannot_be_written_is_no_obstacle(tmp_path, monkeypatch):
    from bayes_scaling import compiled

    (tmp_path / "file").write_text("")
    monkeypatch.setenv("BAYES_SCALING_CACHE", str(tmp_path / "file"))
    folder = compiled._folder()
    assert folder.is_dir()
    assert tmp_path not in folder.parents


class Elsewhere(Sparse):
    """A law whose file is not the package's."""

    name = "elsewhere"


def test_a_law_from_elsewhere_is_compiled_by_its_graph(tmp_path, monkeypatch):
    from bayes_scaling import compiled

    monkeypatch.setenv("BAYES_SCALING_CACHE", str(tmp_path))
    monkeypatch.setattr(compiled, "_KNOWN", {})
    design, density = density_of(Elsewhere(), one_modality())
    assert [path.name[0] for path in (tmp_path / "compiled").glob("*.py")] == ["g"]
    x = np.array(density.code.start)
    assert density(x)[0] == pytest.approx(value_by_pymc(Elsewhere(), density, design, x), rel=1e-9)
