"""Changes the settings file and leaves its comments and its order as they are. The only importer of tomlkit."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gptcli import settings
from gptcli.errors import GptcliError, UsageError
from gptcli.params import ParamError
from gptcli.settings import table
from gptcli.settings.file import SettingsFile

if TYPE_CHECKING:
    from tomlkit import TOMLDocument

_NEW = """\
# Settings of gptcli. `gptcli config` shows all of them; a GPTCLI_* variable and a flag come before this file.
# A section such as [models.smollm2] has what is different for one model.
"""


def set_value(name: str, value: object, model: str | None = None) -> None:
    """Set `name`, for one model or for all; `value` is validated already or as TOML has it.

    Raises UsageError for a value that it cannot have, GptcliError for a file that cannot be read or written."""
    checked = table.plain(name, _checked(name, value, model))
    document = _read()
    where: Any = document
    if model is not None:
        import tomlkit

        if not isinstance(document.get("models", {}), dict):
            raise UsageError("models in the settings is not a section.", "`gptcli config unset models` removes it.")
        where = document.setdefault("models", tomlkit.table(is_super_table=True)).setdefault(model, tomlkit.table())
    where[name] = checked
    _write(document)


def unset(name: str, model: str | None = None) -> bool:
    """Remove a key, known or not, and a section that is then empty; whether there was one. Raises GptcliError."""
    document = _read()
    where: Any = document if model is None else document.get("models", {}).get(model, {})
    if name not in where:
        return False
    del where[name]
    if model is not None and not where:
        models: Any = document["models"]
        del models[model]
        if not models:
            del document["models"]
    _write(document)
    return True


def create() -> Path:
    """The settings file, with nothing but comments if there was none. Raises GptcliError."""
    path = settings.settings_file()
    if not path.exists():
        _save(path, _NEW)
    return path


def _checked(name: str, value: object, model: str | None) -> Any:
    if model is not None and name not in table.PER_MODEL:
        raise UsageError(f"{name} is the same for every model.", "Set it without --model.")
    try:
        return table.validate(name, value)
    except ParamError as error:
        raise UsageError(str(error), f"{name}: {table.SETTINGS[name].help}") from None


def _read() -> TOMLDocument:
    import tomlkit

    file = SettingsFile.read(settings.settings_file())
    if file is None:
        return tomlkit.parse(_NEW)
    if file.problem:
        message = f"{file.path}, line {file.problem_line} {file.problem}."
        raise UsageError(message, "`gptcli config edit` opens it; nothing was changed.")
    return tomlkit.parse(file.text)


def _write(document: TOMLDocument) -> None:
    _save(settings.settings_file(), document.as_string())


def _save(path: Path, text: str) -> None:
    """Replace the file whole, so that a kill leaves the old one; a link keeps pointing where it did."""
    target = Path(os.path.realpath(path))
    part = target.with_name(f".{target.name}-{os.getpid()}")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        part.write_bytes(text.encode())
        if target.exists():
            shutil.copymode(target, part)
        os.replace(part, target)
    except OSError as error:
        part.unlink(missing_ok=True)
        raise GptcliError(f"{path} cannot be written: {error.strerror}.", "Check its folder.") from error
