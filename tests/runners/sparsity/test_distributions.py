# ruff: noqa: E402
import itertools
from fractions import Fraction

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="the runners need PyTorch: install bayes-scaling[runners]")

from hypothesis import given
from hypothesis import strategies as st

from runners.sparsity import distributions
from runners.sparsity.structures import parse

SHAPES = st.lists(st.tuples(st.integers(1, 9), st.integers(1, 9)), min_size=1, max_size=5)


def zeros(*shapes):
    return [torch.zeros(shape) for shape in shapes]


def test_uniform_is_exact_in_every_tensor():
    assert distributions.get("uniform").kept(zeros((10, 10), (7, 3), (1, 5)), 0.75) == [25, 5, 1]


def test_erk_keeps_weights_in_proportion_to_inputs_plus_outputs():
    # 1400 weights, 140 stay: 30 and 70 inputs plus outputs
    assert distributions.get("erk").kept(zeros((10, 20), (30, 40)), 0.9) == [42, 98]


def test_erk_makes_small_tensors_dense_and_rescales_the_rest():
    # 10,200 weights, 2,040 stay. In proportion 20 : 200 : 20 the small ones would get 170 of their 100; the large one
    # gets all that is left.
    assert distributions.get("erk").kept(zeros((10, 10), (100, 100), (10, 10)), 0.8) == [100, 1840, 100]


def test_erk_counts_the_kernel_of_a_convolution():
    # 288 and 288 weights, 58 stay: dimensions sum to 18 and 34
    kept = distributions.get("erk").kept(zeros((8, 4, 3, 3), (16, 18)), 0.9)
    assert kept == [20, 38]  # 20.08 and 37.92


@given(shapes=SHAPES, sparsity=st.floats(0, 1))
def test_erk_gives_one_weight_after_another_to_the_tensor_with_most_claim(shapes, sparsity):
    sizes, shares = [a * b for a, b in shapes], [a + b for a, b in shapes]
    expected = [0] * len(shapes)
    for _ in range(sum(sizes) - round(sparsity * sum(sizes))):
        open_to = [i for i in range(len(shapes)) if expected[i] < sizes[i]]
        expected[max(open_to, key=lambda i: Fraction(shares[i], expected[i] + 1))] += 1
    assert distributions.get("erk").kept(zeros(*shapes), sparsity) == expected


@given(shapes=SHAPES, sparsities=st.lists(st.floats(0, 1), min_size=2, max_size=6), seed=st.integers(0, 99))
@pytest.mark.parametrize("name", ["erk", "global"])
def test_counts_sum_to_the_total_fit_their_tensors_and_never_grow_with_sparsity(name, shapes, sparsities, seed):
    generator = torch.Generator().manual_seed(seed)
    scores = [torch.randint(0, 9, shape, generator=generator).float() for shape in shapes]
    total = sum(score.numel() for score in scores)
    counts = [distributions.get(name).kept(scores, sparsity) for sparsity in sorted(sparsities)]
    for kept, sparsity in zip(counts, sorted(sparsities), strict=True):
        assert sum(kept) == total - round(sparsity * total)
        assert all(0 <= k <= score.numel() for k, score in zip(kept, scores, strict=True))
    assert all(a >= b for less, more in itertools.pairwise(counts) for a, b in zip(less, more, strict=True))


@given(shapes=SHAPES, sparsity=st.floats(0, 1), seed=st.integers(0, 99))
def test_global_is_one_ranking_over_all_tensors(shapes, sparsity, seed):
    generator = torch.Generator().manual_seed(seed)
    scores = [torch.randint(0, 9, shape, generator=generator).float() for shape in shapes]
    together = np.concatenate([score.numpy().ravel() for score in scores])
    chosen = np.zeros(len(together), bool)
    chosen[np.argsort(-together, kind="stable")[: len(together) - round(sparsity * len(together))]] = True
    parts = np.split(chosen, np.cumsum([score.numel() for score in scores])[:-1])
    kept = distributions.get("global").kept(scores, sparsity)
    assert kept == [int(part.sum()) for part in parts]
    for score, count, part in zip(scores, kept, parts, strict=True):
        assert parse("unstructured").keep(score, count).flatten().tolist() == part.tolist()


def test_global_ranks_blocks_as_blocks():
    block = parse("block:2x2")
    loud_in_one_weight = torch.tensor([[9.0, 0, 1, 1], [0, 0, 1, 1]])  # means 2.25 and 1
    even = torch.full((2, 4), 2.0)
    kept = distributions.get("global").kept([block.rank(loud_in_one_weight), block.rank(even)], 0.25)
    assert kept == [4, 8]
