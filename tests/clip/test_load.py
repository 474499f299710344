"""Loading backbones: layouts, configurations, activations, and what is refused."""

from __future__ import annotations

import copy
import json
import logging
from pathlib import Path
from typing import Any

import open_clip
import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from bench.clip.backbone import Backbone
from bench.clip.checkpoint import Checkpoint, infer_config
from bench.clip.identity import weights_identity
from bench.clip.image import image_tower
from bench.clip.load import load_backbone
from bench.clip.spec import Spec, parse
from bench.errors import BenchError
from tests.clip import naive

OPENAI: dict[str, Any] = {
    "embed_dim": 16,
    "quick_gelu": True,
    "vision_cfg": {"image_size": 32, "layers": 1, "width": 64, "patch_size": 16},
    "text_cfg": {"context_length": 77, "vocab_size": 49408, "width": 64, "heads": 1, "layers": 2},
}
RESNET = OPENAI | {"vision_cfg": {"image_size": 64, "layers": [1, 1, 2, 1], "width": 4}}
MARKERS = {"input_resolution": torch.tensor(32), "context_length": torch.tensor(77), "vocab_size": torch.tensor(49408)}


def tensors(built: Any) -> dict[str, Tensor]:
    return {key: value.clone() for key, value in built.state_dict().items()}


def same(backbone: Backbone, built: Any) -> bool:
    """Whether the facade gives what the model gives, on both sides."""
    size = backbone.image_size
    pixels = torch.randn(2, 3, size, size, generator=torch.Generator().manual_seed(1))
    texts = ["a dog", "two sea horses"]
    image = torch.allclose(backbone.image(pixels).pooled, built.encode_image(pixels), atol=1e-4)
    tokens = open_clip.SimpleTokenizer()(texts, 77)
    return image and torch.allclose(backbone.text_templates(texts), built.encode_text(tokens), atol=1e-4)


def gelu(config: dict[str, Any], quick: bool) -> dict[str, Any]:
    return config | {"quick_gelu": quick}


def write_config(path: Path, config: dict[str, Any], **preprocess: Any) -> None:
    path.write_text(json.dumps({"model_cfg": config, "preprocess_cfg": preprocess}), encoding="utf-8")


@pytest.mark.parametrize("suffix", [".safetensors", ".pt", ".pth", ".bin"])
def test_openai_layout_is_inferred_with_quick_gelu(tmp_path: Path, suffix: str) -> None:
    built, file = naive.model(OPENAI), tmp_path / f"weights{suffix}"
    state = tensors(built) | MARKERS
    if suffix == ".safetensors":
        save_file(state, file)
    else:
        torch.save(state, file)
    backbone = load_backbone(str(file))
    assert same(backbone, built)
    assert not same(backbone, naive.model(gelu(OPENAI, False)))
    assert (backbone.name, backbone.width, backbone.embed_dim, backbone.num_tokens) == (file.name, 64, 16, 4)


def test_openai_resnet_is_inferred(tmp_path: Path) -> None:
    built, file = naive.model(RESNET), tmp_path / "rn.pt"
    torch.save(tensors(built) | MARKERS, file)
    backbone = load_backbone(str(file))
    assert same(backbone, built)
    assert backbone.num_tokens == 4


def test_openai_half_precision_becomes_single(tmp_path: Path) -> None:
    built, file = naive.model(OPENAI), tmp_path / "half.pt"
    torch.save({key: value.half() for key, value in tensors(built).items()} | MARKERS, file)
    backbone = load_backbone(str(file))
    assert backbone.token_embedding.dtype == torch.float32
    assert backbone.image(torch.zeros(1, 3, 32, 32)).pooled.dtype == torch.float32


class Published(torch.nn.Module):
    """A stand-in with the names of OpenAI's archive."""

    def __init__(self, state: dict[str, Tensor]) -> None:
        super().__init__()
        for key, value in state.items():
            parent: torch.nn.Module = self
            *path, name = key.split(".")
            for part in path:
                if part not in dict(parent.named_children()):
                    parent.add_module(part, torch.nn.Module())
                parent = parent.get_submodule(part)
            parent.register_buffer(name, value)

    def forward(self, x: Tensor) -> Tensor:
        return x


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")
def test_openai_torchscript_archive(tmp_path: Path) -> None:
    built, file = naive.model(OPENAI), tmp_path / "ViT.pt"
    torch.jit.script(Published(tensors(built) | MARKERS)).save(str(file))
    assert same(load_backbone(str(file)), built)


