"""Weights from a file, put into a model. Nothing is ever unpickled."""

from __future__ import annotations

import pickle
import warnings
import zipfile
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor, nn

from striate.errors import RequestError
from striate.sources.names import dimensions, listing, nearest

WRAPPERS = ("state_dict", "model", "model_state_dict", "ema")
PREFIXES = ("module.", "_orig_mod.", "model.")
_TORCH_SUFFIXES = frozenset({".pt", ".pth", ".bin", ".ckpt", ".tar"})


def load_weights(model: nn.Module, path: str | Path, key: str | None = None) -> list[str]:
    """Put the weights of a `.safetensors` or `.pt`/`.pth` file into `model`, in place; returns notes for the user.

    A state dict inside a checkpoint is found under the usual names (`WRAPPERS`) or under `key` (dotted for
    deeper ones); prefixes that wrappers leave (`PREFIXES`) are taken off; both are said in the notes. Raises
    RequestError where the file is missing, damaged or pickled, where names or shapes do not match the model's
    (with the nearest names), and where weights are NaN or Inf. The model is unchanged then.
    """
    file = Path(path).expanduser()
    if file.is_dir():
        raise RequestError(
            f"--weights {path}: a directory; give the file in it, .safetensors, .pt or .pth"
        )
    if not file.is_file():
        raise RequestError(f"--weights {path}: no such file")
    if not file.stat().st_size:
        raise RequestError(f"--weights {path}: the file is empty; copy or save it again")
    notes: list[str] = []
    if file.suffix == ".safetensors":
        content: object = _read_safetensors(file)
    elif file.suffix in _TORCH_SUFFIXES:
        content = _read_torch(file)
    else:
        raise RequestError(
            f"--weights {path}: expected a .safetensors file, or a .pt or .pth state dict"
        )
    state = _state_dict(file, _selected(file, content, key, notes), notes)
    state = _without_prefixes(state, set(model.state_dict()), notes)
    _match(file, model, state, notes)
    _refuse_non_finite(state, {name for name, _ in model.named_parameters()}, f"--weights {path}")
    model.load_state_dict(state, strict=False)
    return notes


def refuse_non_finite(model: nn.Module, what: str) -> None:
    """RequestError where a parameter is NaN or Inf or a buffer NaN (a buffer may hold Inf: attention masks do)."""
    parameters = {name for name, _ in model.named_parameters()}
    _refuse_non_finite(model.state_dict(), parameters, what)


def _refuse_non_finite(state: Mapping[str, object], parameters: set[str], what: str) -> None:
    for name, values in state.items():
        if not isinstance(values, Tensor) or values.is_meta:
            continue
        if not (values.is_floating_point() or values.is_complex()):
            continue
        bad = torch.isnan(values)
        if name in parameters:
            bad = bad | torch.isinf(values)
        count = int(bad.sum())
        if count:
            raise RequestError(
                f"{what}: {name} holds NaN or Inf in {count:,} of {values.numel():,} places; expected finite"
                " weights"
            )


def _read_safetensors(file: Path) -> dict[str, Tensor]:
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        return load_file(file)
    except SafetensorError as error:
        raise RequestError(
            f"--weights {file}: not a readable .safetensors file ({error}); copy or save it again"
        ) from error
    except OSError as error:
        raise RequestError(
            f"--weights {file}: cannot be read ({error.strerror or error})"
        ) from error


