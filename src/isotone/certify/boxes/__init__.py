"""Proofs in a bounded box, for networks that are monotone there without being so by construction.

`split` cuts the domain into boxes until bounds of the score's slopes prove the claim on each, or a fall is found.
"""

from ._split import Split as Split
from ._split import split as split
from ._tangents import TANGENTS as TANGENTS
