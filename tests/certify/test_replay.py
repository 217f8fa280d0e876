"""A witness outlives its process: written, read and run again by somebody else."""

from __future__ import annotations

import subprocess
import sys
import textwrap

import pytest
import torch
from torch import nn

from isotone.certify import certify
from isotone.certify._compare import compare
from isotone.certify._replay import load_factory, load_witness, replay, save_witness
from isotone.errors import BadInput, CannotWrite
from isotone.verdict import Verdict, Witness

from .models import Formula, mlp, positive

X = torch.tensor([[0.1, 0.5, 0.9], [0.8, 0.4, 0.2]])
FACTORY = """
    import torch
    from torch import nn

    def bent():
        torch.manual_seed(0)
        return nn.Sequential(nn.Linear(3, 4), nn.GELU(), nn.Linear(4, 1)).requires_grad_(False)

    def with_inputs():
        return bent(), torch.zeros(2, 3)

    def broken():
        raise KeyError("no such weights")

    number = 3
    ready = bent()
"""


@pytest.fixture
def factory(tmp_path):
    place = tmp_path / "made_here.py"
    place.write_text(textwrap.dedent(FACTORY))
    return place


def refuted(model, **how):
    certificate = certify(model, X, +1, **how)
    assert certificate.verdict is Verdict.REFUTED
    return certificate


def test_a_witness_replays_in_a_fresh_process(factory, tmp_path):
    certificate = refuted(load_factory(f"{factory}:bent"))
    place = save_witness(
        tmp_path / "w.safetensors", certificate.witness, factory=f"{factory}:bent", sha256=certificate.scope["sha256"]
    )
    code = """
        import sys
        from isotone.certify._replay import load_factory, load_witness, replay
        stored = load_witness(sys.argv[1])
        seen = replay(load_factory(stored.factory), stored)
        print(repr(seen.before), repr(seen.after), seen.falls, repr(seen.remark))
    """
    said = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code), str(place)], capture_output=True, text=True, check=True
    ).stdout.split()
    witness = certificate.witness
    assert [float(said[0]), float(said[1])] == pytest.approx([witness.before, witness.after], rel=1e-6)
    assert said[2:] == ["True", "''"]


# fmt: off
PAIRS = [
    # witness                                                                   why
    (Witness((X,), (X + 1,), (0, 1), 1.5, 0.25),                                "one input"),
    (Witness((X, X.long()), (X + 1, X.long()), (), 1.0, float("nan")),          "a score without rows that is NaN"),
    (Witness((X.bfloat16(), X > 0.5), (X.bfloat16(), X > 0), (2,), 0.1, 0.3),   "a rise against a claim of falling"),
    (Witness((X.double(),), (X.double().T.T + 1e-9,), (1, 0), 3.0, 2.9999999, "float64"), "a drop that float64 shows"),
]
# fmt: on


@pytest.mark.parametrize(("witness", "why"), PAIRS, ids=[row[-1] for row in PAIRS])
def test_a_file_gives_back_what_was_written(witness, why, tmp_path):
    read = load_witness(save_witness(tmp_path / "w.safetensors", witness, factory="a.b:c", sha256="f00"))
    for a, b in zip(witness.lower + witness.upper, read.witness.lower + read.witness.upper, strict=True):
        assert torch.equal(a, b)
        assert a.dtype is b.dtype
    assert read.witness.element == witness.element
    assert read.witness.arithmetic == witness.arithmetic
    assert read.witness.before == witness.before
    assert str(read.witness.after) == str(witness.after)
    assert (read.factory, read.sha256, read.torch) == ("a.b:c", "f00", torch.__version__)
    assert read.sign == (-1 if witness.after > witness.before else 1)


def test_another_model_is_named_and_a_repaired_one_falls_no_more(tmp_path):
    model = positive(mlp(nn.GELU()))
    stored = load_witness(save_witness(tmp_path / "w.safetensors", refuted(model).witness, model=model))
    seen = replay(model, stored)
    assert (seen.falls, seen.remark) == (True, "")
    assert "still breaks the claim" in str(seen)
    repaired = replay(positive(mlp(nn.ReLU())), stored)
    assert not repaired.falls
    assert "differ from those of the model that was judged" in str(repaired)
    assert "judged in train mode" in replay(model.eval(), stored).remark


def test_a_rise_against_its_claim_replays(tmp_path):
    certificate = refuted(Formula(lambda x: x), outputs=-1)
    stored = load_witness(save_witness(tmp_path / "w.safetensors", certificate.witness))
    assert replay(Formula(lambda x: x), stored).falls
    assert not replay(Formula(lambda x: -x), stored).falls


