import numpy as np
import pytest
from artists import drawn, words
from matplotlib.contour import QuadContourSet
from matplotlib.path import Path

import bayes_scaling as bs


def test_what_is_not_inside_the_runs_is_hatched(simulated):
    found = bs.optimal_map(simulated, modality="vision", structure="unstructured", prob=0.8)
    figure = drawn(bs.plot_optimal_map(found))
    assert "beyond the runs" in words(figure)
    assert "80% interval" in words(figure)
    size, budget = np.meshgrid(found["nonzero_params"], found["train_flops"], indexing="ij")
    for ax in figure.axes:
        (cover,) = [c for c in ax.collections if isinstance(c, QuadContourSet) and "//" in c.hatches]
        (path,) = cover.get_paths()
        covered = _inside(path, np.column_stack([size.ravel(), budget.ravel()]))
        beyond = found["beyond"].to_numpy().ravel()
        assert covered[beyond > 0.2].mean() > 0.95
        assert covered[beyond < -0.2].mean() == 0


def _inside(path, at):
    """Which points an area of several rings covers: those inside an odd number of them."""
    rings = path.to_polygons(closed_only=True)
    logs = [Path(np.log(ring)) for ring in rings]
    return sum(ring.contains_points(np.log(at)).astype(int) for ring in logs) % 2 == 1


def test_a_dense_law_has_no_map(of_law):
    with pytest.raises(bs.InputError, match="law 'dense' is about dense models and has no sparsity axis"):
        bs.plot_optimal_map(of_law("dense"), modality="language", structure="unstructured")
