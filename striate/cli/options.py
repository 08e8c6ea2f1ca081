"""The options that several commands take."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import typer

from striate.version import __version__


def _version(asked: bool) -> None:
    if asked:
        typer.echo(f"striate {__version__}")
        raise typer.Exit


Version = Annotated[
    bool, typer.Option("--version", help="Print the version.", callback=_version, is_eager=True)
]
ModelArg = Annotated[
    list[str] | None,
    typer.Option(
        "--model-arg", metavar="KEY=VALUE", help="An argument of the model's factory; repeatable."
    ),
]
Split = Annotated[
    str | None, typer.Option(metavar="A/B/C", help="How to divide data that is not: 80/10/10.")
]
Device = Annotated[str, typer.Option(metavar="NAME", help="cpu, cuda, cuda:N or mps.")]


@dataclass(frozen=True)
class CommonOptions:
    """What every command takes."""

    quiet: Annotated[bool, typer.Option("--quiet", help="Print nothing but errors.")] = False
    json_: Annotated[
        bool,
        typer.Option(
            "--json", help="The result as JSON on standard output, all else on standard error."
        ),
    ] = False
    version: Version = False


@dataclass(frozen=True)
class ModelOptions:
    """How the model that is named gets its weights and arguments."""

    weights: Annotated[
        str | None,
        typer.Option(
            metavar="FILE",
            help="Weights: .safetensors, or a .pt/.pth state dict (nothing is unpickled).",
        ),
    ] = None
    weights_key: Annotated[
        str | None,
        typer.Option(metavar="KEY", help="Where in the --weights file the state dict is."),
    ] = None
    model_arg: ModelArg = None


@dataclass(frozen=True)
class PreprocessingOptions:
    """From stored pictures to what the network sees."""

    size: Annotated[
        str | None, typer.Option(metavar="HxW", help="Resize pictures to rows x columns.")
    ] = None
    mean: Annotated[
        str | None,
        typer.Option(metavar="A,B,C", help="Mean per channel; default: that of the training rows."),
    ] = None
    std: Annotated[
        str | None, typer.Option(metavar="A,B,C", help="Standard deviation per channel, likewise.")
    ] = None
    channels: Annotated[
        str | None, typer.Option(metavar="rgb|bgr|grey", help="Channels of pictures.")
    ] = None
    layout: Annotated[
        str | None, typer.Option(metavar="CxHxW", help="The map that flat data hold.")
    ] = None
    transform: Annotated[
        str | None,
        typer.Option(metavar="MODULE:FN", help="A function of a batch, before mean and std."),
    ] = None
