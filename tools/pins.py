"""Print the versions that this environment has of what striate's extras need, for constraints.txt.

Run it with a Python where striate's extras are installed at the versions wanted:

    python tools/pins.py > pins && cat pins
"""

import tomllib
from importlib.metadata import distribution
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

INSTALLED_BY_MAKE = ("shrink", "onnx", "test", "check", "benchmark")


def pins(requirements: list[str]) -> dict[str, str]:
    """Name and version of each requirement and of what it requires in turn, as installed here."""
    found: dict[str, str] = {}
    todo = [Requirement(text) for text in requirements]
    done = set()
    while todo:
        wanted = todo.pop()
        name = canonicalize_name(wanted.name)
        if (name, frozenset(wanted.extras)) in done:
            continue
        done.add((name, frozenset(wanted.extras)))
        here = distribution(name)
        # A build's label ("+cpu") is the index's affair: one constraint serves them all.
        found[name] = here.version.split("+")[0]
        for text in here.requires or []:
            inner = Requirement(text)
            extras = {"", *wanted.extras}
            if inner.marker is None or any(inner.marker.evaluate({"extra": e}) for e in extras):
                todo.append(inner)
    return found


if __name__ == "__main__":
    project = tomllib.loads(Path("pyproject.toml").read_text())["project"]
    wanted = list(project["dependencies"])
    for extra in INSTALLED_BY_MAKE:
        wanted += project["optional-dependencies"][extra]
    for name, version in sorted(pins(wanted).items()):
        print(f"{name}=={version}")
