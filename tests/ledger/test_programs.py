"""Exported programs: the rows of the modules they came from, sizes, and what is refused."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from striate.errors import RequestError
from striate.jobs.files import count_file
from striate.ledger import Ledger, count
from striate.nn import LocallyConnected2d
from striate.reduce.export import export_program


class Net(nn.Module):
    """Containers, a layer called twice, a buffer, functions, a tied weight, attention and a recurrent layer."""

    def __init__(self) -> None:
        super().__init__()
        self.inputs = nn.Sequential(nn.Sequential(nn.Conv2d(1, 4, 3, padding=1), nn.ReLU()))
        self.norm = nn.BatchNorm2d(4)
        self.fc = nn.Linear(64, 10)
        self.same = nn.Linear(10, 10)
        self.tied = nn.Linear(10, 10, bias=False)
        self.tied.weight = self.same.weight
        self.register_buffer("mask", torch.randn(10))
        self.block = nn.TransformerEncoderLayer(10, 2, 20, batch_first=True)
        self.memory = nn.LSTM(10, 7, batch_first=True)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = F.max_pool2d(F.relu(self.norm(self.inputs(x))), 2)
        x = self.same(self.same(self.fc(x.flatten(1)) + self.mask))
        x = self.tied(x)[:, None].expand(-1, 4, -1)
        return self.memory(self.block(x))[0]


def save(
    path: Path, *, dynamic: bool, change: Callable[[torch.fx.Node], None] | None = None
) -> Net:
    torch.manual_seed(0)
    module = Net().eval()
    shapes = ({0: torch.export.Dim("batch")},) if dynamic else None
    program = torch.export.export(module, (torch.randn(2, 1, 8, 8),), dynamic_shapes=shapes)
    for node in program.graph.nodes:
        if change is not None:
            change(node)
    torch.export.save(program, path)
    return module


def ledger(path: Path, *shape: int, batched: bool = True) -> Ledger:
    given = [torch.empty(shape, device="meta")] if shape else []
    return count_file(str(path), given, {}, batched=batched)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("dynamic", [True, False])
def test_a_program_has_the_rows_of_its_modules(tmp_path: Path, dynamic: bool) -> None:
    path = tmp_path / "net.pt2"
    module = save(path, dynamic=dynamic)
    mine, theirs = count(module, (2, 1, 8, 8)), ledger(path, 2, 1, 8, 8)
    for metric in mine.totals.to_dict():
        if not metric.startswith("peak"):  # a call of a module holds on to its input
            assert getattr(theirs.totals, metric) == getattr(mine.totals, metric), metric
    assert theirs.ideas == mine.ideas
    assert (theirs.status, theirs.batch) == (mine.status, 2)

    def rows(found: Ledger) -> list[tuple[object, ...]]:
        return [
            (x.name, x.type, x.params, x.connections, x.macs) for x in found.layers if x.matters
        ]

    assert rows(theirs) == rows(mine)


@pytest.mark.filterwarnings("ignore")
def test_sizes_are_the_programs_own(tmp_path: Path) -> None:
    save(tmp_path / "open.pt2", dynamic=True)
    save(tmp_path / "closed.pt2", dynamic=False)
    assert ledger(tmp_path / "open.pt2").batch == 1
    assert ledger(tmp_path / "open.pt2", 5, 1, 8, 8).batch == 5
    assert ledger(tmp_path / "closed.pt2").batch == 2
    for name, words in (("open", r"\?x1x8x8"), ("closed", "2x1x8x8")):
        with pytest.raises(RequestError, match=f"--input 3x1x9x8: its input 'x' is {words}"):
            ledger(tmp_path / f"{name}.pt2", 3, 1, 9, 8)
    with pytest.raises(RequestError, match="it has no such input; it has x"):
        count_file(
            str(tmp_path / "open.pt2"), [], {"mask": torch.empty(1, device="meta")}, batched=True
        )


@pytest.mark.filterwarnings("ignore")
def test_without_module_names_rows_are_told_by_parameters(tmp_path: Path) -> None:
    path = tmp_path / "net.pt2"
    # As `striate shrink` writes it: nothing of the machine it was made on.
    module = save(path, dynamic=True, change=lambda node: node.meta.pop("nn_module_stack", None))
    mine, theirs = count(module, (1, 1, 8, 8)), ledger(path)
    assert theirs.totals.macs == mine.totals.macs
    assert theirs.totals.params == mine.totals.params
    found = {row.name: row.params for row in theirs.layers if row.params}
    wanted = {row.name: row.params for row in mine.layers if row.params}
    del wanted["same"]  # one tensor has one name in a program, here the last
    assert found == wanted | {
        "tied": 110,
        # The attention's output is a layer by the name of its parameters.
        "block.self_attn": 330,
        "block.self_attn.out_proj": 110,
    }


@pytest.mark.filterwarnings("ignore")
def test_operators_that_torch_added_are_in_no_module_of_their_own(tmp_path: Path) -> None:
    hook = "_empty_nn_module_stack_from_metadata_hook"  # what torch's passes write

    def added(node: torch.fx.Node) -> None:
        if "relu" in node.name or "convolution" in node.name or "conv2d" in node.name:
            node.meta["nn_module_stack"] = {hook: (hook, hook)}

    module = save(tmp_path / "net.pt2", dynamic=False, change=added)
    found = ledger(tmp_path / "net.pt2", 2, 1, 8, 8)
    assert [row.name for row in found.layers if hook in row.name + row.type] == []
    (row,) = (row for row in found.layers if row.macs and row.params == 40)
    mine = next(row for row in count(module, (2, 1, 8, 8)).layers if row.name == "inputs.0.0")
    assert (row.name, row.macs) == (mine.name, mine.macs)


@pytest.mark.filterwarnings("ignore")
def test_an_export_of_a_local_layer_is_counted_in_its_row(tmp_path: Path) -> None:
    layer = LocallyConnected2d(1, 3, 3, (8, 8))
    module = nn.Sequential(layer, nn.ReLU(), nn.Flatten(), nn.Linear(108, 10)).eval()
    assert export_program(module, torch.randn(3, 1, 8, 8), tmp_path / "net.pt2").reason is None
    mine, theirs = count(module, (1, 1, 8, 8)), ledger(tmp_path / "net.pt2")
    assert theirs.ideas == mine.ideas
    found = [(row.name, row.params, row.connections) for row in theirs.layers if row.params]
    assert found == [("0", 1080, 972), ("3", 1090, 1080)]


class Two(nn.Module):
    """Two inputs, one of them by name, and two outputs."""

    def __init__(self) -> None:
        super().__init__()
        self.left, self.right = nn.Linear(4, 3), nn.Linear(5, 3)

    def forward(self, x: torch.Tensor, mask: torch.Tensor) -> dict[str, object]:
        both = self.left(x) + self.right(mask)
        return {"sum": both, "parts": (both.relu(), [both.tanh()])}


@pytest.mark.filterwarnings("ignore")
def test_several_inputs_and_outputs(tmp_path: Path) -> None:
    path = tmp_path / "two.pt2"
    example = (torch.zeros(2, 4),), {"mask": torch.zeros(2, 5)}
    torch.export.save(torch.export.export(Two(), *example), path)
    found = ledger(path)
    assert found.totals.macs == 2 * 3 * (4 + 5)
    mask = torch.empty(2, 5, device="meta")
    assert count_file(str(path), [torch.empty(2, 4)], {"mask": mask}, batched=True) == found


def rewrite(path: Path, change: Callable[[str, bytes], bytes]) -> None:
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
        for name, content in members.items():
            archive.writestr(name, change(name, content))


@pytest.mark.filterwarnings("ignore")
def test_what_would_be_unpickled_or_run_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "net.pt2"

    def pickled(name: str, content: bytes) -> bytes:
        if not name.endswith("model_weights_config.json"):
            return content
        document = json.loads(content)
        next(iter(document["config"].values()))["use_pickle"] = True
        return json.dumps(document).encode()

    def foreign(name: str, content: bytes) -> bytes:
        return content.replace(b"torch.ops.aten.relu.default", b"torch.os.system")

    def executed(name: str, content: bytes) -> bytes:
        return content.replace(b"builtins.dict", b"builtins.eval")

    def keyed(name: str, content: bytes) -> bytes:
        return content.replace(
            b'builtins.dict\\", \\"context\\": \\"[]', b'builtins.dict\\", \\"context\\": \\"[1]'
        )

    def unreadable(name: str, content: bytes) -> bytes:
        return content.replace(b'{"name": "relu"}', b'{"name": "relb"}')

    for change, words in (
        (executed, "has more than tensors in tuples"),
        (keyed, "has more than tensors in tuples"),
        (unreadable, "cannot read this program"),
        (pickled, "stored as a pickle"),
        (foreign, "not one of torch's operators"),
    ):
        save(path, dynamic=False)
        rewrite(path, change)
        with pytest.raises(RequestError, match=words) as caught:
            ledger(path)
        assert str(caught.value).startswith(f"MODEL {path}: ")
        assert "\n" not in str(caught.value)


@pytest.mark.filterwarnings("ignore")
def test_hostile_module_stacks_are_only_text(tmp_path: Path) -> None:
    path = tmp_path / "net.pt2"
    save(path, dynamic=False)
    for text in (
        "L,../../x,os.system",
        "L,forward,x.Y",
        "a;b;c",
        "L,__class__,x.Y",
        "L,_plan_,x.Y",
    ):
        rewrite(
            path,
            lambda _, content, t=text: content.replace(
                b"L__self__fc,fc,", b"L__self__,," + t.encode() + b";Q,fc,"
            ),
        )
        try:
            assert ledger(path).totals.params
        except RequestError as error:
            refusal = str(error)
            assert "\n" not in refusal
        save(path, dynamic=False)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (None, "there is no such file"),
        (b"", "not an exported program"),
        (b"PK" * 50, "not an exported"),
    ],
)
def test_files_that_are_no_programs_are_refused(
    tmp_path: Path, content: bytes | None, words: str
) -> None:
    path = tmp_path / "bad.pt2"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(RequestError, match=words):
        ledger(path)
