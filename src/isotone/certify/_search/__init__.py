"""The refuter: a search for an ordered pair of inputs whose score falls, and the court that believes it or not."""

from ._scores import Inputs as Inputs
from ._scores import Score as Score
from ._scores import drop_of as drop_of
from ._scores import score_of as score_of
from ._scores import scores as scores
from ._scores import size_of as size_of
from ._scores import tolerance_for as tolerance_for
from ._search import Search as Search
