"""Ledgers: golden files, figures known by hand, totals that are sums, and honesty about the rest."""

from __future__ import annotations

import copy
import json
import sys
import threading
from dataclasses import replace
from typing import Any

import numpy
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from ledger_golden import FOLDER, document
from ledger_networks import NETWORKS, Distances, Functional
from torch import Tensor, nn
from torch.nn import functional as F

from striate.errors import RequestError, UserCodeError
from striate.ledger import Ledger, Limit, count
from striate.nn import LocallyConnected2d

GOLDEN = [pytest.param(name, id=name) for name in NETWORKS]


def ledger(name: str) -> Ledger:
    make, inputs = NETWORKS[name]
    return count(make(), *inputs, name=name)


@pytest.mark.parametrize("name", GOLDEN)
def test_golden(name: str) -> None:
    assert json.loads(json.dumps(document(name))) == json.loads(
        (FOLDER / f"{name}.json").read_text()
    )


@pytest.mark.parametrize("name", GOLDEN)
def test_totals_are_the_sums_of_the_rows(name: str) -> None:
    found = ledger(name)
    totals, layers = found.totals, found.layers
    for metric in ("params", "macs", "flops", "activation_bytes"):
        assert sum(getattr(layer, metric) for layer in layers) == getattr(totals, metric)
    for metric in ("connections", "connections_inside", "dense_params"):
        assert sum(getattr(layer, metric) or 0 for layer in layers) == getattr(totals, metric)
    assert len({layer.name for layer in layers}) == len(layers)
    assert sum(layer.elementwise for layer in layers) == totals.elementwise
    assert sum(work.elements for work in found.elementwise) == totals.elementwise


@pytest.mark.parametrize(
    "name", [name for name in NETWORKS if name not in ("bilinear", "distances", "lstm")]
)
def test_what_training_keeps_is_the_sum_of_the_rows_and_asks_for_nothing_else(name: str) -> None:
    make, inputs = NETWORKS[name]
    found = count(make(), *inputs, name=name, training=True)
    assert found.totals.saved_bytes == sum(layer.saved_bytes or 0 for layer in found.layers)
    assert found.totals.saved_bytes
    plain = ledger(name)
    assert plain.totals == replace(found.totals, saved_bytes=None)


