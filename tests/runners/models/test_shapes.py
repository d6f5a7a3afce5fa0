# ruff: noqa: E402
import pytest

torch = pytest.importorskip("torch", reason="the runners need PyTorch: install bayes-scaling[runners]")

import math

from bayes_scaling.runs import InputError
from runners import models
from runners.models.shapes import Shape, solve_shape


@pytest.mark.parametrize("nonzero", [3072, 6144, 9000, 12_288, 50_000, 98_304, 1_000_000])
@pytest.mark.parametrize(("sparsity", "multiple_of"), [(0.0, 4), (0.5, 4), (0.75, 4), (0.875, 8), (0.9375, 16)])
def test_solver_hits_the_target(nonzero, sparsity, multiple_of):
    shape = solve_shape(nonzero, sparsity, multiple_of=multiple_of)
    assert shape.block_weights * (1 - sparsity) == pytest.approx(nonzero, rel=0.02)
    assert shape.width % math.lcm(8, multiple_of) == 0
    assert shape.mlp_width % multiple_of == 0


@pytest.mark.parametrize("head_size", [2, 6, 10, 12, 32, 64])
def test_head_size_is_any_even_number(head_size):
    shape = solve_shape(300_000, 0.5, head_size=head_size)
    assert shape.width % head_size == 0
    assert shape.block_weights / 2 == pytest.approx(300_000, rel=0.02)


def test_shapes_of_the_shipped_sweep_stay_what_they_were():
    found = {
        (n, s): solve_shape(n, s)
        for n, s in [(6144, 0.0), (6144, 0.5), (6144, 0.875), (12_288, 0.75), (24_576, 0.0), (49_152, 0.875)]
    }
    assert found == {
        (6144, 0.0): Shape(2, 16, 64),
        (6144, 0.5): Shape(2, 24, 80),
        (6144, 0.875): Shape(2, 48, 160),
        (12_288, 0.75): Shape(2, 48, 160),
        (24_576, 0.0): Shape(2, 32, 128),
        (49_152, 0.875): Shape(2, 128, 512),
    }
    assert solve_shape(98_304, 0.875) == Shape(2, 184, 700)
    assert solve_shape(98_304, 0.875, multiple_of=8) == Shape(2, 192, 640)


@pytest.mark.parametrize("nonzero", [24_576, 100_000, 1_000_000])
@pytest.mark.parametrize("sparsity", [0.0, 0.75])
def test_solver_hits_the_target_with_a_gate(nonzero, sparsity):
    shape = solve_shape(nonzero, sparsity, activation="swiglu")
    assert shape.block_weights * (1 - sparsity) == pytest.approx(nonzero, rel=0.02)


def test_gated_mlps_have_two_thirds_of_the_width_for_as_many_weights():
    gelu, swiglu = Shape(2, 48, 192), Shape(2, 48, 128, activation="swiglu")
    assert gelu.block_weights == swiglu.block_weights
    assert gelu.proportion == swiglu.proportion == 1
    assert solve_shape(gelu.block_weights, 0.0, activation="swiglu") == swiglu


@pytest.mark.parametrize("nonzero", [10_000, 60_000, 400_000])
def test_depth_grows_where_the_width_is_fixed(nonzero):
    shapes = [solve_shape(nonzero, s, scaling="depth", width=32) for s in (0.0, 0.5, 0.75)]
    for shape, sparsity in zip(shapes, (0.0, 0.5, 0.75), strict=True):
        assert shape.width == 32
        assert shape.block_weights * (1 - sparsity) == pytest.approx(nonzero, rel=0.02)
        assert 0.5 < shape.proportion < 2
    assert shapes[0].layers < shapes[1].layers < shapes[2].layers
    assert solve_shape(12 * 32**2 * 5, 0.0, scaling="depth", width=32) == Shape(5, 32, 128)


def test_vit_widths_have_room_for_two_coordinates():
    shape = models.get("vit").solve(6000, 0.0, head_size=2, multiple_of=2)
    assert shape.width % 4 == 0


@pytest.mark.parametrize(
    ("knobs", "message"),
    [
        ({"nonzero_params": 100}, r"2 % of 100 .* the nearest has 640 \(layers = 2, width = 8, MLP width = 4\)"),
        ({"scaling": "depth", "width": 512}, r"no transformer with width = 512.* nearest has 1052672 \(layers = 1"),
        ({"scaling": "depth"}, "scaling 'depth' needs a width"),
        ({"scaling": "depth", "width": 20}, "width is 20; a multiple of 8 is needed"),
        ({"width": 32}, "width is 32, but scaling 'width' solves for it"),
        ({"scaling": "both"}, "scaling is 'both'; allowed are 'width', 'depth'"),
        ({"activation": "relu"}, "activation is 'relu'; allowed are 'gelu', 'swiglu'"),
        ({"head_size": 7}, "head_size is 7; an even number"),
        ({"head_size": 0}, "head_size is 0; an even number"),
        ({"layers": 0}, "layers is 0; a whole number of at least 1"),
        ({"multiple_of": 0}, "multiple_of is 0"),
        ({"nonzero_params": 1.5}, "nonzero_params is 1.5"),
        ({"sparsity": 1.0}, r"sparsity is 1.0; a fraction in \[0, 1\)"),
    ],
)
def test_mistakes_are_told_in_one_sentence(knobs, message):
    with pytest.raises(InputError, match=message) as caught:
        solve_shape(**{"nonzero_params": 6144, "sparsity": 0.0} | knobs)
    assert "\n" not in str(caught.value)


def test_a_width_that_heads_do_not_divide_is_refused():
    with pytest.raises(InputError, match="width is 20; a multiple of head_size, 8, is needed"):
        Shape(2, 20, 80)