def test_a_witness_in_float64_replays_in_float64(tmp_path):
    model = Formula(lambda x: 1000 + x.sum(1) - 1e-6 * torch.sin(100 * x).sum(1) - x.sum(1))
    certificate = refuted(model, domain=(0.0, 1.0))
    assert certificate.witness.arithmetic == "float64"
    stored = load_witness(save_witness(tmp_path / "w.safetensors", certificate.witness))
    seen = replay(model, stored)
    assert seen.falls
    assert seen.before == pytest.approx(certificate.witness.before, rel=1e-14)


def test_a_pair_that_does_not_fit_is_one_sentence(tmp_path):
    stored = load_witness(save_witness(tmp_path / "w.safetensors", Witness((X,), (X + 1,), (0, 9), 1.0, 0.0)))
    for model in (nn.Linear(7, 1), nn.Linear(3, 1)):
        with pytest.raises(BadInput, match="the model does not take the recorded pair"):
            replay(model, stored)


def test_bad_files_are_one_sentence(tmp_path):
    save = pytest.importorskip("safetensors.torch").save_file
    place = tmp_path / "w.safetensors"
    with pytest.raises(BadInput, match="no such file"):
        load_witness(place)
    place.write_bytes(b"no tensors")
    with pytest.raises(BadInput, match="no whole safetensors file"):
        load_witness(place)
    save({"x": X}, place)
    with pytest.raises(BadInput, match="holds no witness"):
        load_witness(place)
    whole = save_witness(place, Witness((X,), (X + 1,), (0, 1), 1.5, 0.25)).read_bytes()
    place.write_bytes(whole[:-5])
    with pytest.raises(BadInput, match="no whole safetensors file"):
        load_witness(place)
    save({"lower.0": X}, place, {"format": "isotone witness 1", "dtypes": '["float32"]'})
    with pytest.raises(BadInput, match="parts missing"):
        load_witness(place)


def test_a_file_is_written_whole_or_not_at_all(tmp_path):
    witness = Witness((X,), (X + 1,), (0, 1), 1.5, 0.25)
    with pytest.raises(CannotWrite):
        save_witness(tmp_path / "nowhere" / "w.safetensors", witness)
    save_witness(tmp_path / "w.safetensors", witness)
    with pytest.raises(CannotWrite):
        save_witness(tmp_path, witness)
    assert [p.name for p in tmp_path.iterdir()] == ["w.safetensors"]


# fmt: off
FACTORIES = [
    # what                         the sentence says
    ("nothing",                    "'nothing' came"),
    (":bent",                      "':bent' came"),
    ("no.such.module:make",        "failed when it was loaded .ModuleNotFoundError"),
    ("no_file.py:make",            "no_file.py: there is no such file"),
    ("{file}:absent",              "has no 'absent'"),
    ("{file}:broken",              "fails .KeyError"),
    ("{file}:number",              "gives int"),
]
# fmt: on


@pytest.mark.parametrize(("where", "says"), FACTORIES, ids=[row[0] for row in FACTORIES])
def test_a_factory_that_is_none_is_one_sentence(where, says, factory):
    with pytest.raises(BadInput, match=says):
        load_factory(where.format(file=factory))


def test_a_factory_may_give_inputs_too_or_be_the_model(factory):
    model, inputs = load_factory(f"{factory}:with_inputs")
    assert isinstance(model, nn.Module)
    assert inputs.shape == (2, 3)
    assert isinstance(load_factory(f"{factory}:ready"), nn.Module)
    assert isinstance(load_factory("torch.nn:Identity"), nn.Module)


def test_rows_of_one_batch_are_compared_in_one_order():
    torch.manual_seed(0)
    net = positive(mlp(nn.Tanh(), width=256))
    x = torch.randn(1, 3)
    x2 = torch.nextafter(x, torch.full_like(x, 9.0))
    seen = compare(net, x, x2)
    assert bool((seen.rise >= 0).all())
    assert torch.equal(seen.rise, seen.second - seen.first)


@pytest.mark.parametrize(
    ("model", "x", "x2", "says"),
    [
        (nn.Identity(), X, X[:1], "different shapes or dtypes"),
        (nn.Identity(), X, X.double(), "different shapes or dtypes"),
        (nn.Identity(), torch.tensor(1.0), torch.tensor(2.0), "without common rows"),
        (Formula(lambda x: x.sum()), X, X, "a score per row would be right"),
    ],
)
def test_a_comparison_that_cannot_be_made_is_one_sentence(model, x, x2, says):
    with pytest.raises(BadInput, match=says):
        compare(model, x, x2)
