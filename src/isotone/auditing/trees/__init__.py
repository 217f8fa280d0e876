"""Prove that an ensemble of trees is monotone, tree by tree.

ensemble = read(model)                                   # LightGBM, XGBoost, CatBoost, scikit-learn
if ensemble is not None and faithful(ensemble, margins(model), X):
    proof = prove(ensemble, directions)
"""

from ._additions import additions_needed as additions_needed
from ._candidates import Candidate as Candidate
from ._ensemble import Ensemble as Ensemble
from ._ensemble import Unreadable as Unreadable
from ._proof import FeatureProof as FeatureProof
from ._proof import TreeProof as TreeProof
from ._proof import prove as prove
from ._read import margins as margins
from ._read import read as read
from ._trust import Trust as Trust
from ._trust import faithful as faithful
