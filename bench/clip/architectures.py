"""Look up open_clip's architectures and pretrained tags in its files. Importing it would take seconds and torch."""

from __future__ import annotations

import ast
import importlib.util
import json
import re
import sys
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any, Final

from bench.clip.spec import Spec, parse
from bench.errors import BenchError, did_you_mean

PREFERRED: Final = "openai"
QUICK: Final = "quick_gelu"
SPELLINGS: Final = {
    "resnet": "rn",
    "base": "b",
    "large": "l",
    "huge": "h",
    "patch": "",
}  # CoOp's and Hugging Face's for ours


def check_named(name: str, spec: Spec) -> None:
    """Reject an architecture or a tag that open_clip does not have, or whose towers are not CLIP's own.

    Args:
        name: as the user wrote it, for the message.
        spec: the same, taken apart; a checkpoint file alone is not looked at.

    Raises:
        BenchError: names what to write instead.
    """
    known = models()
    if spec.arch is None or not known:  # nothing to be read in this version's files: loading will tell
        return
    if spec.arch not in known:
        proposal = proposed(name)
        near = f'did you mean "{proposal}"?' if proposal else did_you_mean(spec.arch, known)
        raise BenchError(f'unknown architecture "{spec.arch}" in backbone "{name}"; {near}')
    tags = pretrained_tags().get(spec.arch, ())
    if spec.tag is not None and clean_tag(spec.tag) not in tags:
        raise BenchError(f'unknown pretrained tag "{spec.tag}" of {spec.arch}; {did_you_mean(spec.tag, tags)}')
    check_towers(known[spec.arch], f'backbone "{name}"')


def check_towers(config: Mapping[str, Any], origin: str) -> None:
    """Reject a configuration whose towers are not CLIP's own, or whose images are not square.

    Args:
        config: open_clip's, with `vision_cfg` and `text_cfg`.
        origin: whose, for the message.

    Raises:
        BenchError: says what it is configured with.
    """
    vision, text = config["vision_cfg"], config["text_cfg"]
    foreign = {
        "multimodal_cfg": config.get("multimodal_cfg"),
        "a timm image tower": vision.get("timm_model_name"),
        "a Hugging Face text tower": text.get("hf_model_name"),
        "another tokenizer": text.get("hf_tokenizer_name") or text.get("tokenizer_kwargs"),
    }
    for what, present in foreign.items():
        if present:
            raise BenchError(
                f"{origin} is configured with {what}; expected CLIP's own towers and tokenizer: choose a backbone such "
                "as ViT-B-16/openai."
            )
    for what in ("image_size", "patch_size"):
        check_square(vision.get(what), what, origin)


def check_square(size: Any, what: str, origin: str) -> None:
    """Reject a pair of two different lengths.

    Raises:
        BenchError: names both.
    """
    if isinstance(size, list | tuple) and len(set(size)) != 1:
        raise BenchError(
            f"{origin} has {what} {list(size)}, and images and patches are square here; choose a backbone whose "
            f"{what} is one number, such as ViT-B-16/openai."
        )


def proposed(name: str) -> str | None:
    """Return the canonical name of weights for another spelling (ViT-B/16, ViT-L/14@336px, RN50, vit_b16), or None."""
    for text, path in _readings(name):
        arch = _plain_names().get(_plain(text))
        if arch is None:
            continue
        tags, wanted = pretrained_tags().get(arch, ()), parse(name).tag
        given = clean_tag(wanted) if wanted else PREFERRED
        tag = given if given in tags else PREFERRED if PREFERRED in tags else next(iter(tags), None)
        return f"{arch}/{tag}{path}" if tag else f"{arch}{path}" if path else None
    return None


def _readings(name: str) -> Iterator[tuple[str, str]]:
    """List parts of a name that may be an architecture, each with the checkpoint that follows it."""
    left, at, path = name.partition("@")
    yield name, ""
    for text in (left, left.rpartition("/")[0]):
        if text:
            yield text, f"{at}{path}"


@cache
def _plain_names() -> dict[str, str]:
    return {_plain(arch): arch for arch in models()}


def _plain(text: str) -> str:
    """Reduce a name to letters and digits, in open_clip's spelling."""
    plain = re.sub(r"[^a-z0-9]", "", text.lower()).removesuffix("px")
    plain = plain.removeprefix("openai").removeprefix("clip")
    for word, ours in SPELLINGS.items():
        plain = plain.replace(word, ours)
    return plain


def clean_tag(tag: str) -> str:
    """Normalise a tag as open_clip does, so that OpenAI and openai are one."""
    return tag.lower().replace("-", "_")


def models() -> Mapping[str, Mapping[str, Any]]:
    """Return the configurations by architecture; empty where open_clip's files are not as expected."""
    if "open_clip" in sys.modules:  # then a plugin may have added some
        import open_clip

        return {arch: open_clip.get_model_config(arch) for arch in open_clip.list_models()}
    return _stored_models()


@cache
def _stored_models() -> Mapping[str, Mapping[str, Any]]:
    files = (_package() / "model_configs").glob("*.json")
    read = {file.stem: json.loads(file.read_text(encoding="utf-8")) for file in sorted(files)}
    return {arch: config for arch, config in read.items() if {"embed_dim", "vision_cfg", "text_cfg"} <= config.keys()}


def pretrained_tags() -> Mapping[str, tuple[str, ...]]:
    """Return the tags by architecture."""
    if "open_clip" in sys.modules:
        import open_clip

        return {arch: tuple(open_clip.list_pretrained_tags_by_model(arch)) for arch in open_clip.list_models()}
    return _stored_tags()


@cache
def _stored_tags() -> Mapping[str, tuple[str, ...]]:
    """Read the tags from the module that lists them.

    It has tables `NAME = dict(TAG=...)`, and one of these by architecture.
    """
    tables: dict[str, dict[str, bool]] = {}
    found: dict[str, tuple[str, ...]] = {}
    for node in ast.parse((_package() / "pretrained.py").read_text(encoding="utf-8")).body:
        if not isinstance(node, ast.Assign) or not isinstance(node.targets[0], ast.Name):
            continue
        if isinstance(node.value, ast.Call):
            tables[node.targets[0].id] = _table(node.value)
        elif node.targets[0].id == "_PRETRAINED" and isinstance(node.value, ast.Dict):
            for key, value in zip(node.value.keys, node.value.values, strict=True):
                table = tables.get(value.id, {}) if isinstance(value, ast.Name) else _table(value)
                arch = str(getattr(key, "value", ""))
                found[arch] = tuple(table)
                found[f"{arch}-quickgelu"] = tuple(tag for tag, quick in table.items() if quick)
    return found


def _table(node: ast.AST) -> dict[str, bool]:
    """Read the tags of `dict(TAG=_pcfg(...), ...)`, and whether their weights use quick-gelu."""
    keywords = node.keywords if isinstance(node, ast.Call) else []
    return {
        str(tag.arg): any(part.arg == QUICK and ast.unparse(part.value) == "True" for part in tag.value.keywords)
        for tag in keywords
        if isinstance(tag.value, ast.Call)
    }


@cache
def _package() -> Path:
    found = importlib.util.find_spec("open_clip")
    return Path(*(found.submodule_search_locations or ["."])[:1]) if found else Path()
