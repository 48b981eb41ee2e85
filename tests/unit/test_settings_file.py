"""Settings: what is shown is what a file would say, the later source wins, and a mistake names its line."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gptcli.errors import UsageError
from gptcli.params import SAMPLER_NAMES, Kind
from gptcli.settings import table
from gptcli.settings.file import SettingsFile
from gptcli.settings.values import PREFIX, Settings

FILE = Path("/nowhere/settings.toml")
TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1)


def values(name: str) -> st.SearchStrategy[object]:
    """Any value that a setting can have, as it is stored."""
    param = table.SETTINGS[name]
    if name == "overflow":
        return st.sampled_from(["refuse", "oldest", "summarize"])
    low, high = max(param.low, -1e6), min(param.high, 1e6)
    kinds = {
        Kind.INT: st.integers(math.ceil(low), math.floor(high)),
        Kind.FLOAT: st.floats(low, high),
        Kind.BOOL: st.booleans(),
        Kind.TEXT: TEXT,
        Kind.TEXTS: st.lists(TEXT, min_size=1).map(tuple),
        Kind.SAMPLERS: st.lists(st.sampled_from(SAMPLER_NAMES)).map(tuple),
        Kind.BIAS: st.lists(st.tuples(st.integers(0, 2**31 - 1) | TEXT, st.floats(-1e6, 1e6) | st.just(-math.inf))).map(
            tuple
        ),
    }
    return kinds[param.kind]


EVERY = st.fixed_dictionaries({}, optional={name: values(name) for name in table.SETTINGS})


def settings_of(text: str, **environment: str) -> Settings:
    return Settings(SettingsFile.parse(FILE, text), environment)


def shown(found: Settings) -> str:
    values = {name: value.value for name in table.SETTINGS if (value := found.find(name))}
    return "".join(f"{name} = {table.literal(name, value)}\n" for name, value in values.items())


def use_all(found: Settings, *models: str) -> None:
    found.check(models)
    for name in table.SETTINGS:
        found.find(name, models)


@given(EVERY)
def test_what_is_shown_is_a_file_with_the_same_settings(chosen: dict[str, object]) -> None:
    text = "".join(f"{name} = {table.literal(name, value)}\n" for name, value in chosen.items())
    found = settings_of(text)
    assert found.file.problem == ""
    assert {name: value.value for name in table.SETTINGS if (value := found.find(name))} == chosen
    assert shown(settings_of(shown(found))) == shown(found)
    assert [*found.mistakes()] == []


@given(EVERY)
def test_the_text_of_a_value_is_read_as_that_value(chosen: dict[str, object]) -> None:
    for name, value in chosen.items():
        assert table.parse(name, table.text(name, value)) == value


@pytest.mark.parametrize("name", table.PER_MODEL)
@given(data=st.data())
def test_each_later_source_wins(name: str, data: st.DataObject) -> None:
    in_file, in_section, in_variable = (data.draw(values(name)) for _ in range(3))
    line = f"{name} = {table.literal(name, in_file)}\n"
    section = f"[models.'a/b:Q4']\n{name} = {table.literal(name, in_section)}\n"
    names = ("a/b:Q4", "a/b")
    assert Settings(None, {}).get(name, names) == table.SETTINGS[name].default
    assert settings_of(line).get(name, names) == in_file
    assert settings_of(line + section).get(name, names) == in_section
    assert settings_of(line + section).get(name, ("other",)) == in_file
    if (text := table.text(name, in_variable)) and not text.isspace():
        variable = {PREFIX + name.upper(): text}
        found = settings_of(line + section, **variable).find(name, names)
        assert (found.value, found.source) == (in_variable, PREFIX + name.upper())


def test_the_more_exact_section_wins() -> None:
    text = "[models.'a/b']\ntop_k = 1\ntop_p = 0.1\n[models.'a/b:Q4']\ntop_k = 2\n"
    found, names = settings_of(text), ("a/b:Q4", "a/b")
    assert (found.get("top_k", names), found.get("top_p", names)) == (2, 0.1)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("\n# a\ntemprature = 1\n", "line 3: 'temprature' is not a setting"),
        ('stop = """\n\n"""\ntemperature = -1\n', "line 4: temperature must be a number of at least 0, not -1"),
        ("temperature = 1\ntop_k = \n", "line 2 is not TOML"),
        ("temperature = 1\ntemperature = 2\n", "line 2 is not TOML"),
        ("models = 1\n", "line 1: models must be sections"),
        ("[models]\nx = 1\n", "line 2: models.x must be a section"),
        ("[models.x]\n\ntempreature = 1\n", "line 3: 'tempreature' is not a setting of a model"),
        ("[models.x]\nno_save = true\n", "line 2: no_save is the same for every model"),
        ("[sampling]\ntemperature = 1\n", "line 1: 'sampling' is not a setting"),
        ("overflow = 'x'\n", "line 1: overflow must be refuse, oldest or summarize, not 'x'"),
    ],
)
def test_a_mistake_names_its_line(text: str, message: str) -> None:
    (mistake,) = settings_of(text).mistakes()
    assert message in mistake.message
    with pytest.raises(UsageError, match="line"):
        use_all(settings_of(text), "x")


@pytest.mark.parametrize(
    ("written", "meant"),
    [("temp", "temperature"), ("temprature", "temperature"), ("num_predict", "max_tokens"), ("--top-k", "top_k")],
)
def test_the_nearest_key_is_suggested(written: str, meant: str) -> None:
    (mistake,) = settings_of(f'"{written}" = 1\n').mistakes()
    assert mistake.hint.startswith(f"Did you mean {meant}?")
    (mistake,) = Settings(None, {f"GPTCLI_{written.strip('-').upper()}": "1"}).mistakes()
    assert mistake.hint == f"Did you mean GPTCLI_{meant.upper()}?"


def test_a_mistake_stops_only_what_needs_it() -> None:
    found = settings_of("temperature = -1\ntop_k = 5\n[models.x]\nnonsense = 1\n")
    found.check(["y"])
    assert found.get("top_k") == 5
    assert settings_of("temperature = -1\n", GPTCLI_TEMPERATURE="0.5").get("temperature") == 0.5
    with pytest.raises(UsageError, match="line 1: temperature"):
        found.get("temperature")
    with pytest.raises(UsageError, match="line 4: 'nonsense'"):
        found.check(["x"])


@given(st.text() | st.binary().map(lambda data: data.decode("latin-1")))
def test_no_file_is_a_traceback(text: str) -> None:
    found = settings_of(text)
    for mistake in found.mistakes():
        assert mistake.message
    assert found.sections() is not None
    for name in ("model", "temperature"):
        try:
            found.find(name, ["x"])
        except UsageError:
            continue


def test_a_deeply_nested_file_is_a_mistake() -> None:
    assert "nested too deeply" in next(settings_of("a = " + "[" * 100_000).mistakes()).message


def test_a_file_that_is_no_text(tmp_path: Path) -> None:
    path = tmp_path / "settings.toml"
    path.write_bytes(b"top_k = 1\n\xff\n")
    (mistake,) = Settings(SettingsFile.read(path), {}).mistakes()
    assert "line 2 is not UTF-8 text" in mistake.message
    path.write_bytes(b"\xef\xbb\xbftop_k = 1\n")
    assert Settings(SettingsFile.read(path), {}).get("top_k") == 1
