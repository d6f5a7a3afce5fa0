# ruff: noqa: E402
import pytest

torch = pytest.importorskip("torch", reason="the runners need PyTorch: install bayes-scaling[runners]")

from torch.nn import functional

from bayes_scaling.runs import InputError
from runners import models
from runners.models.shapes import Shape
from runners.models.vit import ViT, patches, sine_cosine_places


def test_patches_are_squares_row_by_row():
    image = torch.arange(2 * 4 * 6).reshape(1, 2, 4, 6)
    cut = patches(image, 2)
    assert cut.shape == (1, 6, 8)
    assert torch.equal(cut[0, 0], image[0, :, :2, :2].flatten())
    assert torch.equal(cut[0, 1], image[0, :, :2, 2:4].flatten())
    assert torch.equal(cut[0, 5], image[0, :, 2:, 4:].flatten())


@pytest.mark.parametrize("width", [4, 8, 48])
def test_every_position_is_its_own(width):
    places = sine_cosine_places(5, 7, width)
    assert places.shape == (35, width)
    assert torch.pdist(places).min() > 1e-3 if width > 4 else torch.isfinite(places).all()
    # The first half tells the row alone, the second the column alone.
    assert torch.equal(places[0, : width // 2], places[6, : width // 2])
    assert torch.equal(places[0, width // 2 :], places[28, width // 2 :])


@torch.no_grad()
def test_every_patch_attends_to_every_other():
    block = ViT(Shape(1, 16, 64), 10, (3, 8, 8), 4).blocks[0]
    x = torch.randn(1, 4, 16)
    before = block(x)
    for position in range(4):
        changed = x.clone()
        changed[:, position] += torch.randn(16)
        assert ((block(changed) - before).abs().amax(dim=-1) > 1e-5).all()


@torch.no_grad()
def test_where_a_patch_is_matters():
    model = ViT(Shape(1, 16, 64), 10, (3, 8, 8), 4)
    image = torch.randn(1, 3, 8, 8)
    assert not torch.allclose(model(image), model(image.roll(4, dims=-1)), atol=1e-5)


def test_it_learns_which_half_is_bright():
    torch.manual_seed(0)
    model = models.get("vit").build(Shape(2, 16, 64), classes=2, input_shape=(3, 16, 16))
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.01)
    losses = []
    for _ in range(40):
        labels = torch.randint(0, 2, (32,))
        images = 0.5 * torch.randn(32, 3, 16, 16)
        images[..., :8] += labels[:, None, None, None]
        images[..., 8:] += 1 - labels[:, None, None, None]
        loss = functional.cross_entropy(model(images), labels)
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        losses.append(loss.item())
    assert losses[0] == pytest.approx(0.69, abs=0.2)
    assert losses[-1] < 0.1


@pytest.mark.parametrize(
    ("shape", "image", "patch", "message"),
    [
        (Shape(1, 16, 64), (3, 8, 8), 3, "patch_size is 3; a divisor of 8 x 8 pixels"),
        (Shape(1, 16, 64), (3, 8, 8), 0, "patch_size is 0"),
        (Shape(1, 6, 24, 6), (3, 8, 8), 4, "width is 6; a ViT needs a multiple of 4"),
    ],
)
def test_mistakes_are_told_in_one_sentence(shape, image, patch, message):
    with pytest.raises(InputError, match=message):
        ViT(shape, 10, image, patch)
