"""What many tests share: hypothesis' settings, and the real data sets where they are at hand.

`STRIATE_TEST_DATA` names a folder with `mnist/` (the four IDX files, gzipped) and
`cifar10-subset.tar` (pictures in `cifar10/train/CLASS/` and `cifar10/test/CLASS/`). Where it is not
set, the tests that need them are skipped.
"""

from __future__ import annotations

import os
import tarfile
import time
from pathlib import Path

import pytest
from hypothesis import settings

# Timed examples fail on a busy machine: the first call of an operator is slow, whatever is tested.
settings.register_profile("striate", deadline=None)
settings.load_profile("striate")


@pytest.fixture(scope="session")
def data_root() -> Path:
    """The folder of the real data sets."""
    named = os.environ.get("STRIATE_TEST_DATA")
    if not named:
        pytest.skip("STRIATE_TEST_DATA is not set: it names the folder of the real data sets")
    root = Path(named)
    if not root.is_dir():
        pytest.fail(f"STRIATE_TEST_DATA={named} is not a folder")
    return root


@pytest.fixture(scope="session")
def mnist(data_root: Path) -> Path:
    """A folder with MNIST's IDX files."""
    return data_root / "mnist"


@pytest.fixture(scope="session")
def cifar(data_root: Path, tmp_path_factory: pytest.TempPathFactory, worker_id: str) -> Path:
    """`train/CLASS/*` and `test/CLASS/*`: the CIFAR-10 subset, unpacked once for all workers."""
    shared = tmp_path_factory.getbasetemp()
    if worker_id != "master":
        shared = shared.parent
    ready = shared / "cifar10-subset"
    try:
        (shared / "cifar10-unpacking").mkdir()
    except FileExistsError:
        deadline = time.monotonic() + 300
        while not ready.exists():
            if time.monotonic() > deadline:
                pytest.fail(f"another worker has not unpacked {ready} within 300 s")
            time.sleep(0.2)
    else:
        with tarfile.open(data_root / "cifar10-subset.tar") as archive:
            # Python before 3.11.4 has no filters.
            archive.extraction_filter = getattr(tarfile, "data_filter", lambda member, _: member)
            archive.extractall(shared / "cifar10-unpacking")
        (shared / "cifar10-unpacking").rename(ready)
    return ready / "cifar10"
