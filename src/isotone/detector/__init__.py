"""The guarded detector: a free lane and a monotone floor, with one false-alarm budget."""

from __future__ import annotations

from ._budget import Shares as Shares
from ._budget import alarms_allowed as alarms_allowed
from ._budget import share as share
from ._detector import Detector as Detector
from ._detector import NotSupported as NotSupported
from ._folds import FOLDS as FOLDS
from ._folds import NoFolds as NoFolds
from ._folds import few as few
