"""Searches for additions that lower a score.

- an attack only adds: features move in the attacker's direction, where the attacker may, within a budget;
- it asks a victim for scores and for a cheap guess, and knows nothing else of it;
- what it claims is checked before it leaves, and an attack that fails on an unconstrained twin is called broken.
"""

from __future__ import annotations

from ._bits import bca as bca
from ._bits import bga as bga
from ._bits import dfgsm as dfgsm
from ._bits import grosse as grosse
from ._bits import rfgsm as rfgsm
from ._bytes import bytes_benign as bytes_benign
from ._bytes import bytes_genetic as bytes_genetic
from ._bytes import bytes_optimised as bytes_optimised
from ._bytes import bytes_windows as bytes_windows
from ._bytes_search import Append as Append
from ._bytes_search import AttackedBytes as AttackedBytes
from ._bytes_search import ByteVictim as ByteVictim
from ._bytes_search import Insert as Insert
from ._bytes_search import Overwrite as Overwrite
from ._everything import everything as everything
from ._exhaustive import exhaustive as exhaustive
from ._graphs import graph_dilution as graph_dilution
from ._graphs import graph_imitation as graph_imitation
from ._graphs import graph_random as graph_random
from ._graphs import graph_union as graph_union
from ._graphs_edges import graph_edges as graph_edges
from ._graphs_search import AttackedGraphs as AttackedGraphs
from ._graphs_search import only_adds_to_graph as only_adds_to_graph
from ._graphs_suite import graph_suite as graph_suite
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
from ._polish import polish as polish
from ._projected import pgd_l1 as pgd_l1
from ._projected import pgd_l2 as pgd_l2
from ._projected import pgd_linf as pgd_linf
from ._projected import stepwise_max as stepwise_max
from ._random import random_additions as random_additions
from ._removal import removal as removal
from ._search import Attacked as Attacked
from ._search import Search as Search
from ._suite import BUDGETS as BUDGETS
from ._suite import QUICK as QUICK
from ._suite import Suite as Suite
from ._suite import suite as suite
from ._victims import BlackBox as BlackBox
from ._victims import Differentiable as Differentiable
from ._victims import HasSlope as HasSlope
from ._victims import Victim as Victim
from ._victims import scores as scores
from ._words import best_words as best_words
from ._words import dictionary_words as dictionary_words
from ._words import first_words as first_words
from ._words import frequent_words as frequent_words
from ._words import ratio_words as ratio_words
from ._wrong import BrokenAttack as BrokenAttack
