"""A small regression that is trained for real, with masks that move."""

import pytest

torch = pytest.importorskip("torch", reason="the runners need PyTorch: install bayes-scaling[runners]")

from runners.sparsity import distributions, methods, schedules, structures  # noqa: E402
from runners.sparsity.sparsifier import Group, Sparsifier  # noqa: E402


class Training:
    """Model, masks and optimizer, built alike each time; `step` takes one step as `runners.train` does."""

    def __init__(self, structure="unstructured", distribution="uniform", sparsity=0.75, **settings):
        widths, steps, method, power = (
            settings.get(k, d)
            for k, d in (("widths", (16, 32, 8)), ("steps", 60), ("method", methods.get("magnitude")), ("power", 1.0))
        )
        schedule = settings.get("schedule", schedules.get("polynomial", every=4))
        torch.manual_seed(0)
        inputs, hidden, outputs = widths
        self.model = torch.nn.Sequential(
            torch.nn.Linear(inputs, hidden), torch.nn.Tanh(), torch.nn.Linear(hidden, outputs)
        )
        self.x = torch.randn(64, inputs)
        self.y = torch.sin(self.x[:, :outputs])
        self.plain = [self.model[i].weight.detach().clone() for i in (0, 2)]
        self.model.requires_grad_(not method.trains_masks_alone)
        self.weights = [method.add_mask(self.model[i], f"layer {i}", power) for i in (0, 2)]
        trained = [parameter for parameter in self.model.parameters() if parameter.requires_grad]
        self.optimizer = torch.optim.AdamW(trained, lr=0.01, weight_decay=0.1)
        group = Group(self.weights, sparsity, structures.parse(structure), distributions.get(distribution))
        self.schedule, self.steps, self.sparsity = schedule, steps, sparsity
        self.sparsifier = Sparsifier([group], schedule, steps, method)
        self.forward = self.model

    def step(self, step, watch=None):
        """Moves masks, then weights, after a look at what is there by then; the loss, and whether masks moved."""
        moved = self.sparsifier.before(step, self.optimizer)
        loss = self.loss()
        self.optimizer.zero_grad()
        loss.backward()
        self.sparsifier.after_backward(step, self.optimizer)
        if watch is not None:
            watch()
        self.optimizer.step()
        return loss.item(), moved

    def loss(self, items=slice(None)):
        return torch.nn.functional.mse_loss(self.forward(self.x[items]), self.y[items])

    def loss_of(self, *weights):
        """The loss with these weights in place of those that the layers compute with."""
        first, last = self.model[0], self.model[2]
        hidden = torch.tanh(torch.nn.functional.linear(self.x, weights[0], first.bias))
        return torch.nn.functional.mse_loss(torch.nn.functional.linear(hidden, weights[1], last.bias), self.y)

    def dense_gradients(self):
        """Of all weights, those that are removed among them, at what the layers compute with."""
        used = [weight.layer.weight.detach().requires_grad_() for weight in self.weights]
        return torch.autograd.grad(self.loss_of(*used), used)

    def masks(self):
        return [weight.mask.clone() for weight in self.weights]


@pytest.fixture(scope="session")
def training():
    return Training
