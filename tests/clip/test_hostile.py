"""Checkpoints that were made to hurt: nothing in them is run, and none takes more memory than its size explains."""

from __future__ import annotations

import hashlib
import io
import json
import os
import pickle
import struct
import tarfile
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from bench.clip.checkpoint import PUBLISHED, read_checkpoint
from bench.clip.load import load_backbone
from bench.clip.torchscript import read_torchscript
from bench.errors import BenchError
from tests.clip import naive
from tests.clip.test_load import MARKERS, OPENAI, Published, same, tensors, write_config

pytestmark = pytest.mark.filterwarnings("ignore:`torch.jit:DeprecationWarning", "ignore:`torch.jit:FutureWarning")
HEAD = b"\x80\x02c__torch__\nM\n)\x81}("  # of a list of weights: an object of class M, and its attributes begin
TAIL = b"ub."


class Layer(nn.Module):
    """Parameters and buffers of all kinds, and attributes that are neither."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(4, 6, bias=False)
        self.transposed = nn.Parameter(torch.randn(3, 5).t())
        self.register_parameter("absent", None)
        table = torch.randn(40)
        self.register_buffer("part", table[4:16].view(3, 4)[:, 1:3])
        self.register_buffer("other", table[10:20:2], persistent=False)
        self.register_buffer("number", torch.tensor(7))
        self.register_buffer("empty", torch.zeros(0, 3))
        self.plain = torch.ones(2, 2)
        self.several = [torch.ones(1), torch.zeros(2)]
        self.numbers, self.text, self.share = [1, 2**40], "é", 0.5

    def forward(self, x: Tensor) -> Tensor:
        plain = self.plain.sum() + self.several[0].sum() + self.part.sum() + self.other.sum() + self.transposed.sum()
        return self.linear(x) * self.share + plain


class Tower(nn.Module):
    """Modules in lists and sequences, one of them under two names."""

    def __init__(self) -> None:
        super().__init__()
        self.blocks = nn.ModuleList([Layer(), Layer()])
        self.body = nn.Sequential(nn.Linear(6, 4), nn.LayerNorm(4), nn.BatchNorm1d(4))
        self.tied = self.body[0]
        self.weight = self.blocks[0].linear.weight

    def forward(self, x: Tensor) -> Tensor:
        for block in self.blocks:
            x = self.tied(self.body(block(x)).repeat(1, 2)[:, :6])
        return x + self.weight.sum()


def example(kind: torch.dtype) -> nn.Module:
    torch.manual_seed(3)
    return Tower().to(kind).eval()


@pytest.mark.parametrize("kind", [torch.float32, torch.float16, torch.bfloat16])
@pytest.mark.parametrize("traced", [False, True])
def test_tensors_of_an_archive_are_those_that_torch_finds(tmp_path: Path, kind: torch.dtype, traced: bool) -> None:
    built, file = example(kind), tmp_path / "w.pt"
    made: Any = torch.jit.trace(built, torch.zeros(2, 4, dtype=kind)) if traced else torch.jit.script(built)
    made.save(str(file))
    expected = torch.jit.load(str(file)).state_dict()
    with zipfile.ZipFile(file) as archive:
        found = read_torchscript(archive, file.stat().st_size)
    assert found.keys() == expected.keys()
    assert "blocks.0.plain" not in found
    assert "blocks.1.other" in found
    for name, value in expected.items():
        assert (found[name].dtype, found[name].stride()) == (value.dtype, value.stride())
        assert torch.equal(found[name], value)
    assert shared(found) == shared(expected)


def shared(state: dict[str, Tensor]) -> set[frozenset[str]]:
    """Names of tensors that lie in the same bytes."""
    by_start: dict[int, set[str]] = {}
    for name, value in state.items():
        by_start.setdefault(value.untyped_storage().data_ptr(), set()).add(name)
    return {frozenset(names) for names in by_start.values()}


def clip_archive(file: Path) -> nn.Module:
    built = naive.model(OPENAI)
    torch.jit.script(Published(tensors(built) | MARKERS)).save(str(file))
    return built


def test_an_archive_is_run_by_torch_only_if_openai_published_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file, run, load = tmp_path / "w.pt", [], torch.jit.load
    built = clip_archive(file)
    monkeypatch.setattr(torch.jit, "load", lambda *given, **more: run.append(1) or load(*given, **more))
    assert same(load_backbone(str(file)), built)
    assert not run
    state, published = read_checkpoint(file).state, frozenset({hashlib.sha256(file.read_bytes()).hexdigest()})
    torch.testing.assert_close(read_checkpoint(file, published).state, state, rtol=0, atol=0)
    assert run
    del run[:]
    with zipfile.ZipFile(file, "a") as archive:
        archive.writestr("more", b"")
    torch.testing.assert_close(read_checkpoint(file, published).state, state, rtol=0, atol=0)
    assert not run


def test_what_openai_published_is_what_open_clip_downloads() -> None:
    from open_clip import pretrained

    urls = [tags["openai"]["url"] for tags in pretrained._PRETRAINED.values() if "openai" in tags]
    assert {url.split("/")[-2] for url in urls if "openaipublic" in url} == PUBLISHED


class Trap:
    """Makes a file when it is unpickled."""

    def __init__(self, sprung: Path) -> None:
        self.sprung = sprung

    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, (f"touch {self.sprung}",)


class Awakening(nn.Module):
    """Writes a file when torch loads it."""

    def __init__(self, path: str) -> None:
        super().__init__()
        self.path = path
        self.register_buffer("blob", torch.zeros(4))

    def forward(self, x: Tensor) -> Tensor:
        return x

    @torch.jit.export
    def __getstate__(self) -> tuple[str, bool]:
        return self.path, self.training

    @torch.jit.export
    def __setstate__(self, state: tuple[str, bool]) -> None:
        self.path, self.training = state[0], state[1]
        self.blob = torch.from_file(state[0], True, 16, dtype=torch.uint8)


@pytest.fixture
def sprung(tmp_path: Path) -> Iterator[Path]:
    """The file that a trap would make; none does."""
    yield tmp_path / "sprung"
    assert not (tmp_path / "sprung").exists()


def refused(file: Path, reason: str) -> None:
    with pytest.raises(BenchError, match=reason) as caught:
        load_backbone(str(file))
    assert "\n" not in str(caught.value)
    assert str(file) in str(caught.value)


def test_the_code_of_an_archive_is_not_run(tmp_path: Path, sprung: Path) -> None:
    file = tmp_path / "evil.pt"
    torch.jit.script(Awakening(str(sprung))).save(str(file))
    refused(file, "it holds an object that sets its own state; save its state dict alone, as safetensors")
    torch.jit.load(str(file))
    assert sprung.exists()  # the trap is one
    sprung.unlink()


def archive(file: Path, stream: bytes, **files: bytes) -> None:
    with zipfile.ZipFile(file, "w") as made:
        made.writestr("w/data.pkl", stream)
        made.writestr("w/constants.pkl", b"\x80\x02).")
        made.writestr("w/code/__torch__.py", 'class M(Module):\n  __parameters__ = ["x", ]\n  __buffers__ = []\n')
        for name, content in files.items():
            made.writestr(f"w/data/{name}", content)


def text(value: str) -> bytes:
    return b"X" + struct.pack("<I", len(value.encode())) + value.encode()


def tensor(length: int, offset: bytes, size: bytes, stride: bytes) -> bytes:
    """The instructions that rebuild a tensor of `length` numbers in file 0."""
    storage = b"(" + text("storage") + b"ctorch\nFloatStorage\n" + text("0") + text("cpu") + number(length) + b"tQ"
    hooks = b"ccollections\nOrderedDict\n)R"
    return b"ctorch._utils\n_rebuild_tensor_v2\n(" + storage + offset + size + stride + b"\x89" + hooks + b"tR"


def number(value: int) -> bytes:
    return b"\x8a\x08" + struct.pack("<q", value)


def pair(first: int, second: int) -> bytes:
    return number(first) + number(second) + b"\x86"


def nested(depth: int) -> bytes:
    """A tuple of twice the same tuple, and so on: entry `depth` of the memo has 2^depth ends."""
    return b")q\x00" + b"".join(b"h%ch%c\x86q%c" % (one, one, one + 1) for one in range(depth))


def test_the_streams_below_differ_in_one_thing_from_one_that_is_read(tmp_path: Path) -> None:
    archive(tmp_path / "w.pt", HEAD + text("x") + tensor(6, number(0), pair(2, 3), pair(3, 1)) + TAIL, **{"0": NUMBERS})
    with zipfile.ZipFile(tmp_path / "w.pt") as opened:
        (x,) = read_torchscript(opened, 10_000).values()
    assert torch.equal(x, torch.arange(6.0).view(2, 3))


NUMBERS = struct.pack("<6f", *range(6))
FUNCTION = b"\x80\x02ctorch._utils\n_rebuild_tensor_v2\n"
COMMAND = text("touch sprung")
STREAMS: dict[str, tuple[bytes, str]] = {
    "calls os.system": (HEAD + text("x") + b"cos\nsystem\n" + COMMAND + b"\x85R" + TAIL, r"os\.system"),
    "names a builtin": (HEAD + text("x") + b"cbuiltins\neval\n" + TAIL, r"builtins\.eval"),
    "names one by parts": (HEAD + text("x") + text("os") + text("system") + b"\x93" + TAIL, "STACK_GLOBAL"),
    "makes an instance": (HEAD + text("x") + b"(" + COMMAND + b"ios\nsystem\n" + TAIL, "INST"),
    "makes an object": (HEAD + text("x") + b"(cos\nsystem\n" + COMMAND + b"o" + TAIL, "OBJ"),
    "asks copyreg": (HEAD + text("x") + b"\x82\x01" + TAIL, "EXT1"),
    "changes a function": (FUNCTION + b"}" + text("a") + number(1) + b"sb.", "function"),
    "changes a function's code": (FUNCTION + b"N}" + text("__code__") + number(1) + b"s\x86b.", "function"),
    "changes a class": (b"\x80\x02c__torch__\nM\n}" + text("__del__") + number(1) + b"sb.", "not readable"),
    "calls a torch function": (HEAD + text("x") + b"ctorch\nload\n" + text("w") + b"\x85R" + TAIL, r"torch\.load"),
    "is no module": (b"\x80\x02).", "no module"),
    "is cut off": (HEAD + text("x"), "not readable"),
    "is empty": (b"", "not readable"),
    "remembers too far": (HEAD + text("x") + b"Nr" + struct.pack("<I", 2**31) + TAIL, "memo"),
    "states a long text": (HEAD + b"\x8d" + struct.pack("<Q", 2**40) + b"x" + TAIL, "not readable"),
    "reserves bytes": (HEAD + text("x") + b"\x96" + struct.pack("<Q", 2**40) + TAIL, "not readable"),
    "holds itself": (b"\x80\x02c__torch__\nM\n)\x81q\x01}(" + text("x") + b"h\x01" + TAIL, "without an end"),
    "reads beyond": (HEAD + text("x") + tensor(6, number(1), pair(2, 3), pair(3, 1)) + TAIL, "beyond its bytes"),
    "reads before": (HEAD + text("x") + tensor(6, number(-1), pair(2, 3), pair(3, 1)) + TAIL, "not described as one"),
    "has more numbers than bytes": (HEAD + text("x") + tensor(7, number(0), pair(2, 3), pair(3, 1)) + TAIL, "24 bytes"),
    "has too many numbers": (HEAD + text("x") + tensor(2**50, number(0), pair(2, 3), pair(3, 1)) + TAIL, "more bytes"),
    "has absurd sizes": (
        HEAD + text("x") + tensor(6, number(0), pair(2**40, 2**20), pair(0, 0)) + TAIL, "describes weights of",
    ),
    "hashes without an end": (b"\x80\x02" + nested(99) + b"}h\x63Ns.", "texts or numbers"),
    "hashes many without an end": (b"\x80\x02" + nested(99) + b"}(h\x63Nu.", "texts or numbers"),
    "overflows": (HEAD + text("x") + tensor(6, number(0), pair(2**61, 2**61), pair(0, 0)) + TAIL, "not readable"),
}  # fmt: skip


@pytest.mark.parametrize("what", STREAMS)
def test_a_list_of_weights_that(what: str, tmp_path: Path, sprung: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    stream, reason = STREAMS[what]
    archive(tmp_path / "evil.pt", stream, **{"0": NUMBERS})
    refused(tmp_path / "evil.pt", reason)


def test_an_archive_whose_texts_unpack_without_an_end(tmp_path: Path) -> None:
    archive(tmp_path / "w.pt", HEAD + text("x") + b"N" + TAIL)
    with zipfile.ZipFile(tmp_path / "bomb.pt", "w", zipfile.ZIP_DEFLATED) as made:
        made.writestr("w/data.pkl", HEAD + text("x") + b"N" + TAIL)
        made.writestr("w/code/__torch__.py", b"#" * (17 * 2**20))
    refused(tmp_path / "bomb.pt", "more than 16777216 bytes in code/__torch__.py")


def test_members_that_would_escape_are_never_unpacked(tmp_path: Path) -> None:
    file, inner = tmp_path / "in" / "w.pt", tmp_path / "in"
    inner.mkdir()
    archive(file, HEAD + text("x") + b"N" + TAIL, **{"../../../escaped": b"x"})
    with zipfile.ZipFile(file, "a") as made:
        made.writestr("../escaped", b"x")
        made.writestr("/escaped", b"x")
    refused(file, "keys such as")
    stream = (
        HEAD + text("x") + tensor(6, number(0), pair(2, 3), pair(3, 1)).replace(text("0"), text("../../../etc/passwd"))
    )
    archive(file, stream + TAIL)
    refused(file, "not readable")
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["in", "w.pt"]


def plain(file: Path, content: Any) -> None:
    torch.save(content, file)


def legacy(file: Path, content: Any) -> None:
    torch.save(content, file, _use_new_zipfile_serialization=False)


def pickled(file: Path, content: Any) -> None:
    file.write_bytes(pickle.dumps(content))


def tarred(file: Path, content: Any) -> None:
    """The layout of torch before 0.2."""
    parts = {"sys_info": {}, "pickle": content, "storages": 0, "tensors": 0}
    with tarfile.open(file, "w") as made:
        for name, part in parts.items():
            data = pickle.dumps(part)
            entry = tarfile.TarInfo(name)
            entry.size = len(data)
            made.addfile(entry, io.BytesIO(data))


@pytest.mark.parametrize("suffix", [".pt", ".pth", ".bin", ".safetensors"])
@pytest.mark.parametrize("write", [plain, legacy, pickled, tarred])
def test_files_of_torch_run_nothing(
    tmp_path: Path, sprung: Path, suffix: str, write: Callable[[Path, Any], None]
) -> None:
    file = tmp_path / f"evil{suffix}"
    write(file, {"visual.conv1.weight": torch.zeros(1), "x": Trap(sprung)})
    refused(file, "not readable as weights alone")


@pytest.mark.parametrize("write", [plain, legacy])
def test_plain_files_of_torch_are_read(tmp_path: Path, write: Callable[[Path, Any], None]) -> None:
    built, file = naive.model(OPENAI), tmp_path / "w.pth"
    write(file, tensors(built) | MARKERS)
    assert same(load_backbone(str(file)), built)


@pytest.mark.parametrize(
    ("name", "value", "reason"),
    [
        ("x", torch.zeros(1).expand(10**9), "describes weights of 4,0"),
        ("x", torch.zeros(1).expand(2**31, 2**31), "describes weights of|not readable"),
        ("x", torch.empty(10**12, device="meta"), "more than tensors"),
        ("x", torch.zeros(4).to_sparse(), "more than tensors"),
        (3, torch.zeros(1), "more than tensors"),
    ],
)
def test_tensors_that_are_not_in_the_file(tmp_path: Path, name: Any, value: Tensor, reason: str) -> None:
    torch.save({name: value, "visual.conv1.weight": torch.zeros(1)}, tmp_path / "w.pt")
    refused(tmp_path / "w.pt", reason)


def test_a_plain_file_that_unpacks_to_far_more(tmp_path: Path) -> None:
    torch.save({"x": torch.zeros(1)}, tmp_path / "w.pt")
    with (
        zipfile.ZipFile(tmp_path / "w.pt") as old,
        zipfile.ZipFile(tmp_path / "z.pt", "w", zipfile.ZIP_DEFLATED) as new,
    ):
        for entry in old.infolist():
            content = bytes(100 * 2**20) if entry.filename.endswith("/data/0") else old.read(entry)
            new.writestr(entry.filename, content)
    refused(tmp_path / "z.pt", "unpacks to 104,8")


@pytest.mark.parametrize(
    ("length", "header"),
    [
        (2**62, {}),
        (10**7, {}),
        (None, {"x": {"dtype": "F32", "shape": [2**30, 2**30], "data_offsets": [0, 4]}}),
        (None, {"x": {"dtype": "F32", "shape": [1], "data_offsets": [0, 2**40]}}),
        (None, {"x": {"dtype": "F32", "shape": [1], "data_offsets": [2**40, 2**40 + 4]}}),
        (None, {"x": {"dtype": "F99", "shape": [1], "data_offsets": [0, 4]}}),
        (None, ["x"]),
    ],
)
def test_a_header_of_safetensors_that_lies(tmp_path: Path, length: int | None, header: Any) -> None:
    encoded, file = json.dumps(header).encode(), tmp_path / "w.safetensors"
    file.write_bytes(struct.pack("<Q", len(encoded) if length is None else length) + encoded + bytes(4))
    refused(file, "not readable as weights alone")


def configured(tmp_path: Path, tower: str, **change: Any) -> Path:
    file = tmp_path / "w.safetensors"
    save_file(tensors(naive.model(naive.SMALL)), file)
    write_config(tmp_path / "w.json", naive.SMALL | {tower: naive.SMALL[tower] | change})
    return file


@pytest.mark.parametrize(
    ("tower", "change", "reason"),
    [
        ("text_cfg", {"width": 10**6}, "is of another architecture"),
        ("text_cfg", {"width": 10**12}, "is malformed"),
        ("text_cfg", {"context_length": 10**7}, "is of another architecture"),
        ("text_cfg", {"vocab_size": 10**12}, "is of another architecture"),
        ("text_cfg", {"layers": 10**9}, "1000000000 layers"),
        ("vision_cfg", {"layers": 10**9}, "1000000000 layers"),
        ("vision_cfg", {"layers": [10**9] * 4}, "4000000000 layers"),
        ("vision_cfg", {"layers": "many"}, "is malformed"),
        ("vision_cfg", {"image_size": 10**6}, "is of another architecture"),
        ("vision_cfg", {"mlp_ratio": 1e30}, "is malformed|is of another"),
        ("vision_cfg", {"width": -1}, "is malformed"),
    ],
)
def test_a_configuration_that_asks_for_more_than_the_weights(
    tmp_path: Path, tower: str, change: dict[str, Any], reason: str
) -> None:
    refused(configured(tmp_path, tower, **change), reason)


@pytest.mark.parametrize(
    "content",
    [
        "[" * 100_000,
        '{"model_cfg": ' * 9_000,
        '{"model_cfg": {"embed_dim": 1, "vision_cfg": [], "text_cfg": {}}}',
        '"x"',
    ],
)
def test_a_json_beside_that_is_none(tmp_path: Path, content: str) -> None:
    file = configured(tmp_path, "text_cfg")
    (tmp_path / "w.json").write_text(content, encoding="utf-8")
    with pytest.raises(BenchError, match=r"w\.json.* is not") as caught:
        load_backbone(str(file))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "preprocess", [{"mean": "x"}, {"std": [0, 0, 0]}, {"resize_mode": "no"}, {"interpolation": 3}, {"mode": "L"}, ["x"]]
)
def test_preprocessing_that_cannot_be_done(tmp_path: Path, preprocess: Any) -> None:
    file = configured(tmp_path, "text_cfg")
    content = {"model_cfg": naive.SMALL, "preprocess_cfg": preprocess}
    (tmp_path / "w.json").write_text(json.dumps(content), encoding="utf-8")
    with pytest.raises(BenchError, match="preprocess_cfg") as caught:
        load_backbone(str(file))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "ids",
    [
        torch.tensor([1, 2, 3]), torch.tensor([1, 49406, 49407, 49407]), torch.tensor([-1, 5, 49406, 49407]),
        torch.tensor([5, 49406, 49407, 49408]), torch.tensor([4, 5, 6, 7]), torch.tensor([[4, 5, 49406, 49407]]),
        torch.tensor([4.0, 5.0, 49406.0, 49407.0]),
    ],
)  # fmt: skip
def test_token_ids_that_fit_no_table(tmp_path: Path, ids: Tensor) -> None:
    state = tensors(naive.model(naive.SMALL))
    state["token_embedding.weight"] = state["token_embedding.weight"][:4].clone()
    save_file(state | {"token_ids": ids}, tmp_path / "w.safetensors")
    refused(tmp_path / "w.safetensors", "token_ids do not fit")


def test_whole_numbers_are_no_weights(tmp_path: Path) -> None:
    """As the state dict of a quantised model has them: they would be read as weights a hundred times too large."""
    state = tensors(naive.model(naive.SMALL))
    state["visual.conv1.weight"] = (state["visual.conv1.weight"] * 100).to(torch.int8)
    save_file(state, tmp_path / "w.safetensors")
    write_config(tmp_path / "w.json", naive.SMALL)
    refused(tmp_path / "w.safetensors", r"visual.conv1.weight has shape \S+ \S+ \S+ \S+ of whole numbers")


def test_a_checkpoint_is_read_from_a_file_alone(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "w.pt")
    with pytest.raises(BenchError, match="does not exist"):
        read_checkpoint(tmp_path / "w.pt")
