"""Functions and classes named on a command line: `package.module:name` and `path/to/file.py:name`."""

from __future__ import annotations

import ast
import hashlib
import importlib
import importlib.util
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType

from striate.errors import RequestError, UserCodeError, user_code
from striate.sources.names import by_likeness, listing


@contextmanager
def running(what: str) -> Iterator[None]:
    """`user_code`, and a `sys.exit` in the user's code is an error as well, not the end of striate."""
    try:
        with user_code(what):
            yield
    except UserCodeError as error:
        stop = error.__cause__
        if not isinstance(stop, SystemExit):
            raise
        raise UserCodeError(
            f"{what} raised SystemExit: {stop.code!r}; keep what runs a program under"
            " `if __name__ == '__main__':`"
        ) from stop


def load_callable(text: str, argument: str) -> Callable[..., object]:
    """What `text` names: `package.module:name` or `path/to/file.py:name`; `name` may be dotted.

    Modules are looked for where Python looks, then in the current directory. A file is loaded once per content:
    its module stays in `sys.modules` under a name of its own, so that its classes can be pickled and no module
    of the same name is hidden. `argument` is the option that errors name.

    Raises RequestError where there is no such thing, UserCodeError where importing it raises.

    >>> load_callable("math:sqrt", "--transform")(9)
    3.0
    """
    place, separator, name = text.rpartition(":")
    if not separator:
        place, name = text, ""
    if place.endswith(".py"):
        module = _from_file(place, name, text, argument)
    else:
        if not name or not all(part.isidentifier() for part in place.split(".")):
            raise RequestError(
                f"{argument} {text}: expected package.module:name or path/to/file.py:name"
            )
        module = _from_package(place, text, argument)
    return _attribute(module, name, text, argument)


def _attribute(module: ModuleType, name: str, text: str, argument: str) -> Callable[..., object]:
    found: object = module
    for part in name.split("."):
        owner = found
        try:
            found = getattr(owner, part)
        except AttributeError:
            likely = by_likeness(part, _offered(owner, module.__name__))
            where = getattr(module, "__file__", None) or module.__name__
            raise RequestError(
                f"{argument} {text}: {where} has no {part!r}; it has {listing(likely) or 'nothing public'}"
            ) from None
    if not callable(found):
        raise RequestError(
            f"{argument} {text}: a {type(found).__name__}, which cannot be called; name a function or a class"
        )
    return found


def _offered(owner: object, home: str) -> list[str]:
    """What a module or a class has to call: what is defined in `home` or below it, where anything is."""
    known = {
        name: value
        for name, value in getattr(owner, "__dict__", {}).items()
        if not name.startswith("_") and callable(value)
    }
    own = [
        name
        for name, value in known.items()
        if f"{getattr(value, '__module__', None)}.".startswith(f"{home}.")
    ]
    return own or list(known)


def _from_package(place: str, text: str, argument: str) -> ModuleType:
    top = place.partition(".")[0]
    here = str(Path.cwd())
    if top not in sys.modules and importlib.util.find_spec(top) is None:
        # At the end of the path it hides nothing; it stays there, as the module may import its neighbours later.
        _add_to_path(here)
        importlib.invalidate_caches()
        if importlib.util.find_spec(top) is None:
            raise RequestError(
                f"{argument} {text}: no module named {top!r}, neither installed nor in {here}"
            )
    try:
        with running(f"{argument} {text}: importing {place}"):
            return importlib.import_module(place)
    except UserCodeError as error:
        cause = error.__cause__
        if isinstance(cause, ModuleNotFoundError) and f"{place}.".startswith(f"{cause.name}."):
            raise RequestError(f"{argument} {text}: no module named {cause.name!r}") from None
        if isinstance(cause, SyntaxError):
            raise _syntax_error(cause, text, argument) from None
        raise


def _from_file(place: str, name: str, text: str, argument: str) -> ModuleType:
    path = Path(os.path.realpath(os.path.expanduser(place)))  # neither raises, whatever the text
    if not os.path.isfile(path):
        raise RequestError(f"{argument} {text}: no file {place}; expected path/to/file.py:name")
    try:
        source = path.read_bytes()
    except OSError as error:
        raise RequestError(f"{argument} {text}: cannot read {place}: {error.strerror}") from None
    try:
        tree = ast.parse(source, filename=str(path))
    except SyntaxError as error:
        raise _syntax_error(error, text, argument) from None
    except ValueError as error:  # null bytes: not a source file
        raise RequestError(f"{argument} {text}: {place} is not Python: {error}") from None
    if not name:
        kinds = (ast.FunctionDef, ast.ClassDef)
        defined = [node.name for node in tree.body if isinstance(node, kinds)]
        raise RequestError(
            f"{argument} {text}: name a function or class of it, as {place}:NAME;"
            f" it defines {listing(defined) or 'none'}"
        )
    digest = hashlib.sha256(str(path).encode() + b"\0" + source).hexdigest()[:12]
    unique = f"{path.stem.replace('-', '_')}_{digest}"
    if unique in sys.modules:
        return sys.modules[unique]
    spec = importlib.util.spec_from_file_location(unique, path)
    if spec is None:
        raise RequestError(f"{argument} {text}: {place} cannot be loaded as a module")
    module = importlib.util.module_from_spec(spec)
    _add_to_path(str(path.parent))
    sys.modules[unique] = module
    try:
        with running(f"{argument} {text}: importing {place}"):
            # Not through the loader, which would write __pycache__ beside the user's file.
            exec(compile(tree, str(path), "exec"), module.__dict__)
    except BaseException:
        del sys.modules[unique]
        raise
    return module


def _add_to_path(folder: str) -> None:
    if folder not in sys.path:
        sys.path.append(folder)


def _syntax_error(error: SyntaxError, text: str, argument: str) -> UserCodeError:
    return UserCodeError(
        f"{argument} {text}: {type(error).__name__}: {error.msg} ({error.filename}:{error.lineno})"
    )
