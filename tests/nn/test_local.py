"""LocallyConnected2d: against nn.Conv2d, as a PyTorch citizen, and when given wrong arguments."""

from __future__ import annotations

import copy
import io
import re
import subprocess
import sys
import time
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from striate.nn import LocallyConnected2d
from striate.nn.functional import locally_connected2d
from tests.tolerances import CLOSE

CONVOLUTIONS: list[dict[str, Any]] = [
    {},
    {"padding": "same"},
    {"padding": "valid", "stride": 2},
    {"kernel_size": (10, 4), "padding": "same", "dilation": (1, 2)},
    {"stride": (2, 3), "padding": (1, 2), "dilation": (2, 1), "groups": 2},
    {"bias": False, "groups": 4},
]


def twins(**options: Any) -> tuple[LocallyConnected2d, nn.Conv2d]:
    """A fully shared layer and a convolution with the same parameters."""
    options = {"kernel_size": 3} | options
    conv = nn.Conv2d(4, 8, dtype=torch.float64, **options)
    ours = LocallyConnected2d(
        4, 8, input_size=(12, 11), share="all", dtype=torch.float64, **options
    )
    with torch.no_grad():
        ours.weight.copy_(conv.weight)
        if conv.bias is not None and ours.bias is not None:
            ours.bias.copy_(conv.bias)
    return ours, conv


LAYERS: dict[str, dict[str, Any]] = {
    "local": {"share": 1, "padding": 1},
    "blocked": {"share": (2, 3), "bias": "channel"},
    "large blocks": {"share": 4, "padding": "same"},
    "half shared": {"share": (1, "all"), "groups": 2},
    "shared": {"share": "all"},
}


@pytest.fixture(params=LAYERS.values(), ids=LAYERS)
def layer(request: pytest.FixtureRequest) -> LocallyConnected2d:
    torch.manual_seed(0)
    return LocallyConnected2d(2, 4, 3, (7, 8), **request.param)


@pytest.mark.filterwarnings("ignore:Using padding='same' with even kernel lengths")
@pytest.mark.parametrize("options", CONVOLUTIONS, ids=str)
def test_fully_shared_equals_conv2d_with_its_gradients(options: dict[str, Any]) -> None:
    ours, conv = twins(**options)
    x = torch.randn(3, 4, 12, 11, dtype=torch.float64)
    results = []
    for module in (ours, conv):
        leaf = x.clone().requires_grad_()
        out = module(leaf)
        out.square().sum().backward()
        results.append((out, leaf.grad, *(p.grad for p in module.parameters())))
    for one, other in zip(*results, strict=True):
        torch.testing.assert_close(one.reshape(other.shape), other, **CLOSE[torch.float64])


@pytest.mark.filterwarnings("ignore:Using padding='same' with even kernel lengths")
@pytest.mark.parametrize("share", [1, 2, 5, (3, 1)])
@pytest.mark.parametrize("options", CONVOLUTIONS, ids=str)
def test_equal_kernels_everywhere_equal_conv2d(options: dict[str, Any], share: Any) -> None:
    _, conv = twins(**options)
    x = torch.randn(2, 4, 12, 11, dtype=torch.float64)
    ours = LocallyConnected2d(
        4, 8, input_size=(12, 11), share=share, dtype=torch.float64, **{"kernel_size": 3} | options
    )
    with torch.no_grad():
        for parameter, theirs in zip(ours.parameters(), conv.parameters(), strict=True):
            parameter.copy_(theirs.expand_as(parameter))
    torch.testing.assert_close(ours(x), conv(x), **CLOSE[torch.float64])


def test_starts_as_conv2d_starts() -> None:
    torch.manual_seed(3)
    conv = nn.Conv2d(4, 8, 3, groups=2)
    torch.manual_seed(3)
    ours = LocallyConnected2d(4, 8, 3, 6, groups=2, share="all")
    torch.testing.assert_close(ours.weight[0, 0], conv.weight)
    assert ours.bias is not None
    torch.testing.assert_close(ours.bias[0, 0], conv.bias)
    local = LocallyConnected2d(4, 8, 3, 20, groups=2)
    bound = (2 * 9) ** -0.5
    for parameter in local.parameters():
        assert parameter.abs().max() <= bound
        assert parameter.std().item() == pytest.approx(bound / 3**0.5, rel=0.05)


