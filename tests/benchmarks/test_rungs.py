"""The benchmark of the rungs compares layers that compute the same, and says so of no others."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from rungs import SITES, Site, build, compare, in_network, rows, same_dense

MLP, CNN, VGG = SITES


@pytest.mark.parametrize("site", [MLP, CNN], ids=lambda site: site.name)
def test_each_line_has_a_ratio_for_each_batch(site: Site) -> None:
    lines = list(rows(site, [1, 3], 0.0))
    rungs = len(list(site.rungs()))
    assert len(lines) == rungs + 2  # local and blocked in the network, too
    for line in lines:
        _, name, rung, weights, by, *cells, _ = map(str.strip, line.split("|"))
        assert float(weights.removesuffix("%")) < 100
        assert len(cells) == 2
        assert all("→" in cell and "–" in cell for cell in cells)
        has_local = rung.startswith(("local", "blocked"))
        assert by in ("cpu", "reference") if has_local else by == "torch"
        assert name


def test_the_dense_layer_computes_what_the_rung_does() -> None:
    small = replace(VGG, layout=(3, 7, 7), outputs=500, grid=replace(VGG.grid, channels=11))
    with torch.no_grad():
        for rung, place, _ in list(small.rungs())[:4]:
            module = build(rung, place)
            dense = same_dense(module, place)
            x = torch.randn(5, 147)
            torch.testing.assert_close(module(x), dense(x), rtol=1e-4, atol=1e-5)
            assert len(dict(module.named_buffers())) == (1 if place.ordered else 2)


def test_another_function_is_not_timed() -> None:
    rung, place, _ = next(MLP.rungs())
    with torch.no_grad():
        module = build(rung, place)
        dense = same_dense(module, place)
        dense.weight[3, 4] += 1
        with pytest.raises(AssertionError):
            compare(dense, module, torch.randn(2, 784), 0.0)


def test_only_the_one_layer_differs_in_the_network() -> None:
    rung, place, _ = next(CNN.rungs())
    with torch.no_grad():
        module = build(rung, place)
        before, after = in_network(CNN, module, same_dense(module, place))
    ours, theirs = before.state_dict(), after.state_dict()
    for name in ours.keys() & theirs.keys():
        assert torch.equal(ours[name], theirs[name])
    assert ours.keys() - theirs.keys() == {"fc1.weight", "fc1.bias"}
