"""Weights of other libraries, against what those libraries define, in plain loops."""

from __future__ import annotations

from itertools import product
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from striate.nn.convert import from_gist, from_jax, from_keras

Array = NDArray[np.float64]
RANDOM = np.random.default_rng(0)


def keras(x: Array, kernel: Array, bias: Array, taps: Any, strides: Any, data_format: str) -> Array:
    """Keras 2, `implementation=1`: at each position the slice of the input, flattened as it lies, times
    that position's matrix; the bias added, reshaped for channels first."""
    first = data_format == "channels_first"
    sizes, filters = x.shape[2:] if first else x.shape[1:-1], kernel.shape[2]
    outputs = tuple((n - k) // s + 1 for n, k, s in zip(sizes, taps, strides, strict=True))
    shape = (len(x), filters, *outputs) if first else (len(x), *outputs, filters)
    out = np.zeros(shape)
    for number, position in enumerate(product(*map(range, outputs))):
        window = tuple(
            slice(p * s, p * s + k) for p, s, k in zip(position, strides, taps, strict=True)
        )
        for n in range(len(x)):
            flat = (x[(n, slice(None), *window)] if first else x[(n, *window)]).reshape(-1)
            for f in range(filters):
                value = sum(flat[i] * kernel[number, i, f] for i in range(len(flat)))
                out[(n, f, *position) if first else (n, *position, f)] = value
    return out + (bias.reshape(1, filters, *outputs) if first else bias[None])


@pytest.mark.parametrize("data_format", ["channels_last", "channels_first"])
@pytest.mark.parametrize(
    ("sizes", "taps", "strides"), [((6, 5), (3, 2), (1, 2)), ((9,), (4,), (2,))], ids=["2d", "1d"]
)
def test_keras(data_format: str, sizes: Any, taps: Any, strides: Any) -> None:
    channels, filters = 3, 4
    outputs = tuple((n - k) // s + 1 for n, k, s in zip(sizes, taps, strides, strict=True))
    kernel = RANDOM.normal(size=(int(np.prod(outputs)), int(np.prod(taps)) * channels, filters))
    bias = RANDOM.normal(size=(*outputs, filters))
    layer = from_keras(
        kernel, bias, kernel_size=taps, input_size=sizes, strides=strides, data_format=data_format
    )
    x = RANDOM.normal(size=(2, channels, *sizes))
    given = x if data_format == "channels_first" else np.moveaxis(x, 1, -1)
    expected = keras(given, kernel, bias, taps, strides, data_format)
    if data_format == "channels_last":
        expected = np.moveaxis(expected, -1, 1)
    np.testing.assert_allclose(layer(torch.from_numpy(x)).detach().numpy(), expected, atol=1e-10)
    bare = from_keras(
        kernel, kernel_size=taps, input_size=sizes, strides=strides, data_format=data_format
    )
    assert bare.bias is None
    assert bare.weight.equal(layer.weight)
    assert bare.state_dict().keys() == {"weight"}
    assert "bias=False" in repr(bare)


def jax(x: Array, rhs: Array, taps: Any, strides: Any, pads: Any, dilation: Any) -> Array:
    """conv_general_dilated_local in NCHW: rhs (O, C * taps, *outputs), the channel before the taps."""
    batch, channels, *sizes = x.shape
    outputs = rhs.shape[2:]
    out = np.zeros((batch, rhs.shape[0], *outputs))
    for position in product(*map(range, outputs)):
        for feature, (c, *tap) in enumerate(product(range(channels), *map(range, taps))):
            at = [
                p * s - low + t * d
                for p, s, (low, _), t, d in zip(position, strides, pads, tap, dilation, strict=True)
            ]
            if all(0 <= i < n for i, n in zip(at, sizes, strict=True)):
                for o in range(rhs.shape[0]):
                    out[(slice(None), o, *position)] += (
                        x[(slice(None), c, *at)] * rhs[(o, feature, *position)]
                    )
    return out


JAX: list[tuple[Any, ...]] = [
    # sizes, taps, strides, padding as given, as pairs, dilation
    ((6, 5), (3, 2), (1, 2), "VALID", ((0, 0), (0, 0)), (1, 1)),
    ((6, 5), (3, 2), (1, 1), "SAME", ((1, 1), (0, 1)), (1, 1)),
    ((5, 5), (3, 3), (2, 2), "SAME", ((1, 1), (1, 1)), (1, 1)),
    ((7,), (3,), (1,), ((2, 2),), ((2, 2),), (2,)),
    (
        (3, 4, 3),
        (2, 1, 2),
        (1, 1, 1),
        ((1, 1), (0, 0), (0, 0)),
        ((1, 1), (0, 0), (0, 0)),
        (1, 1, 1),
    ),
]


@pytest.mark.parametrize(("sizes", "taps", "strides", "padding", "pads", "dilation"), JAX)
def test_jax(sizes: Any, taps: Any, strides: Any, padding: Any, pads: Any, dilation: Any) -> None:
    outputs = tuple(
        (n + sum(p) - d * (k - 1) - 1) // s + 1
        for n, p, d, k, s in zip(sizes, pads, dilation, taps, strides, strict=True)
    )
    rhs = RANDOM.normal(size=(4, 3 * int(np.prod(taps)), *outputs))
    x = RANDOM.normal(size=(2, 3, *sizes))
    options = {
        "filter_shape": taps,
        "input_size": sizes,
        "window_strides": strides,
        "padding": padding,
        "rhs_dilation": dilation,
    }
    expected = jax(x, rhs, taps, strides, pads, dilation)
    layer = from_jax(rhs, **options)
    np.testing.assert_allclose(layer(torch.from_numpy(x)).detach().numpy(), expected, atol=1e-10)
    axes = len(sizes)
    spec = "DHW"[3 - axes :] + "IO"
    turned = from_jax(np.moveaxis(rhs, (0, 1), (-1, -2)), **options, rhs_spec=spec)
    assert turned.weight.equal(layer.weight)
    bias = RANDOM.normal(size=(4, *outputs))
    with_bias = from_jax(rhs, bias, **options)
    np.testing.assert_allclose(
        with_bias(torch.from_numpy(x)).detach().numpy(), expected + bias, atol=1e-10
    )
    per_channel = from_jax(rhs, bias.reshape(4, -1)[:, 0].copy(), **options)
    assert per_channel.bias is not None
    assert per_channel.bias.shape == (*outputs, 4)


def test_jax_itself_where_it_is_installed() -> None:
    library = pytest.importorskip("jax")
    for sizes, taps, strides, padding, pads, dilation in JAX:
        outputs = tuple(
            (n + sum(p) - d * (k - 1) - 1) // s + 1
            for n, p, d, k, s in zip(sizes, pads, dilation, taps, strides, strict=True)
        )
        rhs = RANDOM.normal(size=(4, 3 * int(np.prod(taps)), *outputs)).astype("float32")
        x = RANDOM.normal(size=(2, 3, *sizes)).astype("float32")
        theirs = library.lax.conv_general_dilated_local(
            x, rhs, strides, padding, taps, rhs_dilation=dilation
        )
        layer = from_jax(
            rhs,
            filter_shape=taps,
            input_size=sizes,
            window_strides=strides,
            padding=padding,
            rhs_dilation=dilation,
        )
        ours = layer(torch.from_numpy(x)).detach().numpy()
        np.testing.assert_allclose(ours, np.asarray(theirs), atol=1e-4)


def gist(x: Array, weight: Array, kernel: int, stride: int) -> Array:
    """(unfolded input[:, None] * weight).sum([2, -1]), with square windows flattened."""
    _, outputs, channels, rows, columns, _ = weight.shape
    out = np.zeros((len(x), outputs, rows, columns))
    for n, o, c, i, j, a, b in product(
        range(len(x)),
        range(outputs),
        range(channels),
        range(rows),
        range(columns),
        range(kernel),
        range(kernel),
    ):
        tap = x[n, c, i * stride + a, j * stride + b]
        out[n, o, i, j] += tap * weight[0, o, c, i, j, a * kernel + b]
    return out


@pytest.mark.parametrize(
    ("stride", "padding", "pads"),
    [
        (2, 0, (0, 0)),
        (2, 1, (1, 1)),
        (1, (2, 0), (2, 0)),
        (1, "same", (1, 1)),
        (1, "valid", (0, 0)),
    ],
)
def test_gist(stride: int, padding: Any, pads: tuple[int, int]) -> None:
    """The padding of the layer is that which was put around the module's input before."""
    kernel, height, width, channels, outputs = 3, 7, 9, 2, 4
    rows, columns = (
        (size + 2 * pad - kernel) // stride + 1
        for size, pad in zip((height, width), pads, strict=True)
    )
    weight = RANDOM.normal(size=(1, outputs, channels, rows, columns, kernel * kernel))
    bias = RANDOM.normal(size=(1, outputs, rows, columns))
    x = RANDOM.normal(size=(3, channels, height, width))
    padded = np.pad(x, ((0, 0), (0, 0), *((pad, pad) for pad in pads)))
    expected = gist(padded, weight, kernel, stride)
    options: dict[str, Any] = {"kernel_size": kernel, "stride": stride, "padding": padding}
    layer = from_gist(
        torch.from_numpy(weight), torch.from_numpy(bias), input_size=(height, width), **options
    )
    out = layer(torch.from_numpy(x)).detach().numpy()
    np.testing.assert_allclose(out, expected + bias, atol=1e-10)
    bare = from_gist(weight, input_size=(height, width), **options)
    np.testing.assert_allclose(bare(torch.from_numpy(x)).detach().numpy(), expected, atol=1e-10)


KERAS = {"kernel": np.zeros((36, 18, 5)), "kernel_size": 3, "input_size": (8, 8)}
LAX = {"rhs": np.zeros((5, 18, 6, 6)), "filter_shape": 3, "input_size": (8, 8)}
GIST = {"weight": np.zeros((1, 5, 2, 6, 6, 9)), "kernel_size": 3, "input_size": (8, 8)}


@pytest.mark.parametrize(
    ("make", "right", "wrong", "error", "said"),
    [
        (from_keras, KERAS, {"data_format": "NHWC"}, ValueError, "data_format='NHWC': expected"),
        (from_keras, KERAS, {"kernel": [[[1.0]]]}, TypeError, "kernel=list: expected an array"),
        (
            from_keras,
            KERAS,
            {"kernel": np.zeros((36, 18, 5), int)},
            TypeError,
            "kernel is torch.int64",
        ),
        (
            from_keras,
            KERAS,
            {"kernel": np.zeros((36, 18))},
            ValueError,
            "(36, 18): expected 3 axes",
        ),
        (from_keras, KERAS, {"kernel": np.zeros((35, 18, 5))}, ValueError, "expected (36, 18, 5)"),
        (
            from_keras,
            KERAS,
            {"kernel_size": 4},
            ValueError,
            "multiple of the 16 taps of kernel_size=4",
        ),
        (from_keras, KERAS, {"input_size": 8}, ValueError, "input_size=8: expected a tuple"),
        (from_keras, KERAS, {"bias": np.zeros((6, 6, 4))}, ValueError, "expected (6, 6, 5)"),
        (from_keras, KERAS, {"strides": 0}, ValueError, "from_keras: stride=0"),
        (from_jax, LAX, {"rhs": np.zeros((5, 18, 5, 6))}, ValueError, "expected (5, 18, 6, 6)"),
        (
            from_jax,
            LAX,
            {"padding": "HALF"},
            ValueError,
            "padding='HALF': expected 'SAME', 'VALID'",
        ),
        (
            from_jax,
            LAX,
            {"padding": ((0, 1), (0, 0))},
            ValueError,
            "the same on both sides of each axis",
        ),
        (
            from_jax,
            LAX,
            {"padding": "SAME", "window_strides": 2},
            ValueError,
            "padding='SAME', [(0, 1), (0, 1)]: expected the same on both sides",
        ),
        (from_jax, LAX, {"rhs_spec": "HWO"}, ValueError, "rhs_spec='HWO': expected 4 letters"),
        (from_jax, LAX, {"rhs_spec": "HWOC"}, ValueError, "with O and I, such as 'OIHW'"),
        (from_jax, LAX, {"bias": np.zeros((4,))}, ValueError, "bias of shape (4, 6, 6): expected"),
        (
            from_gist,
            GIST,
            {"weight": np.zeros((1, 5, 2, 6, 6, 8))},
            ValueError,
            "expected (1, 5, 2, 6, 6, 9)",
        ),
        (from_gist, GIST, {"bias": np.zeros((5, 6, 6))}, ValueError, "(5, 6, 6): expected 4 axes"),
        (from_gist, GIST, {"input_size": (8, 8, 8)}, ValueError, "kernel_size"),
        (
            from_gist,
            GIST,
            {"weight": torch.zeros(1, 5, 2, 6, 6, 9).to_sparse()},
            TypeError,
            "weight is torch.sparse_coo: expected a dense tensor",
        ),
        (from_gist, GIST, {"padding": 1}, ValueError, "expected (1, 5, 2, 8, 8, 9)"),
        (from_gist, GIST, {"padding": -1}, ValueError, "padding=-1: expected an integer >= 0"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_wrong_weights(
    make: Any, right: Any, wrong: Any, error: type[Exception], said: str
) -> None:
    with pytest.raises(error) as caught:
        make(**right | wrong)
    assert str(caught.value).startswith(make.__name__)
    assert said in str(caught.value)