def test_attributes_and_shapes_are_those_of_the_contract() -> None:
    layer = LocallyConnected2d(4, 6, (3, 5), (9, 12), 2, 1, groups=2, share=(2, "all"))
    assert (layer.in_channels, layer.out_channels, layer.groups) == (4, 6, 2)
    assert (layer.kernel_size, layer.input_size) == ((3, 5), (9, 12))
    assert (layer.stride, layer.padding, layer.dilation) == ((2, 2), 1, (1, 1))
    assert (layer.output_size, layer.share, layer.blocks) == ((5, 5), (2, 5), (3, 1))
    assert layer.weight.shape == (3, 1, 6, 2, 3, 5)
    assert layer.bias is not None
    assert layer.bias.shape == (3, 1, 6)
    assert layer(torch.zeros(2, 4, 9, 12)).shape == (2, 6, 5, 5)
    per_channel = LocallyConnected2d(1, 6, 3, 5, bias="channel")
    assert per_channel.bias is not None
    assert per_channel.bias.shape == (6,)
    assert LocallyConnected2d(1, 6, 3, 5, bias=False).bias is None
    assert LocallyConnected2d(1, 1, 3, 5, share=99).blocks == (1, 1)


def test_repr_names_what_differs_from_the_default() -> None:
    layer = LocallyConnected2d(1, 2, 3, 8, padding="same", share=(2, "all"), bias="channel")
    assert repr(layer) == (
        "LocallyConnected2d(1, 2, kernel_size=(3, 3), input_size=(8, 8), stride=(1, 1), "
        "padding='same', bias='channel', share=(2, 'all'))"
    )


@pytest.mark.parametrize("share", ["all", 1])
def test_a_million_positions_on_the_meta_device_take_no_memory_and_no_time(share: Any) -> None:
    started = time.perf_counter()
    layer = LocallyConnected2d(
        1, 1, 10, (1000, 1000), padding="same", share=share, bias=False, device="meta"
    )
    out = layer(torch.empty(1, 1, 1000, 1000, device="meta"))
    assert out.shape == (1, 1, 1000, 1000)
    assert layer.weight.numel() == (100 if share == "all" else 10**8)
    assert time.perf_counter() - started < 2


def test_unbatched_and_empty_batches(layer: LocallyConnected2d) -> None:
    x = torch.randn(3, 2, 7, 8)
    out = layer(x)
    torch.testing.assert_close(layer(x[1]), out[1], **CLOSE[torch.float32])
    empty = torch.zeros(0, 2, 7, 8, requires_grad=True)
    nothing = layer(empty)
    assert nothing.shape == (0, *out.shape[1:])
    nothing.sum().backward()
    assert empty.grad is not None
    for parameter in layer.parameters():
        assert parameter.grad is not None
        assert not parameter.grad.any()


def test_gradients_come_in_the_parameters_own_layout(layer: LocallyConnected2d) -> None:
    layer(torch.randn(3, 2, 7, 8)).sum().backward()
    for parameter in layer.parameters():
        assert parameter.grad is not None
        assert parameter.grad.is_contiguous()


def test_channels_last_and_other_strides(layer: LocallyConnected2d) -> None:
    x = torch.randn(3, 2, 7, 8)
    expected = layer(x)
    close = CLOSE[torch.float32]
    torch.testing.assert_close(
        layer(x.contiguous(memory_format=torch.channels_last)), expected, **close
    )
    transposed = x.transpose(2, 3).contiguous().transpose(2, 3)
    torch.testing.assert_close(layer(transposed), expected, **close)
    torch.testing.assert_close(layer(x[:1].expand(3, -1, -1, -1))[2], expected[0], **close)


def test_autocast_computes_and_returns_the_lower_precision(layer: LocallyConnected2d) -> None:
    x = torch.randn(3, 2, 7, 8)
    expected = layer(x)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        out = layer(x)
        mixed = layer(x.bfloat16())
    assert out.dtype is mixed.dtype is torch.bfloat16
    torch.testing.assert_close(out.float(), expected, **CLOSE[torch.bfloat16])
    torch.testing.assert_close(mixed.float(), expected, **CLOSE[torch.bfloat16])


