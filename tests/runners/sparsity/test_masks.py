# ruff: noqa: E402
import copy

import pytest

torch = pytest.importorskip("torch", reason="the runners need PyTorch: install bayes-scaling[runners]")

from runners.sparsity.masks import add_mask
from runners.sparsity.sparsifier import embedding_sparsity


def test_a_masked_layer_stores_its_weight_and_its_mask_under_documented_keys():
    layer = torch.nn.Linear(4, 3, bias=False)
    stored = layer.weight
    weight = add_mask(layer, "layer")
    assert set(layer.state_dict()) == {"parametrizations.weight.original", "parametrizations.weight.0.mask"}
    assert weight.dense is stored  # so an optimizer built earlier would hold the right parameter too
    assert weight.mask.dtype == torch.bool
    assert weight.mask.all()


def test_what_lies_under_the_mask_has_no_effect_and_no_gradient():
    layer = torch.nn.Linear(4, 3)
    weight = add_mask(layer, "layer")
    weight.mask[:, 1] = False
    x = torch.randn(5, 4)
    clean = layer(x)
    with torch.no_grad():
        weight.dense[:, 1] = 1e3
    assert torch.equal(layer(x), clean)
    layer(x).sum().backward()
    assert (weight.dense.grad[:, 1] == 0).all()
    assert (weight.dense.grad[:, 0] != 0).all()


@pytest.mark.parametrize("assign", [False, True])
def test_no_stale_tensors_after_a_state_is_loaded(assign):
    layer = torch.nn.Linear(4, 3)
    weight = add_mask(layer, "layer")
    state = copy.deepcopy(layer.state_dict())
    state["parametrizations.weight.0.mask"][0] = False
    layer.load_state_dict(state, assign=assign)
    assert not weight.mask[0].any()
    weight.mask[1] = False
    assert (layer.weight[:2] == 0).all()
    assert weight.dense is layer.parametrizations.weight.original


def test_embeddings_keep_as_many_nonzeros_as_those_of_the_dense_model():
    for sparsity in (0.0, 0.5, 0.75, 0.9375):
        wider = (1 - sparsity) ** -0.5
        assert wider * (1 - embedding_sparsity(sparsity)) == pytest.approx(1)


def test_a_compiled_model_follows_masks_that_change(training):
    # Capturing the graph is where a mask could be frozen into it or a new one call for compiling anew. Machine code
    # adds half a minute to this test: `benchmarks/masks.py --compile` looks at it.
    eager, compiled = training(steps=20), training(steps=20)
    compiled.forward = torch.compile(compiled.model, fullgraph=True, backend="aot_eager")
    moved = 0
    with torch._dynamo.config.patch(error_on_recompile=True):
        for step in range(20):
            expected, changed = eager.step(step)
            assert compiled.step(step)[0] == pytest.approx(expected, rel=1e-5)
            moved += changed
    assert moved >= 3
    assert all(torch.equal(a, b) for a, b in zip(eager.masks(), compiled.masks(), strict=True))