@pytest.mark.parametrize("custom", [False, True])
@pytest.mark.parametrize("wrapped", [False, True])
def test_open_clip_layouts_with_a_json(tmp_path: Path, custom: bool, wrapped: bool) -> None:
    config = gelu(naive.SMALL, False)
    built, file = naive.model(config, custom=custom), tmp_path / "weights.pt"
    state: Any = tensors(built)
    if wrapped:
        state = {"epoch": 3, "state_dict": {f"module.{key}": value for key, value in state.items()}}
    torch.save(state, file)
    write_config(tmp_path / "open_clip_config.json", config | {"custom_text": custom}, mean=[0.0] * 3, std=[1.0] * 3)
    backbone = load_backbone(str(file))
    assert same(backbone, built)
    assert json.loads(backbone.preprocess_id)["mean"] == [0.0] * 3


@pytest.mark.parametrize("name", ["w.json", "w_open_clip.json", "open_clip_config.json", "open_clip.json"])
def test_where_the_json_may_lie(tmp_path: Path, name: str) -> None:
    built = naive.model(naive.SMALL)
    save_file(tensors(built), tmp_path / "w.safetensors")
    write_config(tmp_path / name, naive.SMALL)
    assert same(load_backbone(str(tmp_path / "w.safetensors")), built)


def test_openai_weights_get_quick_gelu_whatever_the_json_says(tmp_path: Path) -> None:
    built = naive.model(OPENAI)
    torch.save(tensors(built) | MARKERS, tmp_path / "w.pt")
    write_config(tmp_path / "w.json", gelu(OPENAI, False))
    assert same(load_backbone(str(tmp_path / "w.pt")), built)


def test_digest_knows_weights_and_heads_but_no_path(tmp_path: Path) -> None:
    built = naive.model(naive.SMALL)
    digests = []
    for folder, heads, custom in (("a", 2, False), ("b", 2, True), ("c", 4, False)):
        (tmp_path / folder).mkdir()
        prefix = "text." if custom else ""
        state = {(prefix + key if is_text(key) else key): value for key, value in tensors(built).items()}
        save_file(state, tmp_path / folder / f"{folder}.safetensors")
        config = copy.deepcopy(naive.SMALL)
        config["text_cfg"]["heads"] = heads
        write_config(tmp_path / folder / "open_clip.json", config)
        digests.append(load_backbone(str(tmp_path / folder / f"{folder}.safetensors")).digest)
    assert digests[0] == digests[1]
    assert digests[0] != digests[2]


def is_text(key: str) -> bool:
    return key.startswith(("token_embedding", "positional_embedding", "transformer", "ln_final", "text_projection"))


def test_compact_token_rows(tmp_path: Path) -> None:
    built = naive.model(naive.SMALL)
    ids = sorted({token for text in ("a dog.", "sea horse") for token in open_clip.SimpleTokenizer().encode(text)})
    ids += [49406, 49407]
    state = tensors(built)
    state["token_embedding.weight"] = state["token_embedding.weight"][ids]
    save_file(state | {"token_ids": torch.tensor(ids)}, tmp_path / "w.safetensors")
    write_config(tmp_path / "w.json", naive.SMALL)
    backbone = load_backbone(str(tmp_path / "w.safetensors"))
    whole = Backbone(built, "whole", {"size": 16})
    context = torch.randn(4, 32)
    found = backbone.text(context, backbone.class_tokens(["dog", "sea_horse"]))
    assert torch.equal(found, whole.text(context, whole.class_tokens(["dog", "sea_horse"])))
    for call in (lambda: backbone.class_tokens(["dog", "sea lion"]), lambda: backbone.phrase("a lion")):
        with pytest.raises(BenchError, match='no embedding for the word "lion"'):
            call()
    with pytest.raises(BenchError, match='the words "photo", "of" in "a photo'):
        backbone.text_templates(["a photo of a dog."])


