"""Keras, for the tests that stand beside it."""

from __future__ import annotations

import os
import warnings

import pytest
import torch


@pytest.fixture(scope="session")
def keras(tmp_path_factory):
    """Keras, which reads its backend and the user's settings when it is imported: neither is left behind."""
    with pytest.MonkeyPatch.context() as patch, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # those of importing it are not ours to mend
        patch.setitem(os.environ, "KERAS_BACKEND", "torch")
        patch.setitem(os.environ, "KERAS_TORCH_DEVICE", "cpu")
        patch.setitem(os.environ, "KERAS_HOME", str(tmp_path_factory.mktemp("keras")))
        module = pytest.importorskip("keras", minversion="3.0")
    assert module.backend.backend() == "torch"
    assert torch.get_default_device().type == "cpu"
    return module
