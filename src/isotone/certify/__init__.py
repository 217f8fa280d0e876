"""Prove that a PyTorch model is monotone, refute it with a pair of inputs, or say where the proof stopped.

This room reads the exported graph of any model and knows none of our layers, so it can be trusted about ours.
"""

from ._capture import Place as Place
from ._certificate import Certificate as Certificate
from ._certify import certify as certify
from ._check import Check as Check
from ._check import check as check
from ._compare import Comparison as Comparison
from ._compare import compare as compare
from ._judge import Progress as Progress
from ._replay import Replay as Replay
from ._replay import StoredWitness as StoredWitness
from ._replay import load_factory as load_factory
from ._replay import load_witness as load_witness
from ._replay import replay as replay
from ._replay import save_witness as save_witness
from .rules import RULES_VERSION as RULES_VERSION