def test_loading_leaves_the_global_generator_alone(tmp_path: Path) -> None:
    save_file(tensors(naive.model(naive.SMALL)), tmp_path / "w.safetensors")
    write_config(tmp_path / "w.json", naive.SMALL)
    torch.manual_seed(5)
    before = torch.get_rng_state()
    load_backbone(str(tmp_path / "w.safetensors"))
    assert torch.equal(torch.get_rng_state(), before)


def registered(monkeypatch: pytest.MonkeyPatch, quick: bool, file: Path | None) -> None:
    """Teach open_clip an architecture `Mini` with one pretrained tag, whose file is there or cannot be downloaded."""

    def download(settings: dict[str, Any], **_: Any) -> str:
        if file is None:
            raise FileNotFoundError("no network")
        return str(file)

    settings = {"hf_hub": "someone/mini/", "quick_gelu": quick, "mean": (0.5,) * 3, "std": (0.5,) * 3}
    monkeypatch.setitem(open_clip.pretrained._PRETRAINED, "Mini", {"published": settings})
    monkeypatch.setitem(open_clip.factory._MODEL_CONFIGS, "Mini", gelu(OPENAI, False))
    monkeypatch.setattr(open_clip.pretrained, "download_pretrained", download)


@pytest.mark.parametrize("quick", [False, True])
def test_the_pretrained_tag_decides_on_quick_gelu(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, quick: bool) -> None:
    file = tmp_path / "open_clip_model.safetensors"
    built = naive.model(gelu(OPENAI, quick))
    save_file(tensors(built), file)
    registered(monkeypatch, quick, file)
    for spec in ("Mini/published", f"Mini/published@{file}"):
        backbone = load_backbone(spec)
        assert same(backbone, built)
        assert json.loads(backbone.preprocess_id)["mean"] == [0.5] * 3
        assert backbone.name in ("Mini/published", f"Mini/published@{file.name}")


def test_an_architecture_for_a_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    registered(monkeypatch, True, None)
    built = naive.model(gelu(OPENAI, False))
    save_file(tensors(built), tmp_path / "w.safetensors")
    with caplog.at_level(logging.WARNING):
        assert same(load_backbone(f"Mini@{tmp_path}/w.safetensors"), built)
        load_backbone(f"Mini@{tmp_path}/w.safetensors")
    assert caplog.text.count("plain GELU") == 1


def test_a_failed_download_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    registered(monkeypatch, True, None)
    with pytest.raises(BenchError, match=r'no network.*someone/mini/ by hand and name it as "Mini/published@PATH"'):
        load_backbone("Mini/published")


@pytest.mark.parametrize(
    ("spec", "reason"),
    [
        ("tinny", 'did you mean "tiny"'),
        ("ViT-B-61/openai", 'did you mean "ViT-B-16"'),
        ("ViT-B-16/opennai", 'did you mean "openai"'),
        ("nowhere/weights.pt", "does not exist"),
        ("ViT-B-16@nowhere.pt", "does not exist"),
        ("NoNet@nowhere.pt", 'unknown architecture "NoNet"'),
    ],
)
def test_unknown_names(spec: str, reason: str) -> None:
    with pytest.raises(BenchError, match=reason) as caught:
        load_backbone(spec)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"width": 48}, r"positional_embedding has shape \[77, 32\], expected shape \[77, 48\]"),
        ({"layers": 4}, r"transformer.resblocks.3\S* has no such key, expected shape"),
        ({"layers": 2}, r"transformer.resblocks.2\S* has shape \S+, expected no such key"),
        ({"heads": 3}, "is malformed"),
        ({"depth": 3}, "is malformed"),
        ({"hf_model_name": "roberta-base"}, "Hugging Face text tower"),
    ],
)
def test_another_architecture_is_named(tmp_path: Path, change: dict[str, Any], reason: str) -> None:
    config = copy.deepcopy(naive.SMALL)
    config["text_cfg"].update(change)
    save_file(tensors(naive.model(naive.SMALL)), tmp_path / "w.safetensors")
    write_config(tmp_path / "w.json", config)
    with pytest.raises(BenchError, match=reason) as caught:
        load_backbone(str(tmp_path / "w.safetensors"))
    assert "\n" not in str(caught.value)