def test_torch_compile_sees_one_graph(layer: LocallyConnected2d) -> None:
    torch._dynamo.reset()
    compiled = torch.compile(layer, backend="aot_eager", fullgraph=True)
    for batch in (2, 3, 5):
        x = torch.randn(batch, 2, 7, 8, requires_grad=True)
        out = compiled(x)
        (gradient,) = torch.autograd.grad(out.square().sum(), x)
        eager = layer(x)
        (expected,) = torch.autograd.grad(eager.square().sum(), x)
        torch.testing.assert_close(out, eager, **CLOSE[torch.float32])
        torch.testing.assert_close(gradient, expected, **CLOSE[torch.float32])


def test_torch_func_per_example_gradients(layer: LocallyConnected2d) -> None:
    parameters = {name: p.detach().double() for name, p in layer.named_parameters()}
    x = torch.randn(3, 2, 7, 8, dtype=torch.float64)

    def loss(parameters: dict[str, Tensor], example: Tensor) -> Tensor:
        return torch.func.functional_call(layer, parameters, (example,)).square().sum()

    stacked = torch.func.vmap(torch.func.grad(loss), in_dims=(None, 0))(parameters, x)
    for index in range(3):
        single = torch.func.grad(loss)(parameters, x[index])
        for name, gradient in single.items():
            torch.testing.assert_close(stacked[name][index], gradient, **CLOSE[torch.float64])


def test_export_runs_at_any_batch_size_without_striate(layer: LocallyConnected2d) -> None:
    x = torch.randn(2, 2, 7, 8)
    batch = torch.export.Dim("batch", min=1, max=64)
    program = torch.export.export(layer.eval(), (x,), dynamic_shapes=({0: batch},))
    for size in (1, 7):
        example = torch.randn(size, 2, 7, 8)
        torch.testing.assert_close(
            program.module()(example), layer(example), **CLOSE[torch.float32]
        )
    targets = {str(node.target) for node in program.graph.nodes if node.op == "call_function"}
    assert all(target.startswith("aten.") for target in targets), targets


def test_the_program_of_a_map_is_saved_without_a_warning(tmp_path: Path) -> None:
    kernels = torch.arange(36).reshape(6, 6) % 4
    layer = LocallyConnected2d(3, 8, 3, input_size=(8, 8), share=kernels).eval()
    program = torch.export.export(layer, (torch.rand(2, 3, 8, 8),))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        torch.export.save(program, tmp_path / "layer.pt2")


def test_copies_and_saved_weights_give_the_same_bits(layer: LocallyConnected2d) -> None:
    x = torch.randn(3, 2, 7, 8)
    assert torch.equal(copy.deepcopy(layer)(x), layer(x))
    file = io.BytesIO()
    torch.save(layer.state_dict(), file)
    file.seek(0)
    other = copy.deepcopy(layer)
    other.reset_parameters()
    assert not torch.equal(other(x), layer(x))
    other.load_state_dict(torch.load(file, weights_only=True))
    assert torch.equal(other(x), layer(x))


def test_torch_function_modes_see_one_operator(layer: LocallyConnected2d) -> None:
    class Seen(TorchFunctionMode):
        def __init__(self) -> None:
            super().__init__()
            self.calls: list[tuple[Any, tuple[Any, ...], dict[str, Any]]] = []

        def __torch_function__(
            self, func: Any, types: Any, args: Any = (), kwargs: Any = None
        ) -> Any:
            self.calls.append((func, args, kwargs or {}))
            return func(*args, **(kwargs or {}))

    x = torch.randn(3, 2, 7, 8)
    with Seen() as seen:
        out = layer(x)
    # Inside the mode's own handler it is off, so the operators below are not seen; getters are.
    calls = [call for call in seen.calls if call[0] is locally_connected2d]
    assert len(calls) == 1
    _, args, kwargs = calls[0]
    assert args[0] is x
    assert args[1] is layer.weight
    assert args[2] is layer.bias
    assert kwargs == {
        "stride": layer.stride,
        "padding": layer.padding,
        "dilation": layer.dilation,
        "groups": layer.groups,
        "share": layer.share,
        "padding_mode": "zeros",
    }
    assert torch.equal(out, layer(x))


def test_tensor_subclasses_may_answer_for_it() -> None:
    class Answers(Tensor):
        @classmethod
        def __torch_function__(
            cls, func: Any, types: Any, args: Any = (), kwargs: Any = None
        ) -> Any:
            return func.__name__

    weight = torch.zeros(6, 6, 1, 1, 3, 3)
    plain = torch.zeros(1, 1, 8, 8)
    assert locally_connected2d(plain.as_subclass(Answers), weight) == "locally_connected2d"
    bias = torch.zeros(1).as_subclass(Answers)
    assert locally_connected2d(plain, weight, bias) == "locally_connected2d"


