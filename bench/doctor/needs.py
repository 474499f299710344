"""Examine whether data sets, weights and files that a grid reads are present and whole."""

from __future__ import annotations

import os
import shlex
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from bench import dataset_name
from bench.clip import identity
from bench.clip.spec import parse
from bench.doctor.diagnosis import Diagnosis, Subject, judged
from bench.errors import BenchError
from bench.execution.preflight import named_by
from bench.plugins import DATASETS


def datasets(subject: Subject) -> Iterator[Diagnosis]:
    """List the grid's data sets, and the folders of the settings that are not there. No image is decoded."""
    library, named = subject.library, [*subject.table.dataset, *_of_noise(subject, "dataset")]
    for name in dict.fromkeys(named):
        shown, own = dataset_name.shown(name), dataset_name.folder_of(name) is not None
        about = f"data set {shown}"
        try:
            lines = library.missing(dataset_name.canonical(name))
        except BenchError as error:
            lines = error.lines
        mend = f"ls {shlex.quote(str(dataset_name.folder_of(name)))}" if own else _prepare(name)
        for line in lines:
            yield Diagnosis(about, "problem", line.rstrip("."), mend)
        if not lines:
            yield Diagnosis(about, "ok", "present" if own or not _verifiable(name) else _present(name))
    for name, root in library.roots.items():
        folder = Path(root).expanduser()
        if not (os.access(folder, os.F_OK) and folder.is_dir()):
            yield Diagnosis(f"data set {name}", "note", f'its folder "{root}" is not there', _prepare(name))


def weights(subject: Subject) -> Iterator[Diagnosis]:
    """List the weights of the grid's backbones, whether they are here, and whether files are whole."""
    for name in dict.fromkeys([*subject.table.backbone, *_of_noise(subject, "backbone")]):
        try:
            yield _weights(name)
        except BenchError as error:
            yield Diagnosis(f"weights {name}", "problem", str(error).rstrip("."), "bench list backbones")


def noise_files(subject: Subject) -> Iterator[Diagnosis]:
    """List files that kinds of noise read and that are not there."""
    for file in dict.fromkeys(_of_noise(subject, "file")):
        path = Path(file).expanduser()
        there = os.access(path, os.R_OK) and path.is_file()
        told = f'"{file}" {"is there" if there else "is not there"}'
        yield judged("noise file", told, not there, f"ls {shlex.quote(file)}")


def _prepare(name: str) -> str:
    return f"bench data prepare {shlex.quote(name)}"


def _verifiable(name: str) -> bool:
    return not DATASETS.get(dataset_name.base(dataset_name.canonical(name))).embedded


def _present(name: str) -> str:
    return f"present; to decode every image: bench data verify {shlex.quote(name)}"


def _of_noise(subject: Subject, role: str) -> list[str]:
    """List data sets, weights or files that options of the grid's kinds of noise name."""
    found = []
    for entry in subject.table.noise:
        try:
            found += [value for of, value in named_by(entry.kind) if of == role]
        except BenchError:  # of an unknown kind, which `bench plan` tells
            continue
    return found


def _weights(name: str) -> Diagnosis:
    about = f"weights {name}"
    if identity.registered(name):
        problem = broken(identity.TINY_WEIGHTS) if name == "tiny" else ""
        mend = "uv pip install --reinstall noisy-prompt-bench"
        return judged(about, problem or "come with the package", bool(problem), mend)
    spec = parse(name)
    if spec.path is not None:
        problem = broken(spec.path)
        told = problem or f"{spec.path} is there and whole"
        return judged(about, told, bool(problem), f"ls -l {shlex.quote(str(spec.path))}")
    identity.canonical(name)  # raises where open_clip has no such architecture or tag
    return _downloaded(name, spec.arch or "", spec.tag or "")


def _downloaded(name: str, arch: str, tag: str) -> Diagnosis:
    """Find weights of open_clip in its cache, without the network."""
    from open_clip.pretrained import get_pretrained_cfg

    settings = get_pretrained_cfg(arch, tag)
    file, about = _cached(settings), f"weights {name}"
    if file is None:
        create = f"import open_clip; open_clip.create_model({arch!r}, {tag!r})"
        source = settings.get("hf_hub") or settings.get("url")
        return Diagnosis(about, "problem", f"not on this machine yet, the run would fetch them from {source}",
                       f"python -c {shlex.quote(create)}")  # fmt: skip
    problem = broken(file)
    return judged(about, problem or "in open_clip's cache, whole", bool(problem), f"rm {shlex.quote(str(file))}")


def _cached(settings: dict[str, Any]) -> Path | None:
    """Return the file that open_clip has fetched for an architecture and tag, by the rules of its own download."""
    from huggingface_hub import try_to_load_from_cache
    from open_clip import constants

    if settings.get("file"):
        return Path(settings["file"])
    if hub := settings.get("hf_hub"):
        model, _, name = str(hub).rpartition("/")
        names = [name] if name else [constants.HF_SAFE_WEIGHTS_NAME, constants.HF_WEIGHTS_NAME]
        found = next((path for one in names if isinstance(path := try_to_load_from_cache(model, one), str)), None)
        return Path(found) if found else None
    file = Path("~/.cache/clip").expanduser() / Path(str(settings.get("url", ""))).name
    return file if file.is_file() else None


def broken(file: Path) -> str:
    """Return why a weights file is not there or not whole, as a clause; empty where it is. Weights are not read."""
    if not file.is_file():
        return f'"{file}" does not exist'
    if file.suffix == ".safetensors":
        from safetensors import SafetensorError, safe_open

        try:
            with safe_open(file, framework="numpy"):
                return ""
        except (SafetensorError, OSError) as error:
            return f'"{file}" is not whole: {" ".join(str(error).split())}'
    whole = zipfile.is_zipfile(file)  # its list of contents is at the end
    return "" if whole else f'"{file}" is not whole, or of a format before torch 1.6'
