"""A certificate once more: is this the model it speaks of, and does its proof still go through?"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from ..errors import BadInput
from ..verdict import Verdict
from ._certificate import Certificate
from ._certify import Asking, judged
from ._question import Claim, examples
from ._scope import again
from ._state import digest, mode

# What a certificate says in words is what was asked in numbers: an edited sentence proves nothing.
WORDS = (("claim", "the claim"), ("directions", "the directions"), ("domain", "the domain"), ("batch", "the batch"))
# What a certificate says of the model, and how that is called.
SAME = (("sha256", "the hash of its weights"), ("mode", "its mode"), ("graph", "the hash of its graph"))
VERSIONS = (("torch", "torch"), ("rules", "the rules"))


@dataclass(frozen=True)
class Check:
    """What became of a certificate.

    Args:
        holds: the model is the one that was judged, and the verdict is reached again.
        differences: what is not as the certificate says, a sentence each.
        remarks: what is different and does not matter by itself, such as versions.
        certificate: the one that was made now.
    """

    holds: bool
    differences: tuple[str, ...]
    remarks: tuple[str, ...]
    certificate: Certificate

    def __str__(self) -> str:
        head = "HOLDS" if self.holds else "VOID"
        lines = [f"{head}  {self.certificate.verdict.name}: {self.certificate.reason}"]
        lines += [f"  differs: {difference}" for difference in self.differences]
        return "\n".join([*lines, *(f"  remark:  {remark}" for remark in self.remarks)])


def check(certificate: Certificate, model: nn.Module, inputs: Any, *, seconds: float = 60.0) -> Check:
    """Compare the hashes in a certificate with those of a model, and run the proof again, without a search.

    Args:
        certificate: as `certify` gave it, or `Certificate.from_dict` read it.
        model: the model that it is said to be about, in the mode in which it will be used.
        inputs: an example, as for `certify`; a trace needs one.
        seconds: for branch and bound, where the proof needed it.

    Raises:
        BadInput: the example has other shapes than the certificate, or the certificate is too old to be checked.

    >>> import torch
    >>> layer = torch.nn.Linear(2, 1)
    >>> _ = torch.nn.init.constant_(layer.weight, 0.5)
    >>> from isotone.certify import certify
    >>> certificate = certify(layer, torch.zeros(2, 2), +1)
    >>> check(certificate, layer, torch.zeros(2, 2)).holds
    True
    >>> _ = torch.nn.init.constant_(layer.weight, -0.5)
    >>> print(check(certificate, layer, torch.zeros(2, 2)).differences[0])
    the hash of its weights is another
    """
    if "asked" not in certificate.scope:
        raise BadInput("certificate", "one of an older version came", "make it again with `certify`")
    given = examples(inputs)
    shapes = [{"shape": list(x.shape), "dtype": str(x.dtype).removeprefix("torch.")} for x in given]
    if shapes != certificate.scope["inputs"]:
        raise BadInput("inputs", f"{shapes} came", f"the certificate is about {certificate.scope['inputs']}")
    asked = [Claim(kept["name"], again(kept, given)) for kept in certificate.scope["asked"]]
    for claim in asked:
        _sound(claim)
    now = judged(model, lambda: asked, Asking(budget=0, seconds=seconds, form=certificate.scope["form"]))
    seen = {"sha256": digest(model), "mode": mode(model), "graph": now.scope["graph"]}
    differences = [f"{called} is another" for key, called in SAME if seen[key] != certificate.scope[key]]
    differences += [f"it does not say {called} that it asks" for key, called in WORDS if _other(certificate, now, key)]
    if set(now.assumptions) - set(certificate.assumptions) and now.verdict is Verdict.PROVED:
        differences.append("the proof rests on more than it says")
    if certificate.verdict is not Verdict.PROVED:
        differences.append(f"it says {certificate.verdict.name}, so there is no proof to run again")
    elif now.verdict is not Verdict.PROVED:
        differences.append(f"the proof does not go through: {now.reason}")
    remarks = [
        f"{called} {certificate.scope[key]} made it, this is {now.scope[key]}"
        for key, called in VERSIONS
        if certificate.scope[key] != now.scope[key]
    ]
    return Check(not differences, tuple(differences), tuple(remarks), now)


def _other(certificate: Certificate, now: Certificate, key: str) -> bool:
    return bool(certificate.scope.get(key) != now.scope[key])


def _sound(claim: Claim) -> None:
    """Numbers that `certify` would not have stored: an empty domain, or a direction that is none, proves anything."""
    q = claim.question
    fair = all(bool(((d == 0) | (d.abs() == 1)).all()) for d in q.directions)
    fair = fair and all(bool((low <= high).all()) for low, high in zip(q.low, q.high, strict=True))
    inside = zip(q.inputs, q.low, q.high, strict=True)
    fair = fair and all(bool(((x.cpu() >= low) & (x.cpu() <= high)).all()) for x, low, high in inside)
    if q.signs is not None:
        fair = fair and bool(((q.signs == 0) | (q.signs.abs() == 1)).all())
    if claim.name:  # "column 2": +1 for that column and nothing for the others
        column = claim.name.removeprefix("column ")
        fair = fair and q.signs is not None and column.isdigit() and int(column) < q.signs.shape[-1]
        if fair and q.signs is not None:
            meant = torch.zeros_like(q.signs)
            meant[..., int(column)] = 1.0
            fair = torch.equal(meant, q.signs)
    if not fair:
        raise BadInput(
            "certificate", "one came that asks what `certify` does not ask about this example", "make it again"
        )