def _read_torch(file: Path) -> object:
    if _is_torchscript(file):
        raise RequestError(
            f"--weights {file}: a TorchScript program, not a state dict; save one with"
            f" torch.save(torch.jit.load({str(file)!r}).state_dict(), {_converted(file)!r})"
        )
    try:
        with warnings.catch_warnings():
            # On old or foreign pickles torch warns, and then fails or not: that is what the user is told.
            warnings.simplefilter("ignore")
            return torch.load(file, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise _refused(file, error) from None
    except (RuntimeError, EOFError, OSError, ValueError, KeyError) as error:
        text = (str(error).splitlines() or [type(error).__name__])[0]
        raise RequestError(
            f"--weights {file}: damaged, or not a file that torch saved ({text}); copy or save it again"
        ) from error


def _is_torchscript(file: Path) -> bool:
    """Whether torch.load would run the file as a program."""
    try:
        with zipfile.ZipFile(file) as archive:
            return any(name.endswith("/constants.pkl") for name in archive.namelist())
    except (zipfile.BadZipFile, OSError):
        return False  # whatever it is, it is no such archive; reading it says what is wrong


def _converted(file: Path) -> str:
    return str(file.with_name(f"{file.stem}-weights.pt"))


def _refused(file: Path, error: pickle.UnpicklingError) -> RequestError:
    """Why `weights_only` did not load it: a pickled model or other objects, or bytes that are no pickle."""
    try:
        unsafe = torch.serialization.get_unsafe_globals_in_checkpoint(file)
    except (pickle.UnpicklingError, RuntimeError, ValueError, EOFError, KeyError, IndexError):
        unsafe = []
    if not unsafe and "Unsupported" not in str(error):
        return RequestError(
            f"--weights {file}: damaged, or not a file that torch saved; copy or save it again"
        )
    objects = listing(sorted(unsafe), most=3) or "objects"
    return RequestError(
        f"--weights {file}: pickled Python objects ({objects}), which striate never loads; where you trust"
        f" the file, convert it with these two lines of Python:"
        f" `model = torch.load({str(file)!r}, weights_only=False)` and"
        f" `torch.save(model.state_dict(), {_converted(file)!r})`"
        " (for a checkpoint, its state dict in place of model.state_dict())"
    )


def _selected(file: Path, content: object, key: str | None, notes: list[str]) -> object:
    """What lies under `key`, or under the usual names, one in another."""
    if key is not None:
        for step in [key] if isinstance(content, Mapping) and key in content else key.split("."):
            if not isinstance(content, Mapping) or step not in content:
                has = (
                    listing(content, 9) if isinstance(content, Mapping) else type(content).__name__
                )
                raise RequestError(
                    f"--weights-key {key}: {file} has no {step!r} there; it has {has}"
                )
            content = content[step]
    while isinstance(content, Mapping) and not _is_state_dict(content):
        found = [name for name in WRAPPERS if isinstance(content.get(name), Mapping)]
        if not found:
            break
        others = f"; it also has {listing(found[1:])} (--weights-key)" if len(found) > 1 else ""
        notes.append(f"weights are those under {found[0]!r} in {file.name}{others}")
        content = content[found[0]]
    return content


def _is_state_dict(content: Mapping[object, object]) -> bool:
    return bool(content) and all(isinstance(value, Tensor) for value in content.values())


def _state_dict(file: Path, content: object, notes: list[str]) -> dict[str, Tensor]:
    if isinstance(content, nn.Module):
        raise RequestError(f"--weights {file}: a whole module; save its state_dict()")
    if not isinstance(content, Mapping):
        raise RequestError(
            f"--weights {file}: holds a {type(content).__name__}; expected a state dict, names to tensors"
        )
    if not content:
        raise RequestError(f"--weights {file}: holds no weights")
    others = [str(name) for name, value in content.items() if not isinstance(value, Tensor)]
    if others:
        raise RequestError(
            f"--weights {file}: {listing(others)} are not tensors; select the state dict with"
            " --weights-key"
        )
    return {str(name): value for name, value in content.items()}


def _without_prefixes(
    state: dict[str, Tensor], names: set[str], notes: list[str]
) -> dict[str, Tensor]:
    """Prefixes off, one after another, where that makes more names match."""
    best, stripped = state, list[str]()
    tried, taken = state, list[str]()
    while True:
        prefix = next((p for p in PREFIXES if any(name.startswith(p) for name in tried)), None)
        if prefix is None:
            break
        tried = {name.removeprefix(prefix): value for name, value in tried.items()}
        taken = [*taken, prefix]
        if len(names & tried.keys()) > len(names & best.keys()):
            best, stripped = tried, taken
    if stripped:
        notes.append(f"prefix {' '.join(repr(prefix) for prefix in stripped)} taken off the names")
    if stripped and "n_averaged" in best and "n_averaged" not in names:
        # The counter that torch.optim.swa_utils.AveragedModel keeps beside its module.
        best = {name: value for name, value in best.items() if name != "n_averaged"}
    return best


def _match(file: Path, model: nn.Module, state: dict[str, Tensor], notes: list[str]) -> None:
    """RequestError where names or shapes differ."""
    own: dict[str, Tensor] = {
        name: value
        for name, value in model.state_dict(keep_vars=True).items()
        if isinstance(value, Tensor)
    }
    present = {id(own[name]) for name in state if name in own}
    missing = [
        name
        for name, value in own.items()
        # A tied weight may be stored under one of its names, a count of batches not at all.
        if name not in state
        and id(value) not in present
        and not name.endswith("num_batches_tracked")
    ]
    unexpected = [name for name in state if name not in own]
    if missing or unexpected:
        raise RequestError(
            f"--weights {file}: names do not match the model's: "
            + _differences(missing, unexpected, own)
        )
    shapes = [
        f"{name} is {dimensions(value.shape) or 'a number'}, the model's {dimensions(own[name].shape) or 'a number'}"
        for name, value in state.items()
        if value.shape != own[name].shape
    ]
    if shapes:
        raise RequestError(f"--weights {file}: shapes do not match: {listing(shapes, 3)}")
    kinds = sorted({str(v.dtype) for n, v in state.items() if v.dtype != own[n].dtype})
    if kinds:
        notes.append(f"weights stored as {listing(kinds)} are converted to the model's types")


def _differences(missing: list[str], unexpected: list[str], own: Mapping[str, Tensor]) -> str:
    texts = []
    if missing:
        near = [(name, nearest(name, unexpected)) for name in missing]
        said = [f"{name} (nearest: {like})" if like else name for name, like in near[:5]]
        more = f" and {len(near) - 5:,} more" if len(near) > 5 else ""
        texts.append(f"the file lacks {', '.join(said)}{more}")
    if unexpected:
        near = [(name, nearest(name, own)) for name in unexpected]
        said = [f"{name} (nearest: {like})" if like else name for name, like in near[:5]]
        more = f" and {len(near) - 5:,} more" if len(near) > 5 else ""
        texts.append(f"the model lacks {', '.join(said)}{more}")
    return "; ".join(texts)
