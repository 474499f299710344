"""Members of a pack in one computation: `torch.func.vmap` over their stacked parameters, buffers and batches."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import fields, is_dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.func import functional_call, vmap

from bench.contracts.method import Batch, Inputs, Losses, Method
from bench.contracts.options import scalar_options
from bench.engine.member import Member, Step, separate
from bench.lockstep import in_lockstep

OWN = ("numbers", "check_time")  # of a member alone; not read while it is trained
PARTS = {"_parameters", "_buffers", "_modules"}
FEATURES = ("pooled", "tokens", "pixels", "index")
REFUSED = {  # by what torch says of it
    "data-dependent control flow": "its code branches on the value of a tensor",
    ".item()": "its code reads the value of a tensor as a number",
    "randomness error mode": "its code draws from torch's global generator",
}


class Unlike(TypeError):
    """Error of members that cannot be run as one; the text says why."""


class _Call(nn.Module):
    """Module whose forward is any function of another, so that parameters can be passed to all of them."""

    def __init__(self, method: Method) -> None:
        super().__init__()
        self.method = method

    def forward(self, name: str, *arguments: Any) -> Any:
        return getattr(self.method, name)(*arguments)


class Pack:
    """Members of equal structure, with parameters and buffers stacked as they are now.

    Raises:
        Unlike: shapes, or the structure of submodules, differ.
    """

    def __init__(self, members: Sequence[Member]) -> None:
        self.members = members
        methods = [member.method for member in members]
        self._shell, self._hidden = _shell(methods)
        self._call = _Call(self._shell)
        self._parameters = _stacked([dict(method.named_parameters()) for method in methods])
        trained = {name for name, p in methods[0].named_parameters() if p.requires_grad}
        if any({name for name, p in method.named_parameters() if p.requires_grad} != trained for method in methods):
            raise Unlike("they train other parameters")
        self._trained = [f"method.{name}" for name, _ in methods[0].named_parameters() if name in trained]
        self._buffers = _stacked([dict(method.named_buffers()) for method in methods], partly=True)

    def prepare(self) -> list[dict[str, Tensor]]:
        """Compute `prepare` of all members without gradient."""
        with torch.no_grad(), self._pure():
            found = vmap(lambda state: self._called(state, "prepare"))(self._state())
        return [{name: value[number] for name, value in found.items()} for number in range(len(self.members))]

    def train(self) -> list[Step]:
        """Compute the losses of the members' batches, and leave the gradients with their parameters."""
        batches = [member.batch for member in self.members]
        for name in self._trained:
            rows = [member.method.get_parameter(name.removeprefix("method.")).detach() for member in self.members]
            self._parameters[name] = torch.stack(rows).requires_grad_()
        names: list[str] = []

        def losses(state: dict[str, Tensor], parts: Mapping[str, Tensor]) -> tuple[Any, Any]:
            found: Losses = self._called(state, "forward", _batch(parts, batches[0].phase))
            names[:] = found.terms
            return dict(found.terms), dict(found.state)

        with self._pure():
            terms, state = vmap(losses)(self._state(), _parts(batches))
        total = torch.stack(list(terms.values())).sum(0)
        leaves = {name: self._parameters[name] for name in self._trained}
        if self.members[0].needs.separate_gradients:
            gradients = self._combined({name: separate(value.sum(), leaves) for name, value in terms.items()})
        else:
            gradients = dict(
                zip(leaves, torch.autograd.grad(total.sum(), list(leaves.values()), allow_unused=True), strict=True)
            )
        self._hand_out(gradients)
        values = torch.stack([*terms.values(), total], dim=1).detach()
        return [
            Step(tuple(names), values[number], {name: rows[number] for name, rows in state.items()})
            for number in range(len(self.members))
        ]

    def finish(self, member: Member, step: int, done: Step) -> None:
        """Move the parameters of a member, and write its state, here too."""
        number = self.members.index(member)
        member.finish(step, done)
        for name, rows in done.state.items():
            member.write(self._buffers[f"method.{name}"][number], step, rows)

    def _state(self) -> dict[str, Tensor]:
        return {**self._parameters, **self._buffers}

    def _called(self, state: dict[str, Tensor], name: str, *arguments: Any) -> Any:
        """Call the method with these parameters and buffers in place of its own."""
        given = dict(state)
        found = functional_call(self._call, given, (name, *arguments))
        if replaced := [name for name in state if given[name] is not state[name]]:
            raise Unlike(f'its code sets the buffer "{replaced[0].removeprefix("method.")}"')
        return found

    @contextmanager
    def _pure(self) -> Iterator[None]:
        """Run members together. Raises Unlike where their code does what a pure function does not."""
        attributes, state = dict(vars(self._shell)), self._state()
        versions = {name: value._version for name, value in state.items()}  # noqa: SLF001 - torch has no other name for it
        try:
            with in_lockstep():
                yield
        except AttributeError as error:
            if error.name not in self._hidden:
                raise
            raise Unlike(f'its code reads "{error.name}", which is {self._hidden[error.name]}') from error
        except RuntimeError as error:
            if reason := next((plain for text, plain in REFUSED.items() if text in str(error)), ""):
                raise Unlike(reason) from error
            raise
        if written := [name for name, value in state.items() if value._version != versions[name]]:  # noqa: SLF001
            raise Unlike(f'its code writes to "{written[0].removeprefix("method.")}"')
        after = vars(self._shell)
        if changed := [name for name in after if after[name] is not attributes.get(name)]:
            raise Unlike(f'its code sets "{changed[0]}"')

    def _combined(self, gradients: Mapping[str, Mapping[str, Tensor]]) -> dict[str, Tensor | None]:
        plain = {term: {n.removeprefix("method."): g for n, g in own.items()} for term, own in gradients.items()}
        state = {name: value.detach() for name, value in self._state().items()}
        with self._pure():
            found = vmap(lambda state, own: self._called(state, "combine", own))(state, plain)
        return {f"method.{name}": value.detach() for name, value in found.items()}

    def _hand_out(self, gradients: Mapping[str, Tensor | None]) -> None:
        for number, member in enumerate(self.members):
            for parameter in member.parameters:
                parameter.grad = None
            for name, gradient in gradients.items():
                if gradient is not None:
                    member.method.get_parameter(name.removeprefix("method.")).grad = gradient[number]