def test_element_wise_work_is_listed_and_is_no_contraction() -> None:
    class Grid(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            x = F.interpolate(x, scale_factor=2.0, mode="bilinear")
            theta = torch.eye(2, 3).expand(x.shape[0], 2, 3)
            y = F.grid_sample(x, F.affine_grid(theta, list(x.shape), align_corners=False))
            return torch.fft.rfft2(y).abs().flip(-1)

    found = count(Grid(), (2, 3, 8, 8))
    work = {entry.operator: (entry.calls, entry.elements) for entry in found.elementwise}
    assert work["aten.upsample_bilinear2d"] == (1, 2 * 3 * 16 * 16)
    assert work["aten.grid_sampler_2d"] == (1, 2 * 3 * 16 * 16)
    assert work["aten._fft_r2c"] == (1, 2 * 3 * 16 * 16)
    assert work["aten.abs"] == (1, 2 * 3 * 16 * 9)
    assert "aten.flip" not in work  # moves values, computes none
    assert found.totals.macs == 0
    assert found.status == "complete"


@pytest.mark.parametrize("name", GOLDEN)
def test_parameters_and_bytes_are_those_of_the_module(name: str) -> None:
    make, inputs = NETWORKS[name]
    model = make()
    totals = count(model, *inputs).totals
    stored = [*model.parameters(), *model.buffers()]
    assert totals.params == sum(p.numel() for p in model.parameters())
    assert totals.buffers == sum(b.numel() for b in model.buffers())
    assert totals.weight_bytes == sum(t.numel() * t.element_size() for t in stored)


@pytest.mark.parametrize("name", GOLDEN)
def test_the_ideas_multiply_to_the_total(name: str) -> None:
    ideas = ledger(name).ideas
    if ideas.total.factor is None:
        return
    parts = (ideas.locality, ideas.sharing, ideas.pooling)
    product = 1.0
    for part in parts:
        assert part.factor is not None
        product *= part.factor
    assert product == pytest.approx(ideas.total.factor)
    assert sum(part.saved or 0 for part in parts) == ideas.total.saved


@pytest.mark.parametrize("name", GOLDEN)
def test_the_batch_changes_nothing_per_example(name: str) -> None:
    make, inputs = NETWORKS[name]
    model = make()

    def with_batch(size: int) -> Ledger:
        shapes = [tuple(i.shape) if isinstance(i, Tensor) else i for i in inputs]
        dtypes = [i.dtype if isinstance(i, Tensor) else torch.float32 for i in inputs]
        tensors = [
            torch.zeros(size, *shape[1:], dtype=dtype, device="meta")
            for shape, dtype in zip(shapes, dtypes, strict=True)
        ]
        return count(model, *tensors)

    one, three = with_batch(1), with_batch(3)
    assert one.ideas == three.ideas
    assert one.totals.macs == one.totals.macs_per_example == three.totals.macs_per_example
    for metric in ("connections", "connections_inside", "connections_with_bias", "dense_params"):
        assert [getattr(layer, metric) for layer in one.layers] == [
            getattr(layer, metric) for layer in three.layers
        ]


def test_figures_known_by_hand() -> None:
    """LeNet-5's C1 as published: 156 weights with biases, 122,304 connections with biases."""
    first = ledger("lenet").layers[0]
    assert (first.params, first.connections_with_bias) == (156, 122_304)
    found = ledger("lenet")
    # Without poolings: 28x28x6 -> 24x24x16 -> 120 -> 84 -> 10.
    dense = 784 * 4704 + 4704 * 9216 + 9216 * 120 + 120 * 84 + 84 * 10
    assert found.totals.dense_params + (found.ideas.pooling.saved or 0) == dense


def test_vgg16_as_published() -> None:
    layers: list[nn.Module] = []
    channels = 3
    for width in (64, 64, 0, 128, 128, 0, 256, 256, 256, 0, 512, 512, 512, 0, 512, 512, 512, 0):
        if width:
            layers += [nn.Conv2d(channels, width, 3, padding=1), nn.ReLU(inplace=True)]
            channels = width
        else:
            layers.append(nn.MaxPool2d(2))
    layers += [nn.Flatten(), nn.Linear(25088, 4096), nn.Linear(4096, 4096), nn.Linear(4096, 1000)]
    with torch.device("meta"):
        model = nn.Sequential(*[copy.deepcopy(layer).to("meta") for layer in layers])
    totals = count(model, (1, 3, 224, 224)).totals
    assert (totals.params, totals.macs) == (138_357_544, 15_470_264_320)


def test_exact_beyond_64_bits() -> None:
    with torch.device("meta"):
        model = nn.Conv2d(10**4, 10**4, 1)
    found = count(model, (1, 10**4, 10**4, 10**4))
    assert found.totals.connections == 10**16
    assert found.totals.dense_params == 10**24


def test_the_model_is_left_as_it_was() -> None:
    torch.manual_seed(3)
    model = nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2), nn.Dropout(), nn.Flatten())
    model.append(nn.utils.parametrizations.spectral_norm(nn.Linear(72, 3)))
    seen: list[torch.Size] = []
    model[0].register_forward_hook(lambda m, i, o: seen.append(o.shape))
    model(torch.rand(4, 1, 8, 8)).sum().backward()
    before = {key: value.clone() for key, value in model.state_dict().items()}
    grads = {key: p.grad.clone() for key, p in model.named_parameters() if p.grad is not None}
    identities = {key: id(p) for key, p in model.named_parameters()}
    hooks = [len(m._forward_hooks) + len(m._forward_pre_hooks) for m in model.modules()]
    longer, image = nn.Sequential(model, NeedsValues()), torch.rand(2, 1, 8, 8)
    state = torch.get_rng_state()
    count(model, (2, 1, 8, 8))
    assert count(longer, image).notes
    assert torch.equal(state, torch.get_rng_state())
    assert model.training
    assert all(module.training for module in model.modules())
    after = model.state_dict()
    assert list(after) == list(before)
    assert all(torch.equal(before[key], after[key]) for key in before)
    assert {key: id(p) for key, p in model.named_parameters()} == identities
    assert hooks == [len(m._forward_hooks) + len(m._forward_pre_hooks) for m in model.modules()]
    for key, parameter in model.named_parameters():
        assert parameter.grad is not None
        assert torch.equal(grads[key], parameter.grad)
        assert parameter.device.type == "cpu"
        assert not hasattr(parameter, "_striate_id")


