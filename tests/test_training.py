"""The loop learns, repeats itself to the bit, goes on where it was stopped, and keeps every constraint."""

from __future__ import annotations

import functools
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn
from torch.optim.optimizer import register_optimizer_step_post_hook

import isotone
from isotone.errors import BadInput, CannotWrite
from isotone.nn import MonotoneNetwork
from isotone.training import SCORING_ROWS, History, Recipe, _positive_weight, logits_of, train
from small import RECIPE, SETTINGS, WORLDS, Rows, family, prepared, some

# Checkpoints at every epoch.
ALWAYS = {"checkpoint_seconds": 0.0}
DROPOUT = {"pool": "max", "dropout": 0.2, "name_dropout": 0.1}


@functools.cache
def material(world: str = "names, numbers"):
    return prepared(world).material


def fresh(setting=SETTINGS[0], *, monotone: bool = True, world: str = "names, numbers") -> MonotoneNetwork:
    return family(monotone=monotone).start(material(world), setting, seed=0)


def trained(setting=SETTINGS[0], recipe: Recipe = RECIPE, **other) -> tuple[MonotoneNetwork, History]:
    network = fresh(setting)
    return network, train(network, material().training, material().validation, recipe, **other)


def same_weights(one: nn.Module, two: nn.Module) -> bool:
    return all(torch.equal(a, two.state_dict()[name]) for name, a in one.state_dict().items())


class Stop(Exception):
    """Raised by a watch, as Ctrl-C would be."""


def stopping(after: int):
    def watch(epoch, epochs, entry):
        if epoch + 1 == after:
            raise Stop

    return watch


@pytest.mark.parametrize("world", WORLDS)
def test_the_loop_learns_and_keeps_inside(world):
    network = fresh(world=world)
    before = logits_of(network, material(world).validation)
    history = train(network, material(world).training, material(world).validation, RECIPE)
    assert history.best > 0.75
    assert history.epochs[-1]["loss"] < history.epochs[0]["loss"]
    assert not np.array_equal(before, logits_of(network, material(world).validation))
    assert set(isotone.violations(network).values()) == {0.0}
    assert not network.training


def test_constraints_hold_after_every_step():
    network, seen = fresh(DROPOUT), []

    def look(optimizer, args, kwargs):
        seen.append(max(isotone.violations(network).values()))

    handle = register_optimizer_step_post_hook(look)
    try:
        train(network, material().training, material().validation, replace(RECIPE, epochs=1))
    finally:
        handle.remove()
    assert len(seen) == len(material().training) // RECIPE.batch_size
    assert set(seen) == {0.0}


def test_one_seed_gives_the_same_weights_to_the_bit():
    (one, first), (two, second) = trained(DROPOUT), trained(DROPOUT)
    assert same_weights(one, two)
    assert first == second


def test_another_seed_gives_other_weights():
    assert not same_weights(trained(DROPOUT)[0], trained(DROPOUT, replace(RECIPE, seed=1))[0])


def test_it_ends_with_the_weights_of_the_best_epoch():
    network, each = fresh(DROPOUT), []

    def watch(epoch, epochs, entry):
        each.append({name: value.clone() for name, value in network.state_dict().items()})

    # A high rate, so that the best epoch is not the last.
    recipe = replace(RECIPE, epochs=8, learning_rate=1.0, patience=8)
    history = train(network, material().training, material().validation, recipe, watch=watch)
    scores = [entry["selection"] for entry in history.epochs]
    assert history.best_epoch == int(np.argmax(scores)) < len(scores) - 1
    assert all(torch.equal(value, each[history.best_epoch][name]) for name, value in network.state_dict().items())
    assert not all(torch.equal(value, each[-1][name]) for name, value in network.state_dict().items())


def test_it_stops_when_patience_ends():
    recipe = replace(RECIPE, epochs=30, learning_rate=0.3, patience=2)
    _, history = trained(recipe=recipe)
    assert len(history.epochs) < 30
    assert len(history.epochs) == history.best_epoch + 1 + 2  # the best, and two without a better one


