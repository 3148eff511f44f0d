"""Fixtures for all tests."""

import pytest
import torch

from tests.tiny import make_model

# The networks here are tiny: a second thread costs more in waiting than it computes.
torch.set_num_threads(1)


@pytest.fixture
def model():
    return make_model()
