# ruff: noqa: E402
"""Kernels for 2:4 weights: what they are refused for, what fits them, and that they multiply what was trained.

The kernels themselves are CUDA's; what surrounds them runs here with PyTorch's own packing, unpacked again.
"""

import copy
import runpy
import sys
from pathlib import Path

import pytest

torch = pytest.importorskip("torch", reason="the runners need PyTorch: install bayes-scaling[runners]")

from torch.sparse import SparseSemiStructuredTensorCUSPARSELT
from torch.sparse._semi_structured_conversions import (
    sparse_semi_structured_from_dense_cutlass,
    sparse_semi_structured_to_dense_cutlass,
)

from bayes_scaling.runs import InputError
from runners import models
from runners.ensemble import group
from runners.evaluate import cross_entropy
from runners.models import Shape
from runners.semi_structured import MULTIPLE, check_device, compressed, fits, multiply_compressed
from runners.sparsity import structures
from runners.sparsity.masks import add_mask
from runners.train import RunConfig, run

KERNELS = {"sparsity": 0.5, "structure": "2:4", "kernels": "2:4", "multiple_of": 16}
NO_CUDA = pytest.mark.skipif(torch.cuda.is_available(), reason="is about machines without CUDA")
CUDA = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs CUDA")


def there_and_back(weight):
    """PyTorch packs two of four, and unpacks them."""
    return sparse_semi_structured_to_dense_cutlass(*sparse_semi_structured_from_dense_cutlass(weight.bfloat16()))


def pruned(structure, sparsity, shape=(64, 128), seed=0):
    weight = torch.randn(shape, generator=torch.Generator().manual_seed(seed))
    mask = structures.parse(structure).keep(weight.abs(), round(weight.numel() * (1 - sparsity)))
    return weight * mask


@pytest.mark.parametrize(
    ("structure", "sparsity", "expected"),
    [
        ("2:4", 0.5, True),
        ("1:4", 0.75, True),
        ("2:8", 0.75, True),
        ("unstructured", 0.875, False),
        ("3:8", 0.625, False),
    ],
)
def test_what_fits_is_what_survives_packing(structure, sparsity, expected):
    weight = pruned(structure, sparsity)
    assert fits(weight) == expected
    assert torch.equal(there_and_back(weight), weight.bfloat16()) == expected


def test_inputs_go_by_fours():
    assert not fits(torch.zeros(8, 6))
    assert not fits(torch.zeros(8))


@pytest.fixture
def model():
    torch.manual_seed(0)
    made = models.get("decoder").build(Shape(2, 64, 128, 16), classes=11, input_shape=(12,))
    for i, layer in enumerate(made.block_layers()):
        mask = pruned("2:4", 0.5, layer.weight.shape, seed=i) != 0
        add_mask(layer, f"layer {i}").mask.copy_(mask)
    return made


TOKENS = torch.arange(48).view(4, 12) % 11


def test_a_compressed_model_computes_what_the_masked_one_does(model):
    served = compressed(model, there_and_back)
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        expected, found = model(TOKENS), served(TOKENS)
    assert torch.allclose(found, expected, atol=0.03)
    assert expected.std() > 0.3
    assert not list(served.block_layers())  # the copy has others in their place
    assert len(model.block_layers()) == 8


def test_a_matrix_that_does_not_fit_is_named(model):
    model.blocks[1].up.parametrizations.weight[0].mask.fill_(True)
    with pytest.raises(InputError, match=r"blocks\.1\.up has more than two of four inputs in use"):
        compressed(model, there_and_back)


@pytest.mark.parametrize("autocast", [False, True])
def test_gradients_of_compressed_products_are_those_of_masked_ones(model, autocast):
    other = copy.deepcopy(model)
    seen = []
    multiply_compressed(other, lambda weight: seen.append(fits(weight)) or weight)
    for each in (model, other):
        with torch.autocast("cpu", torch.bfloat16, enabled=autocast):
            logits = each(TOKENS)
        cross_entropy(logits, TOKENS).backward()
    for expected, found in zip(model.parameters(), other.parameters(), strict=True):
        apart = (found.grad - expected.grad).norm() / expected.grad.norm()
        assert apart < (0.02 if autocast else 1e-5)
    assert seen == [True] * 8


def test_the_sides_are_those_that_pytorch_takes():
    limits = SparseSemiStructuredTensorCUSPARSELT._DTYPE_SHAPE_CONSTRAINTS[torch.bfloat16]
    assert (limits.sparse_min_rows, limits.sparse_min_cols) == (MULTIPLE, MULTIPLE)


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ({"kernels": "4:8"}, "kernels is '4:8'; allowed are 'dense', '2:4'"),
        ({"structure": "unstructured"}, "found structure 'unstructured'; '2:4', or 1 or 2 of another"),
        ({"structure": "dense", "sparsity": 0.0}, "found structure 'dense'"),
        ({"structure": "4:8"}, "found structure '4:8'"),
        ({"structure": "2:6", "sparsity": 2 / 3, "multiple_of": 48, "nonzero_params": 24576}, "found structure '2:6'"),
        ({"precision": "float32"}, "kernels '2:4' multiply bfloat16, found precision 'float32'"),
        ({"multiple_of": 4, "nonzero_params": 6144}, r"found widths 24 and 80; multiple_of 16 is needed"),
        ({"device": "cpu"}, "kernels '2:4' are for CUDA, found device 'cpu'; kernels 'dense' run everywhere"),
    ],
)
def test_what_the_kernels_cannot_multiply_is_refused(more, message):
    with pytest.raises(InputError, match=message) as caught:
        RunConfig(**{**KERNELS, **more})
    assert "\n" not in str(caught.value)


@NO_CUDA
def test_a_run_that_finds_no_cuda_is_refused_before_it_trains(tiny):
    config = RunConfig(**{**tiny, **KERNELS, "nonzero_params": 12288, "device": "auto"})
    with pytest.raises(InputError, match="kernels '2:4' are for CUDA, found device"):
        run(config)


@NO_CUDA
def test_the_benchmark_says_that_there_is_nothing_to_measure(capsys, monkeypatch, tmp_path):
    out = tmp_path / "speedups.json"
    monkeypatch.setattr(sys, "argv", ["semi_structured.py", "--out", str(out)])
    runpy.run_path(str(Path(__file__).parents[2] / "benchmarks" / "semi_structured.py"), run_name="__main__")
    assert "nothing was measured" in capsys.readouterr().out
    assert not out.exists()


def test_runs_on_these_kernels_train_alone():
    configs = [RunConfig(**KERNELS, seed=seed) for seed in range(3)]
    assert [len(each) for each in group(configs)] == [1, 1, 1]
    assert configs[0].run_id != RunConfig(**{**KERNELS, "kernels": "dense"}).run_id
    check_device("dense", torch.device("cpu"))


@CUDA
def test_on_cuda_the_loss_is_that_of_dense_kernels(tiny):
    knobs = {**tiny, **KERNELS, "nonzero_params": 12288, "device": "cuda", "compiled": False}
    sparse, dense = (run(RunConfig(**{**knobs, "kernels": kernels}))["run"] for kernels in ("2:4", "dense"))
    assert sparse["loss"] == pytest.approx(dense["loss"], rel=5e-3)
    assert sparse["kernels"] == "2:4"
