"""Writes a plugin to start from: a file, a package, or a part of a checkout."""

from __future__ import annotations

import keyword
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal

from bench.errors import BenchError
from bench.files import is_file
from bench.plugins import REGISTRIES

Kind = Literal["method", "noise", "dataset", "loss", "split"]
Form = Literal["file", "package", "checkout"]
FUNCTIONS: Final = {"loss": "compute", "split": "choose"}
# Of each kind: the folder of the code and that of the test in a checkout, and the tuple of rows, as file and name.
PLACES: Final[Mapping[str, tuple[str, str, str, str]]] = {
    "method": ("methods", "tests/methods", "methods/__init__.py", "ROWS"),
    "noise": ("noise", "tests/noise", "noise/__init__.py", "ROWS"),
    "dataset": ("bench/data/sets", "tests/data/sets", "bench/data/sets/__init__.py", "ROWS"),
    "loss": ("methods/parts", "tests/methods/parts", "methods/parts/__init__.py", "LOSSES"),
    "split": ("methods/parts", "tests/methods/parts", "methods/parts/__init__.py", "SPLITS"),
}
# What else the row of a kind says.
SAID: Final = {
    "method": ', title="{title}", family="losses"',
    "noise": ', title="{title}", identifiable=0.5',
    "dataset": ', title="{title}"',
}
# Where the documentation has a table with a row for each plugin of a kind: its page and the row.
PAGES: Final = {
    "method": ("docs/methods.md", "| `{name}` | SOURCE | 8,192 | |"),
    "noise": ("docs/noise.md", "| `{name}` | ⌊r·N⌋ labels: the class `shift` further | SOURCE | yes | same | exact |"),
    "dataset": ("docs/datasets.md", "| `{name}` | 10 | 898 / 360 / 539 | | CC BY 4.0 | comes with scikit-learn |"),
}
COUNTS: Final = ("tests/testing/test_method_contract.py", "COUNTS = [", '    ("{name}", {}, 8_192),')
IMPORTED: Final = ("bench", "torch", "numpy", "pytest")  # by what is written; a file or function would hide them
_NAME = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)*")