class NeedsValues(nn.Module):
    """Its path depends on the values, and it keeps state outside buffers."""

    def __init__(self) -> None:
        super().__init__()
        self.calls = 0
        self.last: Tensor | None = None
        self.dense = nn.Linear(3, 3)

    def forward(self, x: Tensor) -> Tensor:
        self.calls += 1
        self.last = x
        return self.dense(x) if x.abs().sum().item() >= 0 else x


def test_a_forward_that_needs_values_runs_on_real_tensors_and_says_so() -> None:
    model = NeedsValues()
    found = count(model, (2, 3))
    assert found.status == "complete"
    assert found.totals.macs == 18
    assert "real tensors" in found.notes[0]
    assert "item()" in found.notes[0]
    assert "(floats normally distributed from seed 0, integers and booleans zero)" in found.notes[0]
    assert found.notes[0].endswith("another branch may cost more or less")
    assert (model.calls, model.last) == (0, None)


@given(batch=st.integers(1, 3), tokens=st.integers(2, 6), hidden=st.integers(1, 4))
def test_tokens_are_positions_and_steps_are_not_connected(
    batch: int, tokens: int, hidden: int
) -> None:
    linear = count(nn.Linear(4, hidden), (batch, tokens, 4)).layers[0]
    assert (linear.locality_factor, linear.sharing_factor) == (tokens, tokens)
    for kind in (nn.RNN, nn.GRU, nn.LSTM):
        steps = count(kind(4, hidden, batch_first=True), (batch, tokens, 4)).layers[0]
        assert (steps.locality_factor, steps.sharing_factor) == (1, tokens)
        assert steps.connections == tokens * steps.weights
    words = count(nn.Embedding(9, hidden), torch.zeros(batch, tokens, dtype=torch.long)).layers[0]
    assert (words.params, words.macs, words.connections) == (9 * hidden, 0, None)
    assert words.locality_factor is words.sharing_factor is None


