"""Is a fitted model monotone? A search that any function of rows can be put to, and a proof for ensembles of trees."""

from ._audit import audit as audit
from ._command import directions as directions
from ._command import load as load
from ._command import read_rows as read_rows
from ._result import Audit as Audit
from ._result import FeatureFinding as FeatureFinding
from ._result import RowWitness as RowWitness
