# ruff: noqa: E402
import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="the runners need PyTorch: install bayes-scaling[runners]")

from hypothesis import given
from hypothesis import strategies as st

from runners.sparsity.ranking import largest


@given(scores=st.lists(st.integers(-1, 4), min_size=1, max_size=40), share=st.floats(0, 1))
def test_the_largest_are_those_of_a_stable_sort_whatever_the_ties(scores, share):
    kept = round(share * len(scores))
    first = np.argsort(-np.array(scores), kind="stable")[:kept]
    mask = largest(torch.tensor(scores, dtype=torch.float32), kept)
    assert mask.nonzero().flatten().tolist() == sorted(first.tolist())


@pytest.mark.parametrize("value", [0.0, float("inf"), -float("inf")])
def test_a_tensor_of_one_value_keeps_its_first(value):
    mask = largest(torch.full((4, 5), value), 7)
    assert mask.shape == (4, 5)
    assert mask.flatten().tolist() == [True] * 7 + [False] * 13
