"""Makes the prompt of a role: its messages, or its text for a model without a chat template.

A role may be somebody else's: its templates run in the bounded sandbox. What the user gives them are values."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from jinja2.meta import find_undeclared_variables

from gptcli.errors import UsageError
from gptcli.prompt.sandbox import Sandbox, TemplateFailure
from gptcli.roles.role import Role
from gptcli.types import Message

_ROOM, _ROOM_PER_CHARACTER, _SECONDS = 4 * 1024 * 1024, 64, 2.0
"""Characters that a template may make, more for each character of its values, and seconds that it may take."""


class RolePrompt:
    """A role with the values of its variables."""

    stop = ("\nInput:",)
    """Where a model that only continues text begins another example."""

    def __init__(self, role: Role, variables: Mapping[str, str]) -> None:
        """Raises UsageError for a variable that the role lacks, and for a template that is broken."""
        self.role = role
        known = self.names
        for name in variables:
            if name not in known:
                has = f"It has {', '.join(sorted(known))}." if known else "It has none."
                raise UsageError(f"The role {role.name} has no variable {name}.", has)
        self.given = frozenset(variables)
        self.variables = dict(role.variables) | dict(variables)
        self._sandbox = Sandbox({}, {})
        self._used: dict[str, set[str]] = {}
        self._templates = {part: self._compile(part) for part in ("system", "template")}
        for part, used in self._used.items():
            if unknown := sorted(used - known - {"input"}):
                message = f"{role.path}: the {part} uses {unknown[0]}, which is no variable of the role."
                raise UsageError(message, "Add it to required, or with a default to variables.")
        if "input" in self._used["system"]:
            raise UsageError(f"{role.path}: the system prompt uses input.", "Use it in the template.")

    @property
    def uses_input(self) -> bool:
        """Whether the template needs a text besides the variables."""
        return "input" in self._used["template"]

    @property
    def names(self) -> frozenset[str]:
        """The variables of the role."""
        return frozenset((*dict(self.role.variables), *self.role.required))

    @property
    def missing(self) -> list[str]:
        """Variables that have no value yet."""
        return [name for name in self.role.required if name not in self.variables]

    def check_complete(self) -> None:
        """Raises UsageError for a variable without a value."""
        if self.missing:
            name = self.missing[0]
            also = ", or as the argument" if name == self.role.argument else ""
            raise UsageError(f"The role {self.role.name} needs {name}.", f"Give it with -p {name}=…{also}.")

    def system(self, more: Mapping[str, object] | None = None) -> str:
        """The system prompt. Raises UsageError for a template that fails."""
        return self._render("system", self.variables | dict(more or {}))

    def message(self, input: str, more: Mapping[str, object] | None = None) -> str:
        """The user's message. `more`: values of a row, which come before those of the command line."""
        return self._render("template", self.variables | dict(more or {}) | {"input": input})

    def examples(self) -> tuple[Message, ...]:
        """The examples, as a user's messages and a model's answers."""
        found: list[Message] = []
        for example in self.role.examples:
            values = self.variables | dict(example.variables) | {"input": example.input}
            found += [Message("user", self._render("template", values)), Message("assistant", example.output)]
        return tuple(found)

    def messages(self, input: str, more: Mapping[str, object] | None = None) -> tuple[Message, ...]:
        """The whole conversation up to the answer."""
        system = self.system(more)
        first = (Message("system", system),) if system else ()
        return (*first, *self.examples(), Message("user", self.message(input, more)))

    def text(self, input: str) -> str:
        """The same for a model that only continues text; `stop` ends its answer."""
        system, parts = self.system(), []
        for question, answer in zip(self.examples()[::2], self.examples()[1::2], strict=True):
            parts.append(f"Input:\n{question.content}\nOutput:\n{answer.content}\n\n")
        return f"{system}\n\n{''.join(parts)}Input:\n{self.message(input)}\nOutput:\n".lstrip()

    def _compile(self, part: Literal["system", "template"]) -> object:
        source: str = getattr(self.role, part)
        try:
            template = self._sandbox.compile_template(source)
            found = find_undeclared_variables(self._sandbox.parse(source))
        except TemplateFailure as failure:
            raise self._failed(part, failure) from None
        self._used[part] = found - self._sandbox.globals.keys()
        return template

    def _render(self, part: str, values: Mapping[str, object]) -> str:
        room = _ROOM + _ROOM_PER_CHARACTER * sum(len(str(value)) for value in values.values())
        try:
            return self._sandbox.render(self._templates[part], values, room, _SECONDS)  # type: ignore[arg-type]
        except TemplateFailure as failure:
            raise self._failed(part, failure) from None

    def _failed(self, part: str, failure: TemplateFailure) -> UsageError:
        what = f"it {failure}" if failure.kind == "limit" else str(failure).rstrip(".")
        where = "system prompt" if part == "system" else "template"
        return UsageError(f"{self.role.path}: the {where} fails: {what}.", "`gptcli roles check` checks a role.")
