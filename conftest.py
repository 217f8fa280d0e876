"""Names that every doctest may use without importing them."""

import numpy as np
import pytest
import torch
from torch import nn

import isotone


@pytest.fixture(autouse=True)
def _doctest_names(doctest_namespace):
    torch.manual_seed(0)
    doctest_namespace.update(isotone=isotone, torch=torch, nn=nn, np=np)
