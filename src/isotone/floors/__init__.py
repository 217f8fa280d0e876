"""The monotone lane of a guarded detector: scores that no addition lowers, trained for few false alarms."""

from ..evaluation import detection_near as detection_near
from ._additive import AdditiveFloor as AdditiveFloor
from ._best import BestFloor as BestFloor
from ._best import SumFloor as SumFloor
from ._best import best_floor as best_floor
from ._best import floor_from_state as floor_from_state
from ._booster import BoosterFloor as BoosterFloor
from ._floor import Floor as Floor
from ._floor import FloorProof as FloorProof
from ._floor import fingerprint as fingerprint
from ._floor import replaced as replaced
from ._floor import ways_of as ways_of
from ._network import NetworkFloor as NetworkFloor
from ._objectives import detection_loss as detection_loss
from ._objectives import partial_auc_loss as partial_auc_loss
from ._patterns import PatternFloor as PatternFloor
from ._pruning import containers as containers
