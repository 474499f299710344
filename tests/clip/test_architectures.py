"""Architectures and tags of open_clip, known without importing it; and the spellings that stand for them."""

from __future__ import annotations

import copy
import subprocess
import sys
from pathlib import Path
from typing import Any

import open_clip
import pytest
import torch
from open_clip import pretrained
from safetensors.torch import save_file

from bench.cli.main import invoke
from bench.clip import architectures
from bench.clip.backbone import Backbone
from bench.clip.identity import canonical, weights_identity
from bench.clip.load import load_backbone
from bench.errors import BenchError
from tests.clip import naive
from tests.clip.test_load import MARKERS, OPENAI, tensors, write_config


def test_files_of_open_clip_say_what_it_says_itself() -> None:
    stored, tags = architectures._stored_models(), architectures._stored_tags()
    assert set(stored) == set(open_clip.list_models()) == set(architectures.models())
    assert all(stored[arch] == open_clip.get_model_config(arch) for arch in stored)
    assert {a: t for a, t in tags.items() if t} == {a: tuple(t) for a, t in pretrained._PRETRAINED.items()}


@pytest.mark.parametrize(
    ("spelling", "name"),
    [
        ("ViT-B/16", "ViT-B-16/openai"),
        ("ViT-B/32", "ViT-B-32/openai"),
        ("ViT-L/14", "ViT-L-14/openai"),
        ("ViT-L/14@336px", "ViT-L-14-336/openai"),
        ("ViT-B-16", "ViT-B-16/openai"),
        ("RN50", "RN50/openai"),
        ("RN50x4", "RN50x4/openai"),
        ("ResNet50", "RN50/openai"),
        ("vit_b16", "ViT-B-16/openai"),
        ("vit-b-16/openai", "ViT-B-16/openai"),
        ("CLIP ViT-B/32", "ViT-B-32/openai"),
        ("openai/clip-vit-base-patch32", "ViT-B-32/openai"),
        ("ViT-B/16@weights.pt", "ViT-B-16/openai@weights.pt"),
        ("vit-b-32/laion400m-e32", "ViT-B-32/laion400m_e32"),
        ("ViT-H/14", "ViT-H-14/laion2b_s32b_b79k"),
    ],
)
def test_spellings_of_papers_are_answered_at_plan(spelling: str, name: str, capsys: pytest.CaptureFixture[str]) -> None:
    for what in (f"backbone={spelling}", f"noise=instance[encoder={spelling}]"):
        assert invoke(["plan", "--set", "method=coop", "--set", what]) == 2
        (line,) = capsys.readouterr().err.splitlines()
        assert f'backbone "{spelling}"; did you mean "{name}"?' in line
    if "@" not in name:
        assert weights_identity(name) == name


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("ViT-B-61/openai", 'unknown architecture "ViT-B-61" in backbone "ViT-B-61/openai"; did you mean "ViT-B-16"'),
        ("ViT-B-16/opennai", 'unknown pretrained tag "opennai" of ViT-B-16; did you mean "openai"'),
        ("NoNet@nowhere.pt", 'unknown architecture "NoNet"'),
        ("ViT-B-16-SigLIP/webli", "is configured with a timm image tower"),
        ("roberta-ViT-B-32/laion2b_s12b_b32k", "is configured with a Hugging Face text tower"),
        ("ViT-L-14-CLIPA/datacomp1b", "is configured with another tokenizer"),
        ("tinny", 'unknown backbone "tinny"; did you mean "tiny"'),
    ],
)
def test_what_open_clip_does_not_have_is_told_at_plan(
    name: str, reason: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert invoke(["plan", "--set", f"backbone={name}"]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert reason in line


def test_all_that_is_wrong_with_the_backbones_of_a_plan_is_told_at_once(capsys: pytest.CaptureFixture[str]) -> None:
    assert invoke(["plan", "--set", "backbone=tiny,ViT-B/16,RN50/opennai"]) == 2
    lines = capsys.readouterr().err.splitlines()
    assert ["ViT-B-16/openai" in lines[0], '"opennai" of RN50' in lines[1], len(lines)] == [True, True, 2]


def test_a_plan_imports_no_torch_to_know_a_backbone() -> None:
    program = (
        "import sys; from bench.clip.identity import canonical; from bench.errors import BenchError\n"
        "assert canonical('ViT-B-16/openai') == 'ViT-B-16/openai'\n"
        "try: canonical('ViT-B/16')\n"
        "except BenchError as error: assert 'ViT-B-16/openai' in str(error)\n"
        "sys.exit(repr({'torch', 'open_clip', 'numpy'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.stderr.strip() == "set()"


def test_two_spellings_of_a_tag_are_one_backbone() -> None:
    assert canonical("ViT-B/32/LAION400M-e32") == canonical("ViT-B-32/laion400m_e32") == "ViT-B-32/laion400m_e32"


def test_an_architecture_that_a_plugin_adds_is_known(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(open_clip.factory._MODEL_CONFIGS, "Mini", OPENAI)
    monkeypatch.setitem(pretrained._PRETRAINED, "Mini", {"own": {}})
    assert weights_identity("Mini/own") == "Mini/own"


@pytest.mark.parametrize(
    ("tower", "what"),
    [({"image_size": [32, 64]}, r"image_size \[32, 64\]"), ({"patch_size": [16, 8]}, r"patch_size \[16, 8\]")],
)
def test_towers_for_images_that_are_not_square_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tower: dict[str, Any], what: str
) -> None:
    """With a JSON beside, as an architecture with weights or a file, and where a plugin builds the facade itself."""
    config = copy.deepcopy(OPENAI)
    config["vision_cfg"] |= tower
    built, file = naive.model(config), tmp_path / "w.safetensors"
    save_file(tensors(built), file)
    write_config(tmp_path / "w.json", config)
    monkeypatch.setitem(open_clip.factory._MODEL_CONFIGS, "Wide", config)
    monkeypatch.setitem(pretrained._PRETRAINED, "Wide", {"own": {"file": str(file)}})
    calls = [
        lambda name=name: load_backbone(name) for name in (str(file), "Wide/own", f"Wide@{file}", f"Wide/own@{file}")
    ]
    for call in [*calls, lambda: Backbone(built, "own", {"size": 32})]:
        with pytest.raises(BenchError, match=what) as caught:
            call()
        assert "\n" not in str(caught.value)
    with pytest.raises(BenchError, match=what):
        weights_identity("Wide/own")


def test_openai_weights_for_images_that_are_not_square(tmp_path: Path) -> None:
    wide, resnet = (
        copy.deepcopy(OPENAI),
        OPENAI | {"vision_cfg": {"image_size": 64, "layers": [1, 1, 2, 1], "width": 4}},
    )
    wide["vision_cfg"]["image_size"] = [32, 64]
    torch.save(tensors(naive.model(wide)) | MARKERS, tmp_path / "vit.pt")
    state = tensors(naive.model(resnet)) | MARKERS
    state["visual.attnpool.positional_embedding"] = torch.zeros(9, 128)
    torch.save(state, tmp_path / "rn.pt")
    for name in ("vit.pt", "rn.pt"):
        with pytest.raises(BenchError, match="8 patches, which make no square"):
            load_backbone(str(tmp_path / name))


def test_a_pair_of_two_equal_sides_is_square(tmp_path: Path) -> None:
    config = copy.deepcopy(OPENAI)
    config["vision_cfg"]["image_size"] = [32, 32]
    save_file(tensors(naive.model(config)), tmp_path / "w.safetensors")
    write_config(tmp_path / "w.json", config)
    assert load_backbone(str(tmp_path / "w.safetensors")).image_size == 32
