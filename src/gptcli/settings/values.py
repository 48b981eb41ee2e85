"""The value of a setting and where it comes from: the settings file, a model's section in it, or a variable.

Each later one wins, and flags win over all, because commands look at them first. A mistake stops only what needs the
value."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeGuard

from gptcli import settings
from gptcli.errors import UsageError
from gptcli.params import ParamError
from gptcli.settings import table
from gptcli.settings.file import Key, SettingsFile

PREFIX = "GPTCLI_"
_REPAIR = "`gptcli config edit` opens the file, `gptcli config unset` removes a setting."


@dataclass(frozen=True, slots=True)
class Found:
    """A value and the name of its source: a variable, or the file with the line."""

    value: Any
    source: str


@dataclass(frozen=True, slots=True)
class Mistake:
    """What is wrong, as a sentence that names the place, and what helps."""

    message: str
    hint: str = ""


class Settings:
    """What the user has set, in the file and in the environment."""

    def __init__(self, file: SettingsFile | None, environment: Mapping[str, str]) -> None:
        self.file = file
        self._environment = environment

    @classmethod
    def load(cls) -> Settings:
        """The settings of this process. A file with mistakes is read too."""
        return cls(SettingsFile.read(settings.settings_file()), os.environ)

    @property
    def has_sections(self) -> bool:
        """Whether the file has sections for models, so that the model's name matters."""
        return self.file is not None and bool(self.file.values.get("models"))

    def find(self, name: str, models: Sequence[str] = ()) -> Found | None:
        """The value of a setting, None if it is not set. `models`: names of the model, the most exact one first.

        Raises UsageError for a value that the setting cannot have, and for a file that cannot be read."""
        if text := self._environment.get(PREFIX + name.upper()):
            try:
                return Found(table.parse(name, text, PREFIX + name.upper()), PREFIX + name.upper())
            except ParamError as error:
                raise UsageError(str(error), "Correct or unset the variable.") from None
        if self.file is None:
            return None
        if mistake := self._broken():
            raise UsageError(mistake.message, mistake.hint)
        for key in self._keys(name, models):
            try:
                return Found(table.validate(name, self._at(key)), self.file.where(key))
            except ParamError as error:
                raise UsageError(f"{self.file.where(key)}: {error}", _REPAIR) from None
        return None

    def get(self, name: str, models: Sequence[str] = ()) -> Any:
        """The value alone; the setting's default if it is not set. Raises UsageError."""
        found = self.find(name, models)
        return table.SETTINGS[name].default if found is None else found.value

    def check(self, models: Sequence[str] = ()) -> None:
        """Raises UsageError for a file that cannot be read, and for an unknown key where these models look."""
        for mistake in self._unknown_keys([*models]):
            raise UsageError(mistake.message, mistake.hint)

    def mistakes(self) -> Iterator[Mistake]:
        """Everything that is wrong, in the file and in the environment."""
        if mistake := self._broken():
            yield mistake
        else:
            yield from self._unknown_keys(None)
            yield from self._bad_values()
        for variable in sorted(self._environment):
            name = variable.removeprefix(PREFIX).lower()
            if (
                not variable.startswith(PREFIX)
                or variable in settings.FOLDER_VARIABLES
                or not self._environment[variable]
            ):
                continue
            if name not in table.SETTINGS:
                near = table.nearest(name, table.SETTINGS)
                yield Mistake(f"{variable} is not a setting.", _did_you_mean(near and PREFIX + near.upper()).strip())
                continue
            try:
                table.parse(name, self._environment[variable], variable)
            except ParamError as error:
                yield Mistake(str(error))

    def sections(self) -> list[str]:
        """The models that have a section."""
        models = None if self.file is None else self.file.values.get("models")
        return [name for name, section in models.items() if _is_table(section)] if _is_table(models) else []

    def in_section(self, model: str) -> dict[str, Found]:
        """The settings of a model's own section that are valid."""
        found = {}
        assert self.file is not None
        for name in self.file.values["models"][model]:
            try:
                key = ("models", model, name)
                if name in table.PER_MODEL:
                    found[name] = Found(table.validate(name, self._at(key)), self.file.where(key))
            except ParamError:
                continue
        return found

    def _at(self, key: Key) -> object:
        assert self.file is not None
        value: Any = self.file.values
        for part in key:
            value = value[part]
        return value

    def _keys(self, name: str, models: Sequence[str]) -> Iterator[Key]:
        """Where the file has the setting, the place that wins first."""
        assert self.file is not None
        sections = self.file.values.get("models")
        if name in table.PER_MODEL and _is_table(sections):
            for model in models:
                if _is_table(sections.get(model)) and name in sections[model]:
                    yield ("models", model, name)
        if name in self.file.values:
            yield (name,)

    def _broken(self) -> Mistake | None:
        if self.file is None or not self.file.problem:
            return None
        return Mistake(f"{self.file.path}, line {self.file.problem_line} {self.file.problem}.", _REPAIR)

    def _unknown_keys(self, models: list[str] | None) -> Iterator[Mistake]:
        """Keys that are no settings, at the top and in the sections of these models (None: in all)."""
        if self.file is None:
            return
        if mistake := self._broken():
            yield mistake
            return
        for name in self.file.values:
            if name not in table.SETTINGS and name != "models":
                near = _did_you_mean(table.nearest(name, [*table.SETTINGS, "models"]))
                yield Mistake(f"{self.file.where((name,))}: {name!r} is not a setting.", near + _REPAIR)
        sections = self.file.values.get("models", {})
        if not _is_table(sections):
            yield Mistake(f"{self.file.where(('models',))}: models must be sections such as [models.smollm2].", _REPAIR)
            return
        for model, section in sections.items():
            if models is not None and model not in models:
                continue
            if not _is_table(section):
                where = self.file.where(("models", model))
                yield Mistake(f'{where}: models.{model} must be a section: [models."{model}"].', _REPAIR)
                continue
            for name in [name for name in section if name not in table.PER_MODEL]:
                where = self.file.where(("models", model, name))
                if name in table.SETTINGS:
                    yield Mistake(f"{where}: {name} is the same for every model.", "Move it to the top of the file.")
                else:
                    near = _did_you_mean(table.nearest(name, table.PER_MODEL))
                    yield Mistake(f"{where}: {name!r} is not a setting of a model.", near + _REPAIR)

    def _bad_values(self) -> Iterator[Mistake]:
        if self.file is None:
            return
        for key in self.file.lines:
            if key[-1] not in table.SETTINGS or len(key) == 2 or not _is_table(self.file.values.get("models", {})):
                continue
            try:
                table.validate(key[-1], self._at(key))
            except ParamError as error:
                yield Mistake(f"{self.file.where(key)}: {error}", _REPAIR)


def _did_you_mean(name: str | None) -> str:
    return f"Did you mean {name}? " if name else ""


def _is_table(value: object) -> TypeGuard[dict[str, Any]]:
    return isinstance(value, dict)
