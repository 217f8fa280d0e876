"""A declared constraint that no optimizer honours is said aloud, once; and only then."""

from __future__ import annotations

import warnings

import pytest
import torch
from torch import nn

from isotone import NonNegative, constrain

from .worlds import X, lowest, model, push

STEPS = 120


def sgd(net: nn.Module) -> torch.optim.Optimizer:
    return torch.optim.SGD(net.parameters(), 0.1)


def replaced(net: nn.Module, *, before: int) -> tuple[nn.Module, torch.optim.Optimizer]:
    """The mistake: other weights are assigned, and the optimizer keeps the old ones."""
    optimizer = sgd(net)
    push(net, optimizer, before)
    net.load_state_dict(model(1).state_dict(), assign=True)
    net.requires_grad_()
    return net, optimizer


@pytest.mark.parametrize("before", [0, 3, 30])
def test_replaced_weights_that_no_optimizer_steps_are_named_once(before):
    net, optimizer = replaced(model(), before=before)
    with pytest.warns(UserWarning, match="held in") as caught:
        push(net, optimizer, STEPS)
    assert [str(w.message)[:75] for w in caught] == [
        "Linear.weight is held in NonNegative() and receives gradients, but no optim",
    ] * 2
    assert "make the optimizer anew" in str(caught[0].message)


def test_gradients_that_are_set_to_zero_in_place_count_as_well():
    net, optimizer = replaced(model(), before=2)

    def train() -> None:
        for _ in range(STEPS):
            net.zero_grad(set_to_none=False)
            sum(p.sum() for p in net.parameters()).backward()
            optimizer.step()

    with pytest.warns(UserWarning, match="receives gradients"):
        train()


def test_a_replacement_after_the_warning_was_heeded_is_said_again():
    net, optimizer = replaced(model(), before=1)
    with pytest.warns(UserWarning, match="receives gradients"):
        push(net, optimizer, STEPS)
    net, optimizer = replaced(net, before=1)  # with a new optimizer, and then replaced once more
    with pytest.warns(UserWarning, match="receives gradients"):
        push(net, optimizer, STEPS)


@pytest.fixture
def silence():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        yield


def test_a_new_optimizer_for_replaced_weights_says_nothing(silence):
    net, _ = replaced(model(), before=3)
    push(net, sgd(net), STEPS)
    assert lowest(net) == 0


def test_adversaries_that_step_in_turn_say_nothing(silence):
    generator, critic = model(0), nn.Sequential(nn.Linear(2, 4), nn.Linear(4, 1))
    constrain(critic, "*.weight", NonNegative())
    of_generator, of_critic = sgd(generator), sgd(critic)
    for step in range(3 * STEPS):
        critic.zero_grad()
        critic(generator(X)).mean().backward()  # gives the generator gradients too
        of_critic.step()
        if step % STEPS == 0:
            generator.zero_grad()
            (-critic(generator(X)).mean()).backward()  # and the critic
            of_generator.step()


def test_a_finished_model_says_nothing(silence):
    finished, other = model(0), model(1)
    push(finished, sgd(finished), 2)
    push(other, sgd(other), STEPS)


def test_a_model_that_was_held_after_its_training_says_nothing(silence):
    finished, other = nn.Linear(3, 2), model()
    push(finished, sgd(finished), 2)
    assert finished.weight.grad is not None
    constrain(finished, "weight", NonNegative())
    push(other, sgd(other), STEPS)


def test_a_model_without_gradients_says_nothing(silence):
    _kept, other = model(0), model(1)
    push(other, sgd(other), STEPS)


def test_a_frozen_model_in_the_loss_says_nothing(silence):
    judge, net = model(0).requires_grad_(False), nn.Linear(3, 3)
    optimizer = sgd(net)
    for _ in range(STEPS):
        optimizer.zero_grad()
        judge(net(X)).sum().backward()
        optimizer.step()


def test_parts_with_optimizers_of_their_own_say_nothing(silence):
    net = model()
    optimizers = [sgd(layer) for layer in net]
    for _ in range(STEPS):
        for optimizer in optimizers:
            push(net, optimizer, 1)
