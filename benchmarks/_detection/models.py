"""All models, by name."""

from __future__ import annotations

from .ours import OURS
from .peers import PEERS

MODELS = {model.name: model for model in (*PEERS, *OURS)}
FREE = tuple(name for name, model in MODELS.items() if model.kind == "free")