def test_accepts_numpy_integers_and_lists() -> None:
    layer = LocallyConnected2d(
        np.int64(1), 2, [3, 3], torch.Size([8, 8]), share=[np.int64(2), "all"]
    )
    assert layer.weight.shape == (3, 1, 2, 1, 3, 3)
    assert type(layer.share[0]) is int


def test_the_error_of_the_contract_to_the_letter() -> None:
    with pytest.raises(ValueError, match="does not fit") as caught:
        LocallyConnected2d(1, 1, 30, 8)
    assert str(caught.value) == (
        "LocallyConnected2d: kernel_size=(30, 30) does not fit input_size=(8, 8) with padding=0: "
        "a window of 30 rows on 8; use padding >= 11 or a smaller kernel_size"
    )
    LocallyConnected2d(1, 1, 30, 8, padding=11)
    with pytest.raises(ValueError, match="does not fit"):
        LocallyConnected2d(1, 1, 30, 8, padding=10)


@pytest.mark.parametrize(
    ("wrong", "error", "said"),
    [
        ({"in_channels": 0}, ValueError, "in_channels=0: expected an integer >= 1"),
        ({"out_channels": 2.5}, TypeError, "out_channels=2.5: expected an integer >= 1"),
        ({"kernel_size": "3"}, TypeError, "kernel_size='3': expected an integer >= 1 or two"),
        ({"kernel_size": (3, 0)}, ValueError, "kernel_size=(3, 0): expected an integer >= 1"),
        ({"kernel_size": (3, 9)}, ValueError, "a window of 9 columns on 8; use padding >= 1 or"),
        (
            {"kernel_size": 5, "dilation": (1, 4), "padding": 1},
            ValueError,
            "kernel_size=(5, 5) with dilation=(1, 4) does not fit input_size=(8, 8) with padding=1: "
            "a window of 17 columns on 10; use padding >= 5, a smaller dilation or",
        ),
        ({"input_size": (8, 8, 8)}, ValueError, "input_size=(8, 8, 8): expected an integer >= 1"),
        ({"input_size": None}, TypeError, "input_size=None"),
        ({"stride": 0}, ValueError, "stride=0: expected an integer >= 1 or two"),
        ({"padding": -1}, ValueError, "padding=-1: expected an integer >= 0 or two"),
        ({"padding": "full"}, ValueError, "padding='full': expected an integer"),
        ({"padding": "same", "stride": 2}, ValueError, "padding='same' with stride=(2, 2)"),
        ({"dilation": True}, TypeError, "dilation=True: expected an integer >= 1"),
        ({"groups": 0}, ValueError, "groups=0: expected an integer >= 1"),
        ({"groups": 3}, ValueError, "groups=3 does not divide in_channels=4"),
        ({"out_channels": 3, "groups": 2}, ValueError, "groups=2 does not divide out_channels=3"),
        ({"bias": "row"}, ValueError, "bias='row': expected True"),
        ({"bias": None}, ValueError, "bias=None: expected True"),
        ({"share": 0}, ValueError, "share=0: expected an integer >= 1, 'all', or two"),
        ({"share": "both"}, ValueError, "share='both': expected an integer >= 1, 'all', or two"),
        ({"share": (1, "rows")}, ValueError, "share=(1, 'rows'): expected"),
        ({"share": (1, 2, 3)}, ValueError, "share=(1, 2, 3): expected"),
        ({"share": 1.5}, TypeError, "share=1.5: expected"),
        (
            {"share": np.zeros((2, 2), int)},
            ValueError,
            "a sharing map of shape (2, 2): expected (6, 6)",
        ),
        ({"dtype": torch.int32}, TypeError, "dtype=torch.int32: expected a floating-point type"),
    ],
    ids=str,
)
def test_wrong_arguments(wrong: dict[str, Any], error: type[Exception], said: str) -> None:
    right: dict[str, Any] = {"in_channels": 4, "out_channels": 6, "kernel_size": 3, "input_size": 8}
    with pytest.raises(error) as caught:
        LocallyConnected2d(**right | wrong)
    assert str(caught.value).startswith("LocallyConnected2d: ")
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("shape", [(2, 1, 8, 8), (2, 3, 8, 9), (8, 8), (1, 2, 3, 8, 8), (3, 7, 8)])
def test_an_input_of_another_shape_is_refused(shape: tuple[int, ...]) -> None:
    layer = LocallyConnected2d(3, 1, 3, 8)
    with pytest.raises(ValueError, match=r"expected \(N, 3, 8, 8\) or \(3, 8, 8\)") as caught:
        layer(torch.zeros(shape))
    assert f"LocallyConnected2d: input of shape {shape}" in str(caught.value)


