"""A limit on a network's size as a test of pytest."""

import pytest

import striate
from examples.picture_net import make


@pytest.fixture
def ledger():
    return striate.count(make(), (1, 1, 16, 16))


def test_the_network_stays_small(ledger):
    assert ledger.status == "complete"  # else some figures are lower bounds
    assert ledger.totals.params <= 100_000
    assert ledger.totals.macs_per_example <= 1_000_000
    assert ledger.totals.peak_activation_bytes <= 50_000


def test_no_layer_is_too_large(ledger):
    assert max(layer.params for layer in ledger.layers) <= 70_000
