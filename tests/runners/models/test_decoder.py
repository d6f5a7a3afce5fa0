# ruff: noqa: E402
import pytest

torch = pytest.importorskip("torch", reason="the runners need PyTorch: install bayes-scaling[runners]")

from torch.nn import functional

from runners.models.decoder import Decoder
from runners.models.shapes import Shape


def tokens(*size, vocabulary=256):
    return torch.randint(0, vocabulary, size, generator=torch.Generator().manual_seed(1))


# Frozen when the sweep that ships was trained: seed 0, 24 steps of AdamW at .01 on random bytes.
@pytest.mark.parametrize(
    ("shape", "logits", "losses"),
    [
        (Shape(2, 16, 64), [-0.13461386, -0.42459562, -0.06218439, 0.27680010], [5.6772413, 5.6462979, 5.6571174]),
        (Shape(3, 24, 40), [0.85874963, 0.17683925, 0.03227564, 1.24863875], [5.6204224, 5.7387800, 5.7149177]),
        (Shape(2, 32, 128, 16), [0.28398913, 0.06295981, 0.16399041, -0.40446287], [5.6740179, 5.6265726, 5.7387382]),
    ],
)
def test_a_seed_stands_for_the_weights_and_losses_it_always_did(shape, logits, losses):
    torch.manual_seed(0)
    model = Decoder(shape, 256, 16)
    data = tokens(24, 4, 17)
    assert model(data[0, :, :-1])[0, -1, :4].tolist() == pytest.approx(logits, abs=1e-5)
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.01, fused=True)
    found = []
    for batch in data:
        loss = functional.cross_entropy(model(batch[:, :-1]).flatten(0, 1), batch[:, 1:].flatten())
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        found.append(loss.item())
    assert [found[0], found[1], found[-1]] == pytest.approx(losses, abs=1e-4)


@pytest.mark.parametrize("activation", ["gelu", "swiglu"])
@torch.no_grad()
def test_no_position_sees_the_future(activation):
    model = Decoder(Shape(2, 16, 64, activation=activation), 256, 16)
    a = tokens(2, 16)
    b = a.clone()
    b[:, 10:] = 7
    assert torch.allclose(model(a)[:, :10], model(b)[:, :10], atol=1e-6)
    assert not torch.allclose(model(a)[:, 10:], model(b)[:, 10:], atol=1e-3)


@torch.no_grad()
def test_order_of_the_past_matters():
    model = Decoder(Shape(2, 16, 64), 256, 16)
    a = torch.tensor([[1, 2, 3, 4]])
    b = torch.tensor([[2, 1, 3, 4]])
    assert not torch.allclose(model(a)[:, -1], model(b)[:, -1], atol=1e-5)


@torch.no_grad()
def test_attention_depends_on_distances_only():
    from runners.models.rotary import rotary_angles, rotate

    cos, sin = rotary_angles(40, 10)
    q, k = torch.randn(2, 10, generator=torch.Generator().manual_seed(0))
    scores = rotate(q.expand(40, 10), cos, sin) @ rotate(k.expand(40, 10), cos, sin).T
    for distance in (0, 3, 11):
        along = scores.diagonal(-distance)
        assert torch.allclose(along, along[0], atol=1e-4)


@torch.no_grad()
def test_the_first_loss_is_near_that_of_knowing_nothing():
    torch.manual_seed(0)
    for vocabulary in (10, 5000):
        model = Decoder(Shape(4, 32, 84, activation="swiglu"), vocabulary, 32)
        data = tokens(16, 33, vocabulary=vocabulary)
        loss = functional.cross_entropy(model(data[:, :-1]).flatten(0, 1), data[:, 1:].flatten())
        assert loss.item() == pytest.approx(torch.tensor(vocabulary).log().item(), abs=0.25)


def test_a_gated_mlp_is_what_it_says():
    model = Decoder(Shape(1, 16, 24, activation="swiglu"), 50, 8)
    block = model.blocks[0]
    assert len(model.block_layers()) == 5
    x = torch.randn(3, 16)
    gate = x @ block.gate.weight.T
    wanted = (gate * gate.sigmoid() * (x @ block.up.weight.T)) @ block.down.weight.T
    assert torch.allclose(block.mlp(x), wanted, atol=1e-6)
