"""From stored pixels to what a network sees: scaling, the user's transform, mean and standard deviation."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, cast

import numpy as np
import torch
from torch import Tensor

from striate.errors import RequestError
from striate.sources.imports import load_callable, running
from striate.sources.names import by_likeness, dimensions

Channels = Literal["rgb", "bgr", "grey"]
CHANNELS: tuple[Channels, ...] = ("rgb", "bgr", "grey")
Layout = tuple[int, int, int]
TensorFunction = Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class PreprocessOptions:
    """What was asked for; None where the data decides.

    `size` is (rows, columns) to resize to; `mean` and `std` have one entry or one per channel, in the units the
    network sees (8-bit pixels are first divided by 255); `layout` is (channels, rows, columns) of flat data;
    `transform` names a function of a batch (see `Preprocess`).
    """

    size: tuple[int, int] | None = None
    mean: tuple[float, ...] | None = None
    std: tuple[float, ...] | None = None
    channels: Channels | None = None
    layout: Layout | None = None
    transform: str | None = None

    @classmethod
    def parse(
        cls,
        *,
        size: str | None = None,
        mean: str | None = None,
        std: str | None = None,
        channels: str | None = None,
        layout: str | None = None,
        transform: str | None = None,
    ) -> PreprocessOptions:
        """The options as written on a command line.

        >>> PreprocessOptions.parse(size="32x48", mean="0.5,0.4,0.3", channels="grey").size
        (32, 48)
        """
        rows_columns = (
            None if size is None else _whole_numbers(size, 2, "--size", "HxW, such as 32x32")
        )
        c_h_w = (
            None
            if layout is None
            else _whole_numbers(layout, 3, "--layout", "CxHxW, such as 1x28x28")
        )
        if channels is not None and channels not in CHANNELS:
            likely = ", ".join(by_likeness(channels, CHANNELS))
            raise RequestError(f"--channels {channels}: expected one of {likely}")
        return cls(
            size=cast("tuple[int, int] | None", rows_columns),
            mean=None if mean is None else _numbers(mean, "--mean", positive=False),
            std=None if std is None else _numbers(std, "--std", positive=True),
            channels=channels,
            layout=cast("Layout | None", c_h_w),
            transform=transform,
        )


def _whole_numbers(text: str, count: int, option: str, expected: str) -> tuple[int, ...]:
    parts = text.lower().split("x")
    if len(parts) != count or not all(
        part.isascii() and part.isdigit() and int(part) for part in parts
    ):
        raise RequestError(f"{option} {text}: expected {expected}")
    return tuple(int(part) for part in parts)


def _numbers(text: str, option: str, *, positive: bool) -> tuple[float, ...]:
    expected = "one number, or one for each channel separated by commas"
    try:
        values = tuple(float(part) for part in text.split(","))
    except ValueError:
        raise RequestError(f"{option} {text}: expected {expected}") from None
    if not all(math.isfinite(value) for value in values) or (positive and min(values) <= 0):
        kind = "above zero" if positive else "finite"
        raise RequestError(f"{option} {text}: expected {expected}, all {kind}")
    return values


@dataclass(frozen=True)
class Preprocess:
    """How stored values become a network's input: `(transform(stored * scale) - mean) / std`.

    `mean` and `std` have one entry, or one for each channel. The transform takes a batch, float32 of shape
    `(N, *stored_shape)`, and gives one of the same length; it must treat examples one by one and always alike.
    `size` and `channels` were applied when the data were read and are kept for the record.
    """

    scale: float
    mean: tuple[float, ...] = (0.0,)
    std: tuple[float, ...] = (1.0,)
    size: tuple[int, int] | None = None
    channels: Channels | None = None
    layout: Layout | None = None
    transform: str | None = None
    function: TensorFunction | None = field(default=None, repr=False, compare=False)

    def __call__(self, stored: Tensor) -> Tensor:
        """A batch of stored values, any dtype, as the network sees it: float32."""
        return self.normalise(self.transformed(self.scaled(stored)))

    def scaled(self, stored: Tensor) -> Tensor:
        values = stored.to(torch.float32)
        return values if self.scale == 1.0 else values * self.scale

    def transformed(self, values: Tensor) -> Tensor:
        if self.function is None:
            return values
        return call_on_batch(self.function, f"--transform {self.transform}", values)

    def normalise(self, values: Tensor) -> Tensor:
        if self.mean == (0.0,) and self.std == (1.0,):
            return values
        return (values - self._spread(self.mean, values)) / self._spread(self.std, values)

    def _spread(self, entries: tuple[float, ...], values: Tensor) -> Tensor:
        row = torch.tensor(entries, dtype=torch.float32)
        if len(entries) == 1:
            return row
        if values.ndim == 2:  # flat, by its layout: a channel's values lie together
            return row.repeat_interleave(values.shape[1] // len(entries))
        return row.view(-1, *[1] * (values.ndim - 2))

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON."""
        return {
            "scale": self.scale,
            "mean": list(self.mean),
            "std": list(self.std),
            "size": None if self.size is None else list(self.size),
            "channels": self.channels,
            "layout": None if self.layout is None else list(self.layout),
            "transform": self.transform,
        }

    def options(self) -> PreprocessOptions:
        """The options that give this preprocessing again, whatever the data."""
        return PreprocessOptions(
            self.size, self.mean, self.std, self.channels, self.layout, self.transform
        )


