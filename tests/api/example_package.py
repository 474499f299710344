"""The example package, as an installer would leave it."""

from __future__ import annotations

import tomllib
from pathlib import Path

from tests import ROOT

SOURCE = ROOT / "examples" / "my_package"
ENTRY_POINTS = "noisy_prompt_bench.methods"


def installed(folder: Path) -> Path:
    """Make a folder for the path of Python with the package and what stands beside an installed one."""
    project = tomllib.loads((SOURCE / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    info = folder / "site" / f"{project['name'].replace('-', '_')}-{project['version']}.dist-info"
    info.mkdir(parents=True)
    (info.parent / "nearest_mean").symlink_to(SOURCE / "nearest_mean")
    metadata = {"Metadata-Version": "2.1", "Name": project["name"], "Version": project["version"]}
    metadata["Summary"] = project["description"]
    (info / "METADATA").write_text("".join(f"{key}: {value}\n" for key, value in metadata.items()), encoding="utf-8")
    (group, points), *others = project["entry-points"].items()
    assert (group, others) == (ENTRY_POINTS, [])
    lines = [f"[{group}]", *(f"{name} = {target}" for name, target in points.items()), ""]
    (info / "entry_points.txt").write_text("\n".join(lines), encoding="utf-8")
    return info.parent
