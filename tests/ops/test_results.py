"""Memory of large results is used again as soon as nothing shows it any more, and not before."""

from __future__ import annotations

import gc
import pickle
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
from torch import Tensor

from striate.nn import functional
from striate.ops import cpu, results

#: Floats of a result whose memory is kept.
SIZE = (34 << 20) // 4


def address(tensor: Tensor) -> int:
    return tensor.untyped_storage().data_ptr()


def test_a_block_is_used_again_once_nothing_shows_it() -> None:
    first = results.empty((2, SIZE // 2))
    place, view = address(first), first[1, 5:]
    del first
    second = results.empty((SIZE,))
    assert address(second) != place, "a view still shows the first"
    array = view.numpy()
    del view
    assert address(results.empty((SIZE,))) != place, "an array still shows the first"
    del array, second
    gc.collect()
    held = [results.empty((SIZE,)), results.empty((SIZE,))]
    assert len({address(one) for one in held}) == 2


def test_a_smaller_result_fits_a_larger_block_and_no_larger_one_does() -> None:
    large = results.empty((SIZE + 100_000,))
    place = address(large)
    del large
    small = results.empty((SIZE,))
    assert address(small) == place
    assert small.shape == (SIZE,)
    assert small.untyped_storage().nbytes() == 4 * SIZE
    del small
    assert results.empty((SIZE + 200_000,)).numel() == SIZE + 200_000


@pytest.mark.parametrize("bytes_", [0, 4, (32 << 20) - 4, (64 << 20) + 4])
def test_other_sizes_are_torch_s_own(bytes_: int) -> None:
    tensor = results.empty((bytes_ // 4,))
    assert tensor.dtype is torch.float32
    assert tensor.untyped_storage().resizable()


def test_a_result_is_a_tensor_like_another() -> None:
    tensor = results.empty((4, SIZE // 4)).fill_(1)
    assert tensor.is_contiguous()
    assert tensor._base is None
    tensor.requires_grad_()
    (3 * tensor).sum().backward()
    assert tensor.grad is not None
    assert tensor.grad.max() == 3
    copy = pickle.loads(pickle.dumps(tensor.detach()[:, :10].clone()))
    assert copy.sum() == 40


def test_threads_never_share_a_block() -> None:
    def fill(number: int) -> bool:
        for _ in range(4):
            tensor = results.empty((SIZE,)).fill_(number)
            if not bool((tensor == number).all()):
                return False
        return True

    with ThreadPoolExecutor(4) as pool:
        assert all(pool.map(fill, range(8)))


@pytest.mark.skipif(cpu.library() is None, reason=cpu.missing() or "")
def test_a_layer_writes_into_memory_that_is_there() -> None:
    x, weight = torch.randn(128, 3, 32, 32), torch.randn(32, 32, 64, 3, 3, 3)
    once = functional.locally_connected2d(x, weight, padding=1)
    place, total = address(once), once.double().sum()
    del once
    weight.requires_grad_()
    again = functional.locally_connected2d(x, weight, padding=1)
    assert address(again) == place
    assert again.double().sum() == total
    torch.relu_(again).sum().backward()
    assert weight.grad is not None
