"""What the locally connected layers have in common: sizes, parameters, saved states, laziness."""

from __future__ import annotations

import math
from typing import Any, ClassVar, Self, cast

import torch
from torch import Tensor, nn
from torch.nn.modules.lazy import LazyModuleMixin
from torch.nn.parameter import UninitializedParameter, is_lazy

from striate.geometry import LocalGrid, SharingMap, integer
from striate.geometry.sharing import is_map
from striate.nn import checks, saved
from striate.ops import local as operators
from striate.ops.backend import Backend
from striate.ops.on_grid import Layer


class LocalLayer(nn.Module):
    """The base of a layer whose kernels stand at positions; a family gives grid, shapes and function."""

    axes: ClassVar[int]
    #: Whether the grid's windows lie on the output.
    transposed: ClassVar[bool] = False
    #: The parameters besides `bias`.
    weights: tuple[str, ...] = ("weight",)
    #: What `bias=True` stores one for.
    bias_per: ClassVar[str] = "block"
    #: Of the layout of a saved state; `migrate` brings older ones up to it.
    _version = 1

    in_channels: int
    out_channels: int
    groups: int
    input_size: tuple[int, ...]
    output_size: tuple[int, ...]
    kernel_size: tuple[int, ...]
    stride: tuple[int, ...]
    dilation: tuple[int, ...]
    blocks: tuple[int, ...]
    share: Any
    weight: nn.Parameter
    bias: nn.Parameter | None
    sharing_map: Tensor | None
    _layer: Layer
    _made: tuple[object, ...]
    #: What a state that was loaded before the sizes were known says of its sharing.
    _loaded: dict[str, Any] | None = None

    def _set_up(
        self,
        in_channels: object,
        out_channels: object,
        input_size: object,
        groups: object,
        bias: object,
        device: checks.Device,
        dtype: torch.dtype | None,
    ) -> None:
        """Check what was asked for and make the parameters; a lazy layer does the rest with its input."""
        lazy = isinstance(self, LazyModuleMixin)
        with checks.named(type(self).__name__):
            self.in_channels = 0 if lazy else integer("in_channels", in_channels)
            self.out_channels = integer("out_channels", out_channels)
            self.groups = integer("groups", groups)
            if is_map(self.share):
                self.share = SharingMap.of(self.share)
            # Nothing of a lazy layer's arguments waits for the input but how they fit it.
            grid = self._probe() if lazy else self._grid(input_size)
            checks.groups_divide(self.in_channels, self.out_channels, self.groups)
            checks.bias_and_dtype(bias, dtype, self.bias_per)
            checks.place(device)
            self.kernel_size, self.stride, self.dilation = (
                grid.kernel_size,
                grid.stride,
                grid.dilation,
            )
            self.bias_form = bias
            shapes: dict[str, tuple[int, ...]] = {}
            if not lazy:
                shapes = self._settle(grid)
                for name, shape in shapes.items():
                    checks.memory(name, shape, device, dtype)
                self._check_maps(device, dtype)
        for name in (*self.weights, "bias"):
            if name == "bias" and bias is False:
                self.register_parameter("bias", None)
            elif lazy:
                # torch.nn's stubs leave out its arguments and that it is a Parameter.
                self.register_parameter(
                    name, cast(Any, UninitializedParameter)(device=device, dtype=dtype)
                )
            else:
                tensor = torch.empty(shapes[name], device=device, dtype=dtype)
                self.register_parameter(name, nn.Parameter(tensor))
        numbers = self.share.array if isinstance(self.share, SharingMap) else None
        self.register_buffer(
            "sharing_map",
            None if numbers is None else torch.tensor(numbers, dtype=torch.int32, device=device),
        )
        if not lazy:
            self.reset_parameters()

    # -- what a family gives -------------------------------------------------------------------

    def _grid(self, input_size: object) -> LocalGrid:
        """The grid for inputs of a size, from the arguments that the layer was made with."""
        raise NotImplementedError

    def _probe(self) -> LocalGrid:
        """The grid for some inputs that every valid set of arguments fits."""
        raise NotImplementedError

    def _shapes(self, grid: LocalGrid) -> dict[str, tuple[int, ...]]:
        """The shape of each parameter and of the bias, present or not."""
        raise NotImplementedError

    def _positions(self, grid: LocalGrid) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """The sizes of the layer's input and output."""
        return grid.input_size, grid.output_size

    # -- sizes ---------------------------------------------------------------------------------

    @property
    def grid(self) -> LocalGrid:
        """The integers of the layer: `striate.geometry.LocalGrid`."""
        return self._grid(self.input_size)

    def _settle(self, grid: LocalGrid) -> dict[str, tuple[int, ...]]:
        """Take over a grid's sizes; the shapes of the parameters on it."""
        self.input_size, self.output_size = self._positions(grid)
        self.share = grid.share if grid.sharing is None else grid.sharing
        self.blocks = grid.blocks
        self._layer, self._made = Layer(grid, self.groups), self._arguments()
        shapes = self._shapes(grid)
        if self.bias_form == "channel":
            shapes["bias"] = (self.out_channels,)
        elif self.bias_form is False:
            del shapes["bias"]
        return shapes

    def _check_maps(self, device: checks.Device, dtype: torch.dtype | None) -> None:
        """Refuse, before the first byte is asked for, a layer that cannot run on one example."""
        checks.maps(
            self._layer.grid,
            self.in_channels,
            self.out_channels,
            device,
            dtype,
            transposed=self.transposed,
        )

    def _arguments(self) -> tuple[object, ...]:
        """What the grid was made from; whoever sets one of these afterwards gets another grid."""
        asked = self.kernel_size, self.stride, self.dilation, self.groups, self.share
        return *asked, self.__dict__.get("padding"), self.__dict__.get("padding_mode")

    def _check_input(self, input: Tensor) -> None:
        checks.dense(type(self).__name__, "input", input)
        expected = (self.in_channels, *self.input_size)
        if input.dim() in (self.axes + 1, self.axes + 2) and (
            tuple(input.shape[-self.axes - 1 :]) == expected
        ):
            return
        sizes = ", ".join(map(str, expected))
        raise ValueError(
            f"{type(self).__name__}: input of shape {tuple(input.shape)}: expected (N, {sizes}) or "
            f"({sizes}), as in_channels={self.in_channels} and input_size={self.input_size} say"
        )

    def backend(self, input: Tensor) -> Backend:
        """What computes the layer for this input here and now, and why.

        `name` is "cpu" (the compiled kernels) or "reference" (plain PyTorch), `reason` says what stands
        in the way of the kernels, and what to do about it.

        >>> from striate.nn import LocallyConnected1d
        >>> layer = LocallyConnected1d(1, 4, 3, input_size=9, dtype=torch.float64)
        >>> layer.backend(torch.rand(2, 1, 9, dtype=torch.float64)).name
        'reference'
        """
        if is_lazy(self.weight):
            raise ValueError(
                f"{type(self).__name__}.backend: the layer knows no sizes yet: call it with an input first"
            )
        self._check_input(input)
        return self._backend(input)

    def _backend(self, input: Tensor) -> Backend:
        return operators.backend(input, self.weight, self.bias, self.grid)

    def reset_parameters(self) -> None:
        """Draw weight and bias anew, uniform in ±1/sqrt(fan-in of a window), as `nn.Conv2d` does."""
        bound = 1 / math.sqrt(math.prod(self.weight.shape[-self.axes - 1 :]))
        nn.init.uniform_(self.weight, -bound, bound)
        if self.bias is not None:
            nn.init.uniform_(self.bias, -bound, bound)
        if self.sharing_map is not None:  # after `to_empty`, it holds anything
            self.sharing_map.copy_(torch.tensor(self.share.array, dtype=torch.int32))

    # -- to and from convolutions --------------------------------------------------------------

    @classmethod
    def from_conv(
        cls, conv: nn.Module, input_size: Any, share: Any = 1, *, bias: bool | str = True
    ) -> Self:
        """The layer that computes what a convolution does: `striate.nn.convert.from_conv`."""
        from striate.nn.convert import from_conv  # which is made of the layers

        layer = from_conv(conv, input_size, share, bias=bias)
        if not isinstance(layer, cls):
            raise TypeError(
                f"{cls.__name__}.from_conv: conv={type(conv).__name__}: that is a {type(layer).__name__}"
            )
        return layer

    def to_conv(self) -> nn.Module:
        """The convolution of a layer with one kernel for all: `striate.nn.convert.to_conv`."""
        from striate.nn.convert import to_conv

        return to_conv(self)

    # -- saved states --------------------------------------------------------------------------

    @classmethod
    def migrate(cls, state: dict[str, Tensor], version: int) -> None:
        """Bring the layer's entries of a saved state from `version` to the class's, in place.

        Called by `load_state_dict` for a state of an older version. So far there is only one layout.
        """

    def _save_to_state_dict(
        self, destination: dict[str, Any], prefix: str, keep_vars: bool
    ) -> None:
        super()._save_to_state_dict(destination, prefix, keep_vars)
        # A lazy layer has no sharing yet, and a destination of the caller's own no metadata.
        if self.in_channels and hasattr(destination, "_metadata"):
            destination._metadata[prefix[:-1]][saved.KEY] = saved.record(self.grid)

    def _load_from_state_dict(
        self,
        state_dict: dict[str, Any],
        prefix: str,
        local_metadata: dict[str, Any],
        strict: bool,
        missing_keys: list[str],
        unexpected_keys: list[str],
        error_msgs: list[str],
    ) -> None:
        # Files without metadata (safetensors) hold today's layout.
        version = local_metadata.get("version") or self._version
        sharing = local_metadata.get(saved.KEY)
        refusal = self._refusal(state_dict, prefix, version, sharing)
        if refusal is not None:  # the layer is left as it was
            error_msgs.append(refusal)
            return
        if version < self._version:
            names = [key for key in state_dict if key.startswith(prefix)]
            own = {name[len(prefix) :]: state_dict.pop(name) for name in names}
            self.migrate(own, version)
            state_dict.update({prefix + name: tensor for name, tensor in own.items()})
        self._loaded = None if self.in_channels else sharing
        super()._load_from_state_dict(
            state_dict,
            prefix,
            local_metadata,
            strict,
            missing_keys,
            unexpected_keys,
            error_msgs,
        )

    def _refusal(
        self,
        state: dict[str, Any],
        prefix: str,
        version: int,
        sharing: dict[str, Any] | None,
    ) -> str | None:
        """Why a saved state cannot be the layer's, or None where it can, so far as it says."""
        if version > self._version:
            return (
                f"{prefix or type(self).__name__}: the saved state is of version {version}, this "
                f"striate knows up to {self._version}: load it with a newer striate"
            )
        numbers = state.get(f"{prefix}sharing_map")
        if numbers is not None and isinstance(self.share, SharingMap):
            ours = torch.tensor(self.share.array, dtype=torch.int32)
            if not numbers.is_meta and not torch.equal(numbers.cpu().to(torch.int32), ours):
                return (
                    f"{prefix}sharing_map: the saved weights belong to another sharing map; make the "
                    "layer with share=the saved map"
                )
        if sharing is not None and self.in_channels:
            other = saved.mismatch(sharing, self.grid)
            if other is not None:
                return f"{prefix}weight: {_of_other_blocks(other)}"
        return None

    # -- in words ------------------------------------------------------------------------------

    def _described(self, **options: tuple[object, object]) -> str:
        """The text of `extra_repr`; of the options (value, default) those that differ."""
        settled = bool(self.in_channels)
        parts = [
            f"{self.in_channels}, {self.out_channels}" if settled else f"{self.out_channels}",
            f"kernel_size={self.kernel_size}",
            *([f"input_size={self.input_size}"] if settled else []),
            f"stride={self.stride}",
        ]
        ones = (1,) * self.axes
        options = options | {"dilation": (self.dilation, ones), "groups": (self.groups, 1)}
        for name, (value, default) in options.items():
            if value != default and value != (default,) * self.axes:
                parts.append(f"{name}={value!r}")
        if self.bias_form is not True:
            parts.append(f"bias={self.bias_form!r}")
        share = self.share
        if settled and not isinstance(share, SharingMap):
            counts = self.grid.output_size
            share = tuple(
                "all" if size == count else size for size, count in zip(share, counts, strict=True)
            )
        parts.append(f"share={share}")
        return ", ".join(parts)