def options_from_dict(document: Mapping[str, Any]) -> PreprocessOptions:
    """The options that `Preprocess.to_dict` wrote.

    >>> options_from_dict(Preprocess(scale=1 / 255, mean=(0.5,)).to_dict()).mean
    (0.5,)
    """

    def entries(name: str) -> tuple[Any, ...] | None:
        value = document.get(name)
        return None if value is None else tuple(value)

    return PreprocessOptions(
        size=entries("size"),
        mean=entries("mean"),
        std=entries("std"),
        channels=document.get("channels"),
        layout=cast("Layout | None", entries("layout")),
        transform=document.get("transform"),
    )


def call_on_batch(
    function: Callable[..., object], what: str, values: Tensor, *arguments: object
) -> Tensor:
    """`function(values, ...)`, a user's, checked: finite float32 and as many examples as went in."""
    with running(what):
        result = function(values, *arguments)
    if not isinstance(result, Tensor):
        raise RequestError(f"{what}: returned a {type(result).__name__}; expected a tensor")
    if result.ndim < 2 or len(result) != len(values):
        raise RequestError(
            f"{what}: made {dimensions(result.shape)} of {dimensions(values.shape)};"
            " expected a batch of as many examples"
        )
    result = result.to(torch.float32)
    if not bool(torch.isfinite(result).all()):
        raise RequestError(f"{what}: returned NaN or Inf")
    return result


def load_transform(text: str, example: Tensor) -> TensorFunction:
    """The function `--transform` names, tried on two scaled examples: it must be deterministic."""
    what = f"--transform {text}"
    function = cast("TensorFunction", load_callable(text, "--transform"))
    once = call_on_batch(function, what, example.clone())
    again = call_on_batch(function, what, example.clone())
    alone = call_on_batch(function, what, example[:1].clone())
    same = once.shape == again.shape and alone.shape == once[:1].shape
    if not same or not torch.equal(once, again) or not torch.allclose(alone, once[:1], atol=1e-4):
        raise RequestError(
            f"{what}: gives the same example different values from call to call or in another batch;"
            " random changes belong to --augment"
        )
    return function


@dataclass(frozen=True)
class Augment:
    """How training rows are varied: `flip-crop`, or a user's function of (batch, numpy Generator).

    The user's function takes float32 of shape `(N, *shape)`, scaled but not yet transformed or normalised.
    """

    text: str
    function: Callable[..., object] | None = None

    def __call__(
        self, stored: Tensor, preprocess: Preprocess, generator: np.random.Generator
    ) -> Tensor:
        """A batch of stored values as the network sees it, varied."""
        if self.function is None:
            return preprocess(flip_crop(stored, generator))
        scaled = preprocess.scaled(stored)
        varied = call_on_batch(self.function, f"--augment {self.text}", scaled, generator)
        if varied.shape != scaled.shape:
            raise RequestError(
                f"--augment {self.text}: made {dimensions(varied.shape)} of"
                f" {dimensions(scaled.shape)}; expected the same shape"
            )
        return preprocess.normalise(preprocess.transformed(varied))


def load_augment(text: str, shape: Sequence[int]) -> Augment | None:
    """What `--augment` asks for on examples of `shape`: None for `none`."""
    if text == "none":
        return None
    if text == "flip-crop":
        if len(shape) != 3:
            raise RequestError("--augment flip-crop: needs images, and these data are flat")
        return Augment(text)
    if ":" not in text:
        likely = ", ".join(by_likeness(text, ["none", "flip-crop"]))
        raise RequestError(f"--augment {text}: expected {likely} or package.module:fn")
    return Augment(text, load_callable(text, "--augment"))


def flip_crop(images: Tensor, generator: np.random.Generator, border: int = 4) -> Tensor:
    """Each image mirrored left to right with probability 1/2 and shifted by up to `border` rows and columns.

    What moves in from outside is zero. Shape `(N, C, H, W)` in and out, any dtype.

    >>> flip_crop(torch.ones(2, 1, 8, 8), np.random.default_rng(0)).shape
    torch.Size([2, 1, 8, 8])
    """
    count, _, rows, columns = images.shape
    padded = torch.nn.functional.pad(images, (border,) * 4)
    top, left = torch.from_numpy(generator.integers(0, 2 * border + 1, size=(2, count)))
    mirrored = torch.from_numpy(generator.random(count) < 0.5)
    across = torch.arange(columns)
    column = torch.where(mirrored[:, None], across.flip(0), across) + left[:, None]
    row = torch.arange(rows) + top[:, None]
    which = torch.arange(count)[:, None, None]
    picked = padded.permute(0, 2, 3, 1)[which, row[:, :, None], column[:, None, :]]
    return picked.permute(0, 3, 1, 2)