@pytest.mark.parametrize("after", [2, 4, 6])
def test_an_interrupted_run_ends_with_the_weights_of_an_uninterrupted_one(tmp_path, after):
    place = tmp_path / "run"
    with pytest.raises(Stop):
        trained(DROPOUT, checkpoint=place, watch=stopping(after), **ALWAYS)
    assert place.is_file()
    resumed_at = []
    network, history = trained(DROPOUT, checkpoint=place, watch=lambda epoch, *_: resumed_at.append(epoch), **ALWAYS)
    whole, whole_history = trained(DROPOUT)
    assert resumed_at[0] == after - 1  # what was lost is the epoch in which it was stopped
    assert same_weights(network, whole)
    assert history == whole_history
    assert list(tmp_path.iterdir()) == []  # the checkpoint goes when training ends


FAULTS = [
    # what was done to the checkpoint                       the sentence              why
    (lambda p: p.write_bytes(p.read_bytes()[:-200]),        "cannot be read",         "torn at the end"),
    (lambda p: p.write_bytes(p.read_bytes()[:100]),         "cannot be read",         "torn early"),
    (lambda p: p.write_bytes(b""),                          "cannot be read",         "empty"),
    (lambda p: p.write_text("not a checkpoint"),            "cannot be read",         "garbage"),
    (lambda p: torch.save({"recipe": {}}, p),               "cannot be read",         "a file of torch, but another"),
]  # fmt: skip


@pytest.mark.parametrize(("spoil", "sentence", "why"), FAULTS, ids=[why for *_, why in FAULTS])
def test_a_spoilt_checkpoint_is_one_sentence(tmp_path, spoil, sentence, why):
    place = tmp_path / "run"
    with pytest.raises(Stop):
        trained(checkpoint=place, watch=stopping(2), **ALWAYS)
    spoil(place)
    with pytest.raises(BadInput, match=f"^checkpoint .*run: it {sentence} .*delete it to start anew[.]$"):
        trained(checkpoint=place)


def test_a_checkpoint_of_another_recipe_is_refused(tmp_path):
    with pytest.raises(Stop):
        trained(checkpoint=tmp_path / "run", watch=stopping(2), **ALWAYS)
    with pytest.raises(BadInput, match="made with another recipe; resume with the same, or delete it"):
        trained(recipe=replace(RECIPE, epochs=9), checkpoint=tmp_path / "run")


def test_a_checkpoint_of_other_rows_is_refused(tmp_path):
    with pytest.raises(Stop):
        trained(checkpoint=tmp_path / "run", watch=stopping(2), **ALWAYS)
    rows = material().training
    other = Rows(rows.examples, np.roll(rows.labels, 1))
    with pytest.raises(BadInput, match="made with other rows; resume with the same, or delete it"):
        train(fresh(), other, material().validation, RECIPE, checkpoint=tmp_path / "run")


