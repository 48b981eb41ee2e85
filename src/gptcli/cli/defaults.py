"""What a command line leaves open is filled in from the role and from the user's settings."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from typer._click import Context
from typer._click.core import ParameterSource

from gptcli import settings
from gptcli.cli.role_options import find_role, role_values

if TYPE_CHECKING:
    from gptcli.settings.values import Settings

_SETTING_OF = {"samples": "n"}
"""Flags whose setting has another name."""
_REPLACED_BY_MIROSTAT = ("top_k", "top_p", "min_p", "typical_p", "top_n_sigma", "xtc_probability", "samplers")


def with_settings(context: Context, values: Mapping[str, object], model: str | None) -> dict[str, object]:
    """The values of a command's options, with those of the role and of the user's settings where none were given.

    `model`: whose section of the file counts; None is the default model. A setting gives way to a flag that it
    contradicts. Raises UsageError for a role or a setting that is wrong."""
    filled, given = dict(values), set()
    if (role := find_role(context, values.get("role"))) is not None:
        given = _given(context, values)
        from_role = role_values(role, values, given)
        filled |= from_role
        given |= from_role.keys()
        model = model or str(from_role["model"]) if "model" in from_role else model
    if not settings.are_set():
        return filled
    from gptcli.settings.table import SETTINGS
    from gptcli.settings.values import Settings

    given |= _given(context, values)
    found = Settings.load()
    models = section_names(found, model)
    found.check(models)
    skipped = _contradicted(filled, given)
    for name in values:
        setting = _SETTING_OF.get(name, name)
        if name in given or name in skipped or setting not in SETTINGS or setting == "model":
            continue  # the default model is for `resolve`, because a continued chat has its own
        if (value := found.find(setting, models)) is not None:
            filled[name] = value.value
    if filled.get("mirostat"):
        filled |= {name: None for name in _REPLACED_BY_MIROSTAT if name in filled and name not in given}
    return filled


def _given(context: Context, values: Mapping[str, object]) -> set[str]:
    return {name for name in values if context.get_parameter_source(name) is ParameterSource.COMMANDLINE}


def section_names(found: Settings, model: str | None) -> Sequence[str]:
    """The names that a section for `model` may have, the most exact one first."""
    if not found.has_sections:
        return ()
    from gptcli.models.refs import aliases
    from gptcli.models.resolve import default_reference

    return aliases.spellings(model or default_reference())


def _contradicted(values: Mapping[str, object], given: set[str]) -> set[str]:
    """Settings that would contradict a flag, or have no meaning beside it."""
    skipped: set[str] = set()
    if "device" in given and values["device"] == "cpu":
        skipped.add("gpu_layers")
    if "gpu_layers" in given and values["gpu_layers"]:
        skipped.add("device")
    if given & {*_REPLACED_BY_MIROSTAT}:
        skipped.add("mirostat")
    if given & {"json", "json_schema"}:
        skipped.add("stop")
    if getattr(values.get("format"), "value", "") == "text":
        skipped.add("logprobs")
    return skipped
