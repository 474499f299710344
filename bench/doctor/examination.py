"""Run every check in isolation: one that fails is a diagnosis itself."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

from bench.doctor import devices, folders, needs, packages, ray_sessions, records
from bench.doctor.diagnosis import Check, Diagnosis, Subject
from bench.errors import BenchError, described, text_of

CORRECT = "change it as its line says"
REPORT = "report it with its line; the other checks stand"
MACHINE: Mapping[str, Callable[[], Iterable[Diagnosis]]] = {
    "packages": packages.versions,
    "installed plugins": packages.installed_plugins,
    "memory": devices.memory,
    "processors": devices.processors,
    "shared memory": ray_sessions.shared_memory,
    "Ray sessions and processes": ray_sessions.left_over,
    "ports": ray_sessions.ports,
}
SETTINGS: Mapping[str, Check] = {
    "devices": devices.torch_devices,
    "data sets": needs.datasets,
    "weights": needs.weights,
    "files of noise": needs.noise_files,
    "disks": folders.disks,
    "cache": folders.cache,
    "store": records.access,
    "records": records.content,
    "leftovers": records.leftovers,
}


def examine(plugins: Sequence[str], subject: Callable[[], Subject]) -> list[Diagnosis]:
    """Run all checks.

    Args:
        plugins: Python files that register plugins, imported first.
        subject: reads the settings; where it raises, the checks that need them are passed over.
    """
    found = [*_isolated("plugin files", lambda: packages.plugin_files(plugins))]
    for name, check in MACHINE.items():
        found += _isolated(name, check)
    settings = _settings(subject)
    if isinstance(settings, list):
        return [*found, *settings]
    for name, examined in SETTINGS.items():
        found += _isolated(name, lambda examined=examined: examined(settings))  # type: ignore[misc]
    return found


def _settings(subject: Callable[[], Subject]) -> Subject | list[Diagnosis]:
    try:
        return subject()
    except BenchError as error:
        passed = f"not examined, since the settings cannot be read: {', '.join(SETTINGS)}"
        lines = [Diagnosis("settings", "problem", line, CORRECT) for line in error.lines]
        return [*lines, Diagnosis("settings", "note", passed)]
    except Exception as error:  # noqa: BLE001 - a plugin of the settings may raise anything
        return [Diagnosis("settings", "problem", described(error), CORRECT)]


def _isolated(name: str, check: Callable[[], Iterable[Diagnosis]]) -> Iterator[Diagnosis]:
    """Yield the diagnoses of a check, and one in place of what it raises."""
    try:
        yield from check()
    except BenchError as error:
        yield Diagnosis(name, "problem", text_of(error), CORRECT)
    except Exception as error:  # noqa: BLE001 - whatever it is, the other checks go on
        yield Diagnosis(name, "problem", f"could not be examined: {described(error)}", REPORT)