def _of_other_blocks(mismatch: str) -> str:
    return (
        f"the saved kernels belong to other positions: {mismatch}; make the layer as it was saved and change its "
        "sharing with striate.nn.convert.lift or project, or load dict(state), which is not asked where it belongs"
    )


class LazyLocal(LazyModuleMixin):
    """Makes a locally connected layer take `in_channels` and `input_size` from its first input."""

    def reset_parameters(self) -> None:
        if not self.has_uninitialized_params():  # type: ignore[misc]
            super().reset_parameters()  # type: ignore[misc]

    def initialize_parameters(self, input: Tensor) -> None:
        """Take the sizes over from an input and make the parameters, as `LazyModuleMixin` asks."""
        layer = cast(LocalLayer, self)
        axes = layer.axes
        who = type(self).__name__
        checks.dense(who, "input", input)
        if input.dim() not in (axes + 1, axes + 2):
            letters = checks.LETTERS[axes]
            raise ValueError(
                f"{who}: input of shape {tuple(input.shape)}: expected (N, C, {letters}) or "
                f"(C, {letters})"
            )
        with checks.named(who):
            channels = integer("in_channels", int(input.shape[-axes - 1]))
            checks.groups_divide(channels, layer.out_channels, layer.groups)
            grid = layer._grid(tuple(input.shape[-axes:]))
            asked = layer.share
            layer.in_channels = channels
            try:
                shapes = layer._settle(grid)
                self._take(layer, shapes)
            except ValueError:  # the next input may fit
                layer.in_channels, layer.share = 0, asked
                raise

    @staticmethod
    def _take(layer: LocalLayer, shapes: dict[str, tuple[int, ...]]) -> None:
        fresh = []
        for name, shape in shapes.items():
            parameter = getattr(layer, name)
            if is_lazy(parameter):
                checks.memory(name, shape, parameter.device, parameter.dtype)
                fresh.append(name)
            elif tuple(parameter.shape) != shape:  # came from a saved state
                raise ValueError(
                    f"{name}: the loaded one has shape {tuple(parameter.shape)}, but the input makes it "
                    f"{shape}"
                )
        other = None if layer._loaded is None else saved.mismatch(layer._loaded, layer.grid)
        if other is not None:
            raise ValueError(f"weight: {_of_other_blocks(other)}")
        layer._check_maps(layer.weight.device, layer.weight.dtype)
        for name in fresh:
            getattr(layer, name).materialize(shapes[name])
        if fresh:
            layer.reset_parameters()
