# ruff: noqa: E402
import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="the runners need PyTorch: install bayes-scaling[runners]")

from hypothesis import given
from hypothesis import strategies as st

from bayes_scaling.runs import InputError
from runners.sparsity.structures import NofM, Unstructured, parse


def scores(*shape, seed=0):
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("kept", [0, 1, 480, 1919, 1920])
def test_unstructured_keeps_exactly_the_largest(kept):
    score = scores(48, 40)
    mask = Unstructured().keep(score, kept)
    assert int(mask.sum()) == kept
    if 0 < kept < score.numel():
        assert score[mask].min() >= score[~mask].max()


@pytest.mark.parametrize(("n", "m"), [(2, 4), (1, 4), (4, 8), (1, 8), (3, 7), (5, 6), (1, 2), (15, 21)])
def test_n_of_m_ends_on_the_pattern_and_protects_it_on_the_way(n, m):
    structure, score = NofM(n, m), scores(24, 4 * m)
    final = structure.keep(score, score.numel() * n // m)
    assert (final.view(-1, m).sum(1) == n).all()
    for kept in (score.numel() * n // m + 1, (score.numel() * (n + m)) // (2 * m), score.numel() - 1):
        mask = structure.keep(score, kept)
        assert int(mask.sum()) == kept
        assert (mask | ~final).all()  # a survivor of the final mask is never dropped early
        rest = ~final
        if kept < score.numel():  # and the others go by score
            assert score[mask & rest].min() >= score[~mask].max()


@given(
    m=st.integers(2, 9),
    share=st.floats(0, 1),
    rows=st.lists(st.lists(st.integers(-1, 2), min_size=18, max_size=18), min_size=1, max_size=3),
)
def test_n_of_m_keeps_the_first_of_tied_weights(m, share, rows):
    n = max(1, min(m - 1, round(share * m)))
    score = torch.tensor([row[: 18 // m * m] for row in rows], dtype=torch.float32)
    order = np.argsort(-score.view(-1, m).numpy(), axis=1, kind="stable")
    expected = np.zeros(order.shape, bool)
    np.put_along_axis(expected, order[:, :n], True, axis=1)
    assert NofM(n, m).keep(score, expected.sum()).view(-1, m).tolist() == expected.tolist()


def test_n_of_m_groups_inputs_of_a_convolution_across_its_kernel():
    mask = NofM(3, 7).keep(scores(5, 7, 3, 3), 5 * 27)
    assert (mask.flatten(1).view(5, 9, 7).sum(2) == 3).all()


@pytest.mark.parametrize(("rows", "columns"), [(4, 4), (1, 16), (3, 2), (24, 1)])
def test_blocks_stay_or_go_as_one_by_their_mean(rows, columns):
    structure, score = parse(f"block:{rows}x{columns}"), scores(24, 32)
    mask = structure.keep(score, score.numel() // 4)
    assert int(mask.sum()) == structure.reachable(score.numel() // 4)
    by_block = mask.view(24 // rows, rows, 32 // columns, columns)
    whole = by_block.all(3).all(1)
    assert torch.equal(whole, by_block.any(3).any(1))
    means = score.view(by_block.shape).mean((1, 3))
    assert means[whole].min() > means[~whole].max()
    assert torch.equal(structure.rank(score)[::rows, ::columns], means)


def test_blocks_round_a_count_to_whole_ones():
    structure = parse("block:4x4")
    assert [structure.reachable(kept) for kept in (0, 7, 9, 16, 30)] == [0, 0, 16, 16, 32]
    assert int(structure.keep(scores(8, 8), 30).sum()) == 32


@pytest.mark.parametrize("name", ["unstructured", "2:4", "3:7", "block:4x4", "block:1x16"])
def test_names_come_back(name):
    assert parse(name).name == name


def test_only_n_of_m_fixes_a_sparsity():
    assert parse("3:7").fixed_sparsity == pytest.approx(4 / 7)
    assert parse("unstructured").fixed_sparsity is parse("block:4x4").fixed_sparsity is None


def test_n_of_m_needs_fitting_widths():
    with pytest.raises(InputError, match=r"structure 1:8 needs input widths divisible by 8; blocks.0.up has 12"):
        NofM(1, 8).check((4, 12), "blocks.0.up")
    with pytest.raises(InputError, match="structure 2:4 keeps 16 of 32 weights or more, not 15"):
        NofM(2, 4).keep(scores(4, 8), 15)


def test_blocks_need_fitting_widths():
    with pytest.raises(InputError, match=r"outputs divisible by 4 and inputs by 16; head has 4 outputs and 12 inputs"):
        parse("block:4x16").check((4, 12), "head")


@pytest.mark.parametrize("name", ["block", "blocks:4x4", "2:4:8", "", "dense"])
def test_unknown_structures_are_told_the_known_ones(name):
    with pytest.raises(InputError, match=r"allowed are block:RxC such as 'block:4x4', n:m such as '2:4', unstructured"):
        parse(name)


@pytest.mark.parametrize("name", ["4:2", "0:4", "4:4", "block:0x4", "block:1x1"])
def test_structures_with_numbers_that_make_no_sense(name):
    with pytest.raises(InputError, match=f"structure {name}"):
        parse(name)