def test_an_input_on_another_device_is_refused() -> None:
    layer = LocallyConnected2d(2, 3, 3, (7, 8))
    with pytest.raises(ValueError, match="input is on meta but weight is on cpu: move one"):
        layer(torch.empty(1, 2, 7, 8, device="meta"))


def test_a_dtype_by_its_name_is_refused() -> None:
    with pytest.raises(TypeError, match=r"dtype='float32': expected a torch\.dtype"):
        LocallyConnected2d(2, 3, 3, (7, 8), dtype="float32")  # type: ignore[arg-type]


def test_an_input_of_another_dtype_is_refused() -> None:
    layer = LocallyConnected2d(3, 1, 3, 8)
    with pytest.raises(TypeError, match=r"input is torch\.float64 but weight is torch\.float32"):
        layer(torch.zeros(1, 3, 8, 8, dtype=torch.float64))


@pytest.mark.parametrize(
    ("change", "error", "said"),
    [
        ({"input": torch.zeros(8, 8)}, ValueError, "input of shape (8, 8): expected (N, C, H, W)"),
        ({"input": [[1.0]]}, TypeError, "input: expected a Tensor, got list"),
        ({"weight": torch.zeros(1, 1, 3, 3)}, ValueError, "weight of shape (1, 1, 3, 3): expected"),
        ({"weight": torch.zeros(6, 6, 4, 1, 3, 3)}, ValueError, "expected outputs divisible by"),
        ({"groups": 2}, ValueError, "with groups=2: expected outputs divisible by groups and 2/"),
        ({"share": 2}, ValueError, "has 6×6 kernels, but share=(2, 2) makes 3×3 blocks of the 6×6"),
        ({"bias": torch.zeros(6, 4)}, ValueError, "bias of shape (6, 4): expected (6, 6, 4)"),
        ({"bias": 1.0}, TypeError, "bias: expected a Tensor, got float"),
        ({"padding": "odd"}, ValueError, "padding='odd': expected"),
        ({"stride": "2"}, TypeError, "stride='2': expected"),
    ],
    ids=str,
)
def test_the_function_refuses_what_does_not_belong_together(
    change: dict[str, Any], error: type[Exception], said: str
) -> None:
    right = {"input": torch.zeros(1, 2, 8, 8), "weight": torch.zeros(6, 6, 4, 2, 3, 3)}
    with pytest.raises(error) as caught:
        locally_connected2d(**right | change)
    assert str(caught.value).startswith("locally_connected2d: ")
    assert said in str(caught.value)


@pytest.mark.slow
def test_inductor_code_equals_eager(layer: LocallyConnected2d) -> None:
    torch._dynamo.reset()
    compiled = torch.compile(layer, fullgraph=True)
    x = torch.randn(3, 2, 7, 8)
    torch.testing.assert_close(compiled(x), layer(x), **CLOSE[torch.float32])


def test_geometry_imports_no_torch() -> None:
    script = "import sys, striate.geometry; print('torch' in sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    assert re.fullmatch(r"False\s*", done.stdout)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::FutureWarning")
def test_onnx_gives_the_same_at_any_batch_size(layer: LocallyConnected2d, tmp_path: Path) -> None:
    pytest.importorskip("onnxscript")
    runtime = pytest.importorskip("onnxruntime")
    file = tmp_path / "layer.onnx"
    batch = torch.export.Dim("batch")
    torch.onnx.export(
        layer.eval(),
        (torch.randn(2, 2, 7, 8),),
        file,
        dynamo=True,
        dynamic_shapes=({0: batch},),
        verbose=False,
    )
    session = runtime.InferenceSession(str(file))
    for size in (1, 7):
        x = torch.randn(size, 2, 7, 8)
        (out,) = session.run(None, {session.get_inputs()[0].name: x.numpy()})
        torch.testing.assert_close(torch.from_numpy(out), layer(x), **CLOSE[torch.float32])
