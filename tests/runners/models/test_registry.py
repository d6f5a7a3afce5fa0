# ruff: noqa: E402
import pytest

torch = pytest.importorskip("torch", reason="the runners need PyTorch: install bayes-scaling[runners]")

import re
from dataclasses import replace
from pathlib import Path

from bayes_scaling.runs import InputError
from runners import models
from runners.models.parameters import count_parameters, embeddings

PAGE = Path(__file__).parents[3] / "docs" / "models.md"


def test_families_are_known_by_name():
    assert models.names() == ["decoder", "vit"]
    assert models.get("decoder").modality == "language"
    assert models.get("vit").modality == "vision"
    with pytest.raises(InputError, match="model 'mamba' is not known; the models are decoder, vit"):
        models.get("mamba")


def test_a_family_of_ones_own_is_registered(monkeypatch):
    monkeypatch.setattr(models, "_FAMILIES", dict(models._FAMILIES))
    models.register(replace(models.get("decoder"), name="mine"))
    assert models.names() == ["decoder", "mine", "vit"]
    shape = models.get("mine").solve(6144, 0.5)
    assert models.get("mine").build(shape, classes=256, input_shape=(64,)).shape == shape


@pytest.mark.parametrize(("family", "size"), [("decoder", (3, 8, 8)), ("vit", (64,))])
def test_data_of_another_kind_is_refused(family, size):
    with pytest.raises(InputError, match=re.escape(f"found {size}")):
        models.get(family).build(models.Shape(1, 16, 64), classes=10, input_shape=size)


def rows():
    lines = [line for line in PAGE.read_text().splitlines() if re.match(r"\| (decoder|vit) ", line)]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]


@pytest.mark.parametrize("row", rows(), ids=" ".join)
def test_the_page_and_the_solver_agree(row):
    family, activation, scaling, nonzero, sparsity, layers, width, mlp_width, weights, small, large = row
    fixed = {"layers": int(layers)} if scaling == "width" else {"scaling": "depth", "width": int(width)}
    shape = models.get(family).solve(int(nonzero.replace(",", "")), float(sparsity), activation=activation, **fixed)
    assert (shape.layers, shape.width, shape.mlp_width) == (int(layers), int(width), int(mlp_width))
    assert shape.block_weights == int(weights.replace(",", ""))
    size = (64,) if family == "decoder" else (3, 32, 32)
    for classes, share in zip((256, 32_128) if family == "decoder" else (10, 1000), (small, large), strict=True):
        counts = count_parameters(models.get(family).build(shape, classes=classes, input_shape=size))
        part = embeddings(counts)["total"] / sum(count["total"] for count in counts.values())
        assert f"{100 * part:.0f} %" == share


def test_the_page_has_rows():
    assert len(rows()) >= 8