@dataclass(frozen=True)
class Starter:
    """A plugin to be written.

    Attributes:
        kind: what it is.
        name: as in `--set method=NAME`: lower case, with hyphens.
        form: a file for `--plugin`, a package with an entry point, or files and a row in a checkout.

    Raises:
        BenchError: the name cannot be used, or is taken.
    """

    kind: Kind
    name: str
    form: Form

    def __post_init__(self) -> None:
        if not _NAME.fullmatch(self.name) or keyword.iskeyword(self.name) or self.name in IMPORTED:
            raise BenchError(
                f'"{self.name}" is no name for a {self.kind}; use lower-case letters, digits and hyphens, '
                "beginning with a letter, and no word of Python or module that it imports, for example my-method."
            )
        registry = next(one for one in REGISTRIES if one.kind == self.kind)
        if (taken := registry.find(self.name)) is not None:
            raise BenchError(f'{self.kind} "{self.name}" is there already ({taken.origin}); choose another name.')

    @property
    def module(self) -> str:
        """Name of the module and, for a loss or a split, of the function."""
        return self.name.replace("-", "_")

    @property
    def object(self) -> str:
        """Name of the class or function."""
        if self.kind in FUNCTIONS:
            return f"{FUNCTIONS[self.kind]}_{self.module}" if self.form == "checkout" else self.module
        return "".join(word.capitalize() for word in self.name.split("-"))

    @property
    def title(self) -> str:
        """Name in tables and figures."""
        return self.name.replace("-", " ").capitalize()

    def files(self) -> dict[str, str]:
        """Render the files by path, relative to where they are written."""
        code, test, page = (self._render(f"{part}.jinja") for part in (f"{self.kind}.py", "test.py", "page.md"))
        if self.form == "file":
            return {f"{self.module}.py": code, f"test_{self.module}.py": test, f"{self.module}.md": page}
        if self.form == "package":
            return {
                f"{self.name}/pyproject.toml": self._render("pyproject.toml.jinja"),
                f"{self.name}/README.md": page,
                f"{self.name}/{self.module}/__init__.py": code,
                f"{self.name}/tests/test_{self.module}.py": test,
            }
        folder, tests, *_ = PLACES[self.kind]
        return {f"{folder}/{self.module}.py": code, f"{tests}/test_{self.module}.py": test}

    def edits(self, root: Path) -> dict[str, str]:
        """Return the files of a checkout that get a line, with their new content; none in another form."""
        if self.form != "checkout":
            return {}
        _, _, rows, names = PLACES[self.kind]
        row = f'    Row("{self.name}", "{self._target}", "SUMMARY"{SAID.get(self.kind, "").format(title=self.title)}),'
        edits = {rows: _before(root / rows, f"{names} = (", "\n)", row)}
        if self.kind in PAGES:
            page, line = PAGES[self.kind]
            edits[page] = _below_table(root / page, line.format(name=self.name))
        if self.kind == "method":
            file, start, line = COUNTS
            edits[file] = _before(root / file, start, "\n]", line.replace("{name}", self.name))
        return edits

    def next_steps(self) -> list[str]:
        """List commands that show what was written at work."""
        plugin = f" --plugin {self.module}.py" if self.form == "file" else ""
        variants = {
            "method": f"method=coop,{self.name}",
            "noise": f"noise={self.name}",
            "dataset": f"dataset={self.name}",
        }
        axis = variants.get(self.kind, f'method=coop,"coop[{self.kind}={self.name}]"')
        noise = "" if self.kind == "noise" else " --set noise=symmetric"
        test = {"file": f"test_{self.module}.py", "package": f"{self.name}/tests"}.get(
            self.form, f"{PLACES[self.kind][1]}/test_{self.module}.py"
        )
        install = [f"install it:  pip install --editable {self.name}"] if self.form == "package" else []
        return [
            *install,
            f"run it:      bench run{plugin} --set {axis}{noise} --set rate=0.5",
            f"test it:     python -m pytest {test}",
            "then write your own idea, and replace what stands in capitals.",
        ]

    @property
    def imported(self) -> str:
        """Module that the test imports the plugin from."""
        return self._target.partition(":")[0] if self.form == "checkout" else self.module

    @property
    def _target(self) -> str:
        folder = PLACES[self.kind][0].replace("/", ".")
        return f"{folder if folder.startswith('bench.') else f'bench.{folder}'}.{self.module}:{self.object}"

    def _render(self, template: str) -> str:
        import jinja2

        environment = jinja2.Environment(
            loader=jinja2.PackageLoader("bench.scaffold"), undefined=jinja2.StrictUndefined, trim_blocks=True,
            lstrip_blocks=True, keep_trailing_newline=True, autoescape=False,  # noqa: S701 - Python, TOML and Markdown
        )  # fmt: skip
        names = ("kind", "name", "form", "module", "object", "title", "imported")
        facts: dict[str, Any] = {name: getattr(self, name) for name in names}
        return environment.get_template(template).render(facts)


def is_checkout(folder: Path) -> bool:
    """Check whether a folder is the root of a checkout of this project."""
    return all(is_file(folder / rows) for _, _, rows, _ in PLACES.values())


def _before(file: Path, start: str, end: str, line: str) -> str:
    """Return a file's text with a line added before the first `end` behind `start`."""
    text = file.read_text(encoding="utf-8")
    place = text.find(end, text.find(start)) if start in text else -1
    if place < 0:
        raise BenchError(f'{file}: no "{start}", so that no row can be added; is this a checkout as released?')
    return f"{text[:place]}\n{line}{text[place:]}"


def _below_table(file: Path, line: str) -> str:
    """Return a page with a row added below the first table whose rows begin with a name."""
    lines = file.read_text(encoding="utf-8").split("\n")
    first = next(index for index, text in enumerate(lines) if text.startswith("| `"))
    last = next(index for index in range(first, len(lines)) if not lines[index].startswith("|"))
    return "\n".join([*lines[:last], line, *lines[last:]])