def test_a_checkpoint_that_cannot_be_written_is_one_sentence(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(CannotWrite, match="cannot be written"):
        trained(checkpoint=tmp_path / "file" / "run", **ALWAYS)


@pytest.mark.parametrize("seconds", [0.0, 1e9])
def test_an_interval_between_checkpoints_is_kept(tmp_path, seconds):
    with pytest.raises(Stop):
        trained(checkpoint=tmp_path / "run", checkpoint_seconds=seconds, watch=stopping(3))
    assert (tmp_path / "run").exists() == (seconds == 0.0)


@pytest.mark.parametrize("side", ["training", "validation"])
def test_a_side_with_one_label_is_refused(side):
    sides = {"training": material().training, "validation": material().validation}
    sides[side] = Rows(sides[side].examples, np.zeros(len(sides[side]), dtype=np.int64))
    with pytest.raises(BadInput, match=f"^{side} rows: all have one label; both classes are needed"):
        train(fresh(), sides["training"], sides["validation"], RECIPE)


@pytest.mark.parametrize("spoilt", [{"learning_rate": 1e30}, {"positive_weight": 1e300}])
def test_a_loss_that_is_not_finite_is_one_sentence(spoilt):
    with pytest.raises(BadInput, match=r"^training: the .* (nan|inf) in epoch 1; a lower learning rate would be right"):
        trained(recipe=replace(RECIPE, **spoilt))


def test_balanced_gives_both_classes_the_same_weight():
    rows = material().training
    positives = int(rows.labels.sum())
    weight = _positive_weight(rows, replace(RECIPE, positive_weight="balanced"))
    assert weight * positives == pytest.approx(len(rows) - positives)
    assert _positive_weight(rows, replace(RECIPE, positive_weight=3)) == 3.0


def test_a_heavier_positive_class_raises_the_logits():
    light, heavy = (
        logits_of(trained(recipe=replace(RECIPE, positive_weight=weight))[0], material().validation).mean()
        for weight in (1.0, "balanced")
    )
    assert heavy > light


@pytest.mark.parametrize("world", WORLDS)
@pytest.mark.parametrize("monotone", [True, False])
@pytest.mark.parametrize("pool", ["max", "sum"])
def test_the_logit_of_a_row_depends_on_no_other_row(world, monotone, pool):
    network = fresh({"pool": pool}, monotone=monotone, world=world).eval()
    rows = material(world).training
    assert len(rows) > 2 * SCORING_ROWS
    logits = logits_of(network, rows)
    order = np.random.default_rng(0).permutation(len(rows))
    assert np.array_equal(logits_of(network, rows.examples.take(order)), logits[order])  # other neighbours, other place
    assert np.array_equal(logits_of(network, some(rows, 300)), logits[:300])  # a block that is filled up
    assert all(logits_of(network, rows.examples.take([row]))[0] == logits[row] for row in range(0, len(rows), 97))


def test_scoring_leaves_the_mode_as_it_was():
    network = fresh(DROPOUT).train()
    first = logits_of(network, material().validation)
    assert network.training
    assert np.array_equal(first, logits_of(network.eval(), material().validation))


TWO = """
import sys
import torch
sys.path.insert(0, sys.argv[2])
from dataclasses import replace
import isotone
from isotone.training import train
from test_training import DROPOUT, RECIPE, fresh, material

network = fresh(DROPOUT)
recipe = replace(RECIPE, epochs=2, devices=2, strategy="ddp")
train(network, material().training, material().validation, recipe,
      checkpoint=sys.argv[1] + "/run", checkpoint_seconds=0.0)
rank = torch.distributed.get_rank()
assert torch.distributed.get_world_size() == 2
torch.save((network.state_dict(), isotone.violations(network)), f"{sys.argv[1]}/{rank}.pt")
torch.distributed.destroy_process_group()
"""


@pytest.mark.slow
def test_two_processes_end_with_equal_weights_inside_the_constraints(tmp_path):
    (tmp_path / "two.py").write_text(TWO)
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
    arguments = [str(tmp_path / "two.py"), str(tmp_path), str(Path(__file__).parent)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    ran = subprocess.run(
        [*command, *arguments], capture_output=True, text=True, timeout=240, env=environment, check=False
    )
    assert ran.returncode == 0, ran.stderr[-3000:]
    (one, inside), (two, also) = (torch.load(tmp_path / f"{rank}.pt") for rank in (0, 1))
    assert all(torch.equal(value, two[name]) for name, value in one.items())
    assert set(inside.values()) | set(also.values()) == {0.0}
    assert not all(torch.equal(value, fresh(DROPOUT).state_dict()[name]) for name, value in one.items())
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("setting", "said"),
    [
        ({"batch_size": 0}, "batch_size: 0 came; a whole number from 1 on"),
        ({"batch_size": -3}, "batch_size: -3 came"),
        ({"batch_size": 32.5}, "batch_size: 32.5 came"),
        ({"epochs": True}, "epochs: True came"),
        ({"seed": -1}, "seed: -1 came; a whole number from 0 on"),
        ({"positive_weight": "balance"}, "positive_weight: 'balance' came; a number above 0, or 'balanced'"),
        ({"positive_weight": 0.0}, "positive_weight: 0.0 came"),
    ],
)
def test_a_recipe_that_cannot_be_followed_is_refused(setting, said):
    with pytest.raises(BadInput, match=said):
        Recipe(**setting)


def test_labels_are_0_or_1_and_one_for_each_row():
    rows = material().training
    with pytest.raises(BadInput, match="label -1 came; 0 and 1 are right"):
        Rows(rows.examples, 2 * rows.labels - 1)
    with pytest.raises(BadInput, match=r"came for .* rows; one label per row"):
        Rows(rows.examples, rows.labels[:-1])


def test_a_network_that_is_frozen_is_refused():
    frozen = fresh().requires_grad_(False)
    with pytest.raises(BadInput, match="network: every weight of it is frozen"):
        train(frozen, material().training, material().validation, RECIPE)
