# ruff: noqa: E402
import pytest

torch = pytest.importorskip("torch", reason="the runners need PyTorch: install bayes-scaling[runners]")

from bayes_scaling.runs import InputError
from runners.sparsity.structures import NofM, Unstructured, parse_structure


@pytest.mark.parametrize("sparsity", [0.0, 0.1, 0.5, 0.75, 0.875, 0.9375])
def test_unstructured_keeps_exactly_the_largest(sparsity):
    magnitude = torch.rand(48, 40, generator=torch.Generator().manual_seed(0))
    mask = Unstructured().keep(magnitude, sparsity)
    assert int((~mask).sum()) == round(sparsity * magnitude.numel())
    if sparsity:
        assert magnitude[mask].min() >= magnitude[~mask].max()


def test_ties_do_not_spoil_the_count():
    assert int(Unstructured().keep(torch.ones(10, 10), 0.75).sum()) == 25


@pytest.mark.parametrize(("n", "m"), [(2, 4), (1, 4), (4, 8), (1, 8)])
def test_n_of_m_ends_on_the_pattern_and_protects_it_on_the_way(n, m):
    structure = NofM(n, m)
    magnitude = torch.rand(24, 32, generator=torch.Generator().manual_seed(1))
    final = structure.keep(magnitude, structure.sparsity)
    assert (final.view(-1, m).sum(1) == n).all()
    for share in (0.2, 0.5, 0.9):
        mask = structure.keep(magnitude, share * structure.sparsity)
        assert int((~mask).sum()) == round(share * structure.sparsity * magnitude.numel())
        assert (mask | ~final).all()  # a survivor of the final mask is never dropped early
        assert (mask.view(-1, m).sum(1) >= n).all()


def test_n_of_m_needs_fitting_widths():
    with pytest.raises(InputError, match="divisible by 8, found 12"):
        NofM(1, 8).keep(torch.rand(4, 12), 0.5)


@pytest.mark.parametrize("name", ["block", "4:2", "2:4:8", "0:4", ""])
def test_unknown_structures(name):
    with pytest.raises(InputError, match="structure"):
        parse_structure(name)
