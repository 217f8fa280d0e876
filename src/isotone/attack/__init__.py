"""Searches for additions that lower a score.

- an attack only adds: features move in the attacker's direction, where the attacker may, within a budget;
- it asks a victim for scores and for a cheap guess, and knows nothing else of it;
- what it claims is checked before it leaves, and an attack that fails on an unconstrained twin is called broken.
"""

from __future__ import annotations

from ._everything import everything as everything
from ._exhaustive import exhaustive as exhaustive
from ._greedy import greedy as greedy
from ._greedy import greedy_unlimited as greedy_unlimited
from ._measures import detection_curve as detection_curve
from ._measures import evasion_rate as evasion_rate
from ._measures import fewest as fewest
from ._measures import is_broken as is_broken
from ._measures import median_additions as median_additions
from ._merge import benign_merge as benign_merge
from ._moves import Moves as Moves
from ._moves import only_adds as only_adds
from ._search import Attacked as Attacked
from ._search import Search as Search
from ._suite import suite as suite
from ._victims import BlackBox as BlackBox
from ._victims import Differentiable as Differentiable
from ._victims import Victim as Victim
from ._victims import scores as scores
from ._wrong import BrokenAttack as BrokenAttack