def test_weights_that_do_not_tell_their_activation(tmp_path: Path) -> None:
    save_file(tensors(naive.model(OPENAI)), tmp_path / "w.safetensors")
    with pytest.raises(BenchError, match="does not say its activation and head counts"):
        load_backbone(str(tmp_path / "w.safetensors"))


def test_files_that_are_no_checkpoints(tmp_path: Path) -> None:
    (tmp_path / "text.pt").write_text("hello", encoding="utf-8")
    (tmp_path / "torn.safetensors").write_bytes(b"\x10\x00")
    torch.save({"a": print}, tmp_path / "code.pt")
    torch.save({"a": 1}, tmp_path / "numbers.pt")
    save_file({"vision_model.embeddings.weight": torch.zeros(1)}, tmp_path / "other.safetensors")
    (tmp_path / "weights.onnx").write_bytes(b"")
    expected = {
        "text.pt": "not readable as weights",
        "torn.safetensors": "not readable as weights",
        "code.pt": "not readable as weights",
        "numbers.pt": "more than tensors",
        "other.safetensors": 'keys such as "vision_model',
        "weights.onnx": r'ends in ".onnx"',
    }
    for name, reason in expected.items():
        with pytest.raises(BenchError, match=reason) as caught:
            load_backbone(str(tmp_path / name))
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize("text", ["{", "[]", '{"model_cfg": {"embed_dim": 3}}'])
def test_a_malformed_json(tmp_path: Path, text: str) -> None:
    save_file(tensors(naive.model(naive.SMALL)), tmp_path / "w.safetensors")
    (tmp_path / "w.json").write_text(text, encoding="utf-8")
    with pytest.raises(BenchError, match="is not"):
        load_backbone(str(tmp_path / "w.safetensors"))


@pytest.mark.parametrize(
    ("name", "spec"),
    [
        ("tiny", Spec()),
        ("ViT-B-16/openai", Spec("ViT-B-16", "openai")),
        ("ViT-B/16/openai", Spec("ViT-B-16", "openai")),
        ("RN50@dir/x.pt", Spec("RN50", None, Path("dir/x.pt"))),
        ("RN50/openai@x.pt", Spec("RN50", "openai", Path("x.pt"))),
        ("dir/x.safetensors", Spec(path=Path("dir/x.safetensors"))),
    ],
)
def test_names_are_taken_apart(name: str, spec: Spec) -> None:
    assert parse(name) == spec


def test_weights_that_do_not_show_their_configuration(tmp_path: Path) -> None:
    square = {
        "visual.proj": torch.zeros(64, 8), "visual.conv1.weight": torch.zeros(64, 3, 2, 2),
        "visual.positional_embedding": torch.zeros(5, 64), "positional_embedding": torch.zeros(77, 65),
        "token_embedding.weight": torch.zeros(9, 65), "ln_final.weight": torch.zeros(65),
    }  # fmt: skip
    for state, expected in (
        (
            {"ln_final.weight": torch.zeros(64)},
            "has OpenAI's markers but no key 'visual.attnpool",
        ),
        (square | {"visual.conv1.weight": torch.zeros(3)}, "has OpenAI's markers and weights of other shapes"),
        (square, "has width 65, which is no multiple of 64"),
    ):
        with pytest.raises(BenchError, match=expected):
            infer_config(Checkpoint(state, True, None), tmp_path / "w.pt")


def test_a_tower_that_has_no_patch_tokens() -> None:
    with pytest.raises(BenchError, match="the image tower Linear has no patch tokens"):
        image_tower(torch.nn.Linear(1, 1))


def test_a_checkpoint_that_cannot_be_read_has_no_identity(tmp_path: Path) -> None:
    with pytest.raises(BenchError, match=r'checkpoint ".*none\.pt" cannot be read: No such file'):
        weights_identity(str(tmp_path / "none.pt"))
