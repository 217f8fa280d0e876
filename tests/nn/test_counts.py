"""Sizes that no network can have are one sentence, said before anything is made."""

from __future__ import annotations

import pytest

from isotone.errors import BadInput
from isotone.nn import ByteNetwork, GraphNetwork, MonotoneLinear, MonotoneMLP, MonotoneNetwork, TabularNetwork

# fmt: off
WRONG = [
    # what is made                                   what is said
    (lambda: MonotoneMLP(4, (0,)),                   "hidden=(0,) came"),
    (lambda: MonotoneMLP(4, 8),                      "hidden=8 came"),
    (lambda: MonotoneMLP(4, (8.0,)),                 "hidden=(8.0,) came"),
    (lambda: MonotoneMLP(0),                         "in_features=0 came"),
    (lambda: MonotoneMLP(4, out_features=True),      "out_features=True came"),
    (lambda: MonotoneLinear(4, -1),                  "out_features=-1 came"),
    (lambda: MonotoneNetwork(names=-1),              "names=-1 came"),
    (lambda: MonotoneNetwork(names=5, hidden="64"),  "hidden='64' came"),
    (lambda: GraphNetwork(0),                        "features=0 came"),
    (lambda: GraphNetwork(3, layers=-1),             "layers=-1 came"),
    (lambda: GraphNetwork(3, relations=0),           "relations=0 came"),
    (lambda: GraphNetwork(3, readout=()),            "readout=() came"),
    (lambda: ByteNetwork(labels=0),                  "labels=0 came"),
    (lambda: ByteNetwork(words=-1),                  "words=-1 came"),
    (lambda: ByteNetwork(hidden=8),                  "hidden=8 came"),
    (lambda: TabularNetwork([None], members=0),      "members=0 came"),
    (lambda: TabularNetwork([None], embedding=8),    "embedding=8 came"),
]
# fmt: on


@pytest.mark.parametrize(("make", "said"), WRONG, ids=[said for _, said in WRONG])
def test_a_size_that_cannot_be_is_one_sentence(make, said):
    with pytest.raises(BadInput) as fault:
        make()
    assert said in str(fault.value)