class ChoosesByValue(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.small, self.large = nn.Linear(3, 1), nn.Linear(3, 7)

    def forward(self, x: Tensor, which: Tensor | None = None) -> Tensor:
        high = x.sum().item() > 0 if which is None else bool(which)
        return self.large(x) if high else self.small(x)


@pytest.mark.parametrize(
    ("inputs", "macs", "words"),
    [
        ((torch.ones(1, 3),), 21, "the values given"),
        ((-torch.ones(1, 3),), 3, "the values given"),
        (((1, 3), torch.tensor(True)), 21, "the values given where there are any, else floats"),
        (((1, 3), torch.empty((), dtype=torch.bool, device="meta")), 3, "floats normally"),
    ],
)
def test_the_note_says_whose_values_chose_the_branch(inputs: Any, macs: int, words: str) -> None:
    found = count(ChoosesByValue(), *inputs)
    assert found.totals.macs == macs
    assert found.notes[0].startswith(f"ran on real tensors ({words}")


@pytest.mark.parametrize("batch_dim", [0, None])
@pytest.mark.parametrize(
    "text", ["1x3x64x64", "1X3×64*64", "(1, 3, 64, 64)", "[1,3,64,64,]", " 1 3 64 64 "]
)
def test_a_text_is_no_shape(text: str, batch_dim: int | None) -> None:
    for inputs, keywords in (((text,), {}), (([text],), {}), ((), {"x": text})):
        with pytest.raises(RequestError, match=r"a text is no shape") as caught:
            count(nn.Conv2d(3, 1, 3), *inputs, keywords=keywords, batch_dim=batch_dim)
        assert "give the tuple (1, 3, 64, 64)" in str(caught.value)


def test_a_text_beside_a_shape_is_an_argument_of_the_forward() -> None:
    class Takes(nn.Module):
        def forward(self, x: Tensor, mode: str) -> Tensor:
            return x if mode == "3x3" else x @ x

    assert count(Takes(), (2, 2), "3x3").totals.macs == 0
    with pytest.raises(RequestError, match=r"no tensor and no shape; give an example tensor"):
        count(nn.Linear(3, 2), "abc")


def test_what_cannot_be_copied_is_shared_and_said() -> None:
    model = nn.Sequential(nn.Linear(3, 2), nn.ReLU())
    model.lock = threading.Lock()  # type: ignore[assignment]
    model[0].register_forward_hook(Watcher())
    found = count(model, (1, 3))
    assert found.totals.macs == 6
    assert found.notes == (
        "ran with the model's own lock, which cannot be copied",
        "ran with the model's own 0._forward_hooks, which cannot be copied",
    )
    assert len(model[0]._forward_hooks) == 1
    assert not model[1]._forward_hooks


class Watcher:
    """A hook that holds what cannot be copied."""

    def __init__(self) -> None:
        self.lock = threading.Lock()

    def __call__(self, module: nn.Module, inputs: Any, output: Any) -> None:
        pass


def test_a_forward_that_changes_weights_changes_none_of_the_models() -> None:
    class Clamps(NeedsValues):
        def forward(self, x: Tensor) -> Tensor:
            self.dense.weight.data.clamp_(0, 0)
            return super().forward(x)

    model = Clamps()
    before = model.dense.weight.clone()
    assert count(model, (2, 3)).notes
    assert torch.equal(before, model.dense.weight)


def test_a_bilinear_form_is_its_two_contractions() -> None:
    """For every example: the weights times the second input, then that times the first."""
    found = count(nn.Bilinear(3, 4, 2), (5, 3), (5, 4))
    assert (found.totals.macs, found.status) == (5 * (2 * 3 * 4 + 2 * 3), "complete")
    assert found.layers[0].params == 2 * 3 * 4 + 2
    assert found.totals.connections == 0


def test_what_has_no_rule_makes_the_ledger_partial_and_is_named() -> None:
    class Both(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.deep = nn.Sequential(nn.Identity(), Distances())
            self.head = nn.Linear(2, 2)

        def forward(self, x: Tensor) -> Tensor:
            return self.head(self.deep[1](x))

    found = count(Both(), (1, 6, 3), limits=[Limit("macs", 10**6, ""), Limit("params", 10**6, "")])
    assert found.status == "partial"
    (entry,) = found.unsupported
    assert (entry.operator, entry.where) == ("aten._cdist_forward", "deep.1")
    assert {"macs", "flops", "connections"} <= set(entry.metrics)
    assert [gate.met for gate in found.gates] == [None, True]


def test_a_recount_that_shapes_do_not_permit_is_said() -> None:
    found = ledger("unet")
    assert found.ideas.pooling.factor is None
    assert found.ideas.locality.factor is not None
    assert [entry.metrics for entry in found.unsupported] == [("pooling",)]


def test_unused_parameters_have_a_row() -> None:
    model = Functional()
    model.register_module("spare", nn.Linear(2, 3))
    model.register_parameter("extra", nn.Parameter(torch.zeros(5)))
    found = {layer.name: layer for layer in count(model, (1, 1, 28, 28)).layers}
    assert (found["spare"].params, found["spare"].calls) == (9, 0)
    assert found[""].params == 5


def test_tied_and_shared() -> None:
    tied = {layer.name: layer for layer in ledger("tied").layers}
    assert tied["output"].params == 0
    assert tied["output"].shared_with == ("embedding",)
    twice = nn.Linear(4, 4)
    found = count(nn.Sequential(twice, nn.ReLU(), twice), (1, 4))
    assert found.totals.params == 20
    (row,) = [layer for layer in found.layers if layer.type == "Linear"]
    assert (row.calls, row.connections, row.sharing_factor, row.shared_with) == (2, 32, 2, ("2",))


def test_two_parameters_over_one_memory_are_one() -> None:
    first, second = nn.Linear(3, 3, bias=False), nn.Linear(3, 3, bias=False)
    second.weight = nn.Parameter(first.weight.detach())
    assert second.weight is not first.weight
    assert count(nn.Sequential(first, second), (1, 3)).totals.params == 9


def test_frozen_half_precision() -> None:
    model = nn.Linear(4, 4).half().requires_grad_(False)
    totals = count(model, (1, 4)).totals
    assert (totals.params, totals.trainable, totals.weight_bytes) == (20, 0, 40)


def test_a_compiled_model_is_counted_as_it_is_written() -> None:
    model = nn.Sequential(nn.Linear(4, 5), torch.compile(nn.Linear(5, 6)))
    assert count(model, (1, 4)).totals.macs == 50
    assert count(torch.compile(nn.Linear(5, 6)), (1, 5)).totals.macs == 30


def test_inputs_by_keyword_nested_and_without_a_batch() -> None:
    class Nested(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.dense = nn.Linear(3, 2)

        def forward(self, parts: dict[str, Any], *, scale: Tensor) -> dict[str, Tensor]:
            return {"out": self.dense(parts["a"][0]) * scale}

    found = count(Nested(), {"a": [(5, 3)]}, keywords={"scale": (5, 2)})
    assert (found.batch, found.totals.connections) == (5, 6)
    alone = count(nn.Conv2d(2, 3, 3), (2, 8, 8), batch_dim=None)
    assert (alone.batch, alone.totals.connections) == (None, 3 * 36 * 18)
    swapped = count(nn.Linear(3, 2), (7, 5, 3), batch_dim=1)
    assert (swapped.batch, swapped.totals.connections) == (5, 7 * 6)


def test_functions_called_directly_are_seen() -> None:
    class Direct(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.kernel = nn.Parameter(torch.zeros(4, 2, 3, 3))
            self.left = nn.Parameter(torch.zeros(5, 36))
            self.right = nn.Parameter(torch.zeros(16, 5))

        def forward(self, x: Tensor) -> Tensor:
            x = F.conv2d(F.pad(x, (1, 1, 1, 1)), self.kernel, stride=2)
            # A low-rank weight made in the forward, and a weight on the left.
            return torch.einsum("nk,kr,ro->no", x.flatten(1)[:, :36], self.left.t(), self.right.t())

    (row,) = count(Direct(), (2, 2, 6, 6)).layers
    assert row.weights == 72 + 180 + 80
    # 4 channels x 9 positions x 18 taps, then 36 x 5 and 5 x 16.
    assert row.connections == 648 + 180 + 80
    assert row.connections_inside == 4 * 2 * (2 + 3 + 3) ** 2 + 260
    assert row.dense_params == 72 * 36 + 180 + 80


def test_a_fixed_kernel_is_work_but_no_weights() -> None:
    class Blur(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.register_buffer("kernel", torch.ones(2, 1, 3, 3))
            self.conv = nn.Conv2d(2, 4, 3)

        def forward(self, x: Tensor) -> Tensor:
            x = F.conv2d(F.max_pool2d(x, 2), self.kernel, groups=2, stride=2)
            return self.conv(x)

    found = count(Blur(), (1, 2, 28, 28))
    rows = {layer.name: layer for layer in found.layers}
    assert (rows[""].macs, rows[""].connections, rows[""].weights) == (2 * 36 * 9, None, 0)
    assert rows["conv"].connections == 4 * 16 * 18
    # Without the pooling the fixed kernel makes 13x13 of 28x28, and the layer 11x11.
    assert found.ideas.pooling.saved == 2 * 169 * 4 * 121 - 2 * 36 * 4 * 16
    assert found.receptive_field == {"size": [14, 14], "stride": [4, 4], "centre": [6.5, 6.5]}


def test_two_activations_multiplied_are_work_but_no_weights() -> None:
    class Attention(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.dense = nn.Linear(8, 8, bias=False)

        def forward(self, x: Tensor) -> Tensor:
            y = self.dense(x)
            return (y @ x.transpose(1, 2)).softmax(-1) @ x

    rows = {layer.name: layer for layer in count(Attention(), (3, 5, 8)).layers}
    assert (rows[""].macs, rows[""].connections) == (3 * 2 * 5 * 5 * 8, None)
    assert rows["dense"].connections == 5 * 64


def test_windows_cut_out_by_hand_count_as_the_local_layer() -> None:
    class Unfolded(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.weight = nn.Parameter(torch.zeros(36, 4, 9))

        def forward(self, x: Tensor) -> Tensor:
            return torch.einsum("nkl,lok->nol", F.unfold(x, 3), self.weight)

    (row,) = count(Unfolded(), (2, 1, 8, 8)).layers
    (local,) = count(LocallyConnected2d(1, 4, 3, (8, 8), bias=False), (2, 1, 8, 8)).layers
    for name in ("params", "weights", "connections", "dense_params", "sharing_factor"):
        assert getattr(row, name) == getattr(local, name)


def test_a_lazy_model_is_counted_and_left_lazy() -> None:
    lazy = nn.Sequential(nn.LazyConv2d(4, 3), nn.LazyBatchNorm2d(), nn.Flatten(), nn.LazyLinear(5))
    made = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Flatten(), nn.Linear(144, 5))
    assert count(lazy, (1, 3, 8, 8)).totals == count(made, (1, 3, 8, 8)).totals
    assert [nn.parameter.is_lazy(p) for p in lazy.parameters()] == [True] * 6
    lazy(torch.zeros(2, 3, 10, 10))  # and can be of another size


def test_nested_and_keyword_inputs() -> None:
    class Nested(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.dense = nn.Linear(3, 4)

        def forward(self, given: dict[str, Any], *, scale: Tensor) -> dict[str, Tensor]:
            first, (second, third) = given["pair"]
            return {"sum": self.dense(first + second[third]) * scale}

    index = torch.zeros(2, dtype=torch.long)
    given = {"pair": ((2, 3), [(5, 3), index])}
    found = count(Nested(), given, keywords={"scale": (4,)})
    assert (found.totals.macs, found.status) == (24, "complete")


class _Part(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.used, self.unused = nn.Linear(3, 2), nn.LazyLinear(2)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.used(x)
        return y


class _Masked(nn.Module):
    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        return x * mask


class _Endless(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self(x)
        return y


class _Leaves(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        sys.exit(0)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: count(nn.Linear(3, 2)), "no input"),
        (lambda: count(nn.Linear(3, 2), (1, 4)), r"given 1x4"),
        (
            lambda: count(nn.Sequential(nn.Linear(3, 2), nn.Linear(3, 2)), (1, 3)),
            r"cannot be multiplied \(1x2 and 3x2\) in 1 \(Linear\(in_features=3, out_features=2, ",
        ),
        (lambda: count(nn.Linear(3, 2), (0, 3)), "at least one example"),
        (lambda: count(nn.Linear(3, 2), (1, -3)), "negative"),
        (lambda: count(nn.Linear(3, 2), (1, 3), batch_dim=4), "batch_dim=4"),
        (lambda: count(nn.ModuleList([nn.LazyLinear(2)]), (1, 3)), "forward"),
        (lambda: count(_Part(), (1, 3)), "did not run has no shape yet"),
        (lambda: count(nn.Linear(3, 2), (10**12, 10**12, 3)), "more elements than"),
        (
            lambda: count(nn.Linear(3, 2), torch.zeros(1, 3, dtype=torch.double)),
            "of float32 and float64",
        ),
        (lambda: count(_Masked(), (1, 3)), "missing 1 required positional argument: 'mask'"),
        (lambda: count(_Endless(), (1, 3)), "RecursionError"),
        (lambda: count(_Leaves(), (1, 3)), "raised SystemExit: 0"),
        (lambda: count(torch.jit.trace(nn.ReLU(), torch.ones(1)), (1, 3)), "TorchScript"),
    ],
)
def test_bad_input_is_a_request_error_in_one_line(call: Any, words: str) -> None:
    with pytest.raises(RequestError, match=words) as caught:
        call()
    assert "\n" not in str(caught.value)


def test_an_exception_of_the_model_is_shown_as_its_own() -> None:
    class Broken(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            raise KeyError("depth")

    with pytest.raises(
        UserCodeError, match=r"KeyError: 'depth' \(.*test_count.py:\d+\) in 0 \(Broken\)"
    ):
        count(nn.Sequential(Broken()), (1, 3))


def test_no_model() -> None:
    with pytest.raises(TypeError, match=r"expected a torch\.nn\.Module"):
        count("resnet", (1, 3))  # type: ignore[arg-type]


def test_peak_memory_counts_what_lives_at_once() -> None:
    # Input, then one layer's input and output at a time: 4 + 8, 8 + 2 floats; the input is held.
    model = nn.Sequential(nn.Linear(4, 8), nn.Linear(8, 2))
    assert count(model, (1, 4)).totals.peak_activation_bytes == 4 * (4 + 8 + 2)
    held = nn.Sequential(*[nn.Linear(4, 4) for _ in range(9)])
    assert count(held, (1, 4)).totals.peak_activation_bytes == 4 * (4 + 4 + 4)


@pytest.mark.parametrize(
    ("query", "key", "batch", "macs"),
    [
        ((1, 1, 6, 4), (1, 3, 9, 4), 1, 1296),
        ((1, 2, 6, 4), (7, 2, 9, 4), 1, 7 * 2 * 6 * 9 * 8),
        ((6, 4), (2, 3, 9, 4), None, 2592),
    ],
)
def test_attention_of_broadcast_batches_and_heads(
    query: tuple[int, ...], key: tuple[int, ...], batch: int | None, macs: int
) -> None:
    class Reads(nn.Module):
        def forward(self, q: Tensor, k: Tensor) -> Tensor:
            return F.scaled_dot_product_attention(q, k, k)

    assert count(Reads(), query, key, batch_dim=None).totals.macs == macs


def test_functions_that_hold_the_model_run_the_copy() -> None:
    class Holds(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.dense = nn.Linear(4, 4)
            self.register_buffer("seen", torch.zeros(4))
            self.run = lambda x: self.dense(x) + self.seen.add_(1)

        def forward(self, x: Tensor) -> Tensor:
            y: Tensor = self.run(x)
            return y

    model = Holds()
    found = count(model, (1, 4))
    assert (found.totals.connections, found.notes) == (16, ())
    assert not model.seen.any()
    assert model.run.__closure__[0].cell_contents is model


def test_a_module_that_holds_the_one_it_is_in() -> None:
    class Child(nn.Module):
        def __init__(self, parent: nn.Module) -> None:
            super().__init__()
            self.parent = parent

        def forward(self, x: Tensor) -> Tensor:
            return x + 1

    class Parent(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.dense = nn.Linear(4, 4)
            self.child = Child(self)

        def forward(self, x: Tensor) -> Tensor:
            y: Tensor = self.child(self.dense(x))
            return y

    found = count(Parent(), (1, 4))
    assert (found.totals.params, found.totals.macs) == (20, 16)


def test_types_under_autocast_are_those_of_a_real_run() -> None:
    class Casts(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.dense = nn.Linear(4, 4)

        def forward(self, x: Tensor) -> Tensor:
            with torch.autocast("cpu", torch.bfloat16):
                y: Tensor = self.dense(x)
                return y

    found = count(Casts(), (1, 4))
    assert "autocast" in found.notes[0]
    assert found.totals.activation_bytes == 2 * 4 * 2  # the input cast, and the output


def test_work_that_does_not_divide_by_the_batch_is_not_known_per_example() -> None:
    class Some(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.dense = nn.Linear(4, 4)

        def forward(self, x: Tensor) -> Tensor:
            with torch.profiler.record_function("some"):
                y: Tensor = self.dense(x[:3])
                return y

    found = count(Some(), (7, 4), limits=[Limit("macs", 100, "")])
    assert (found.totals.macs, found.gates[0].met) == (48, None)
    assert count(Some(), (3, 4)).status == "complete"


def test_packed_weights_are_not_taken_for_none() -> None:
    class Packed(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            weight = torch.quantize_per_tensor(torch.zeros(8, 8), 0.1, 0, torch.qint8)
            self.packed = torch.ops.quantized.linear_prepack(weight, None)

        def forward(self, x: Tensor) -> Tensor:
            return x

    found = count(Packed(), (1, 8), limits=[Limit("params", 1, ""), Limit("weight_bytes", 1, "")])
    assert [gate.met for gate in found.gates] == [None, None]


def test_nested_tensors_are_refused() -> None:
    class Nested(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            rows = [x[:2], x[:3]]
            return torch.nested.nested_tensor(rows, layout=torch.jagged) + 1

    with pytest.raises(RequestError, match="nested tensors are not counted"):
        count(Nested(), (4, 4))


def test_numpys_random_numbers_go_on_as_before() -> None:
    class Draws(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return x * float(numpy.random.rand())

    numpy.random.seed(3)
    expected = numpy.random.rand()
    numpy.random.seed(3)
    count(Draws(), (1, 4))
    assert numpy.random.rand() == expected


def test_many_living_tensors_are_followed_and_released() -> None:
    class Keeps(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            kept = [x * n for n in range(700)]
            y = torch.stack(kept).sum(0)
            del kept
            for _ in range(20):
                y = y + 1
            return y

    found = count(Keeps(), (1, 10)).totals
    assert found.peak_activation_bytes == 40 * (1 + 700 + 700 + 1)