def _stacked(own: Sequence[Mapping[str, Tensor]], partly: bool = False) -> dict[str, Tensor]:
    """Stack tensors by name. With `partly`, those of unequal shape become what nothing can be computed from."""
    found = {}
    for name, first in own[0].items():
        rows = [tensors[name].detach() for tensors in own]
        if all(row.shape == first.shape and row.dtype == first.dtype for row in rows):
            found[f"method.{name}"] = torch.stack(rows)
        elif partly:
            found[f"method.{name}"] = torch.empty(len(rows), *first.shape, dtype=first.dtype, device="meta")
        else:
            raise Unlike(f'their parameters "{name}" differ in shape')
    return found


def _parts(batches: Sequence[Batch]) -> dict[str, Tensor]:
    """Stack batches as a dictionary of tensors [members, ...]."""
    rows = []
    for batch in batches:
        inputs = {f"inputs.{name}": getattr(batch.inputs, name) for name in FEATURES}
        own = {name: getattr(batch, name) for name in ("index", "valid", "group", "weight", "observed", "target")}
        draws = {f"draws.{name}": value for name, value in batch.draws.items()}
        rows.append({name: value for name, value in (own | inputs | draws).items() if value is not None})
    if any(row.keys() != rows[0].keys() for row in rows):
        raise Unlike("their batches differ in kind")
    if any(row[name].shape != value.shape for row in rows for name, value in rows[0].items()):
        raise Unlike("their batches differ in shape")
    return {name: torch.stack([row[name] for row in rows]) for name in rows[0]}


def _batch(parts: Mapping[str, Tensor], phase: int) -> Batch:
    draws = {name.removeprefix("draws."): value for name, value in parts.items() if name.startswith("draws.")}
    inputs = Inputs(parts["inputs.pooled"], *(parts.get(f"inputs.{name}") for name in FEATURES[1:]))
    own = {name: parts[name] for name in ("index", "valid", "group", "weight", "observed")}
    return Batch(**own, target=parts.get("target"), inputs=inputs, draws=draws, phase=phase)


def _shell(methods: Sequence[Method]) -> tuple[Method, dict[str, str]]:
    """Copy the first method without what another has otherwise, outside parameters and buffers; say what that is.

    A `forward` that reads such an attribute fails, instead of reading another member's.
    """
    shell, first = copy.copy(methods[0]), vars(methods[0])
    vars(shell)["options"] = copy.copy(methods[0].options)
    hidden = dict.fromkeys(scalar_options(type(shell.options)), "a scalar option: its value is the buffer of its name")
    for name in hidden:
        del vars(shell.options)[name]
    for name in first.keys() - {*PARTS, "options"}:
        if name in OWN or not all(_alike(first[name], vars(method).get(name)) for method in methods[1:]):
            del vars(shell)[name]
            hidden[name] = "no buffer, and another in each member"
    if behind := {name: _closed(name) for name in hidden if hasattr(type(shell), name)}:
        shell.__class__ = type(type(shell).__name__, (type(shell),), behind)  # else the class's own would be read
    for path, module in methods[0].named_modules():
        for other in (method.get_submodule(path) for method in methods[1:] if path):
            own = vars(module).keys() - PARTS
            if not all(_alike(vars(module)[name], vars(other).get(name)) for name in own):
                raise Unlike(f'their modules "{path}" differ')
    return shell, hidden


def _closed(name: str) -> property:
    def read(_: Method) -> None:
        raise AttributeError

    def write(_: Method, value: object) -> None:  # noqa: ARG001 - a setter's
        raise Unlike(f'its code sets "{name}"')

    return property(read, write)


def _alike(one: Any, other: Any) -> bool:
    """Return whether two values are equal, all the way down; what cannot be compared is not."""
    if one is other:
        return True
    if type(one) is not type(other):
        return False
    if isinstance(one, Tensor):
        return one.shape == other.shape and one.dtype == other.dtype and torch.equal(one, other)
    if isinstance(one, np.ndarray):
        return bool(np.array_equal(one, other))
    if isinstance(one, Mapping):
        return one.keys() == other.keys() and all(_alike(value, other[name]) for name, value in one.items())
    if isinstance(one, (list, tuple)):
        return len(one) == len(other) and all(_alike(*pair) for pair in zip(one, other, strict=True))
    if is_dataclass(one):
        return all(_alike(getattr(one, field.name), getattr(other, field.name)) for field in fields(one))
    return isinstance(one, (str, bytes, int, float, set, frozenset)) and bool(one == other)
