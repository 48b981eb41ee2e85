"""A flag comes before a variable, and a variable before the settings file: for every generation parameter."""

import pytest
from parameter_flags import parsed

from gptcli import settings
from gptcli.params import PARAMS, Kind, Param
from gptcli.settings import table

OTHERS: dict[Kind, tuple[str, str, str]] = {
    Kind.BOOL: ("true", "false", "true"),
    Kind.TEXTS: ("a", "b", "c"),
    Kind.SAMPLERS: ("top_k", "top_p", "min_p"),
    Kind.BIAS: ("1=1", "2=1", "3=1"),
}


def three_values(param: Param) -> tuple[str, ...]:
    """For the file, the variable and the flag, each unlike the one before."""
    if param.kind not in (Kind.INT, Kind.FLOAT):
        return OTHERS[param.kind]
    low = max(0, param.low)
    steps = (0, 1, 2) if param.kind is Kind.INT else (0.25, 0.5, 0.75) if param.high <= 1 else (1.25, 1.5, 1.75)
    return tuple(str(low + step) for step in steps)


def result(param: Param, *arguments: str) -> object:
    return parsed(*arguments)[param.name]


@pytest.mark.parametrize("param", [*PARAMS.values()], ids=list(PARAMS))
def test_each_later_source_wins(param: Param, monkeypatch: pytest.MonkeyPatch) -> None:
    in_file, in_variable, in_flag = three_values(param)
    expected = [table.parse(param.name, text) for text in (in_file, in_variable, in_flag)]
    flag = [param.flags[0]] if param.kind is Kind.BOOL else [param.flags[0], in_flag]
    assert result(param, *flag) == expected[2]
    path = settings.settings_file()
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"{param.name} = {table.literal(param.name, expected[0])}\n")
    assert result(param) == expected[0]
    monkeypatch.setenv(f"GPTCLI_{param.name.upper()}", in_variable)
    assert result(param) == expected[1]
    assert result(param, *flag) == expected[2]
