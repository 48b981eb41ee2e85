"""A command that has the flags of all generation parameters, and gives what they become."""

from dataclasses import dataclass
from typing import Annotated

import typer

from gptcli.cli.options import SamplingFlags, TextFlags, param_option, takes
from gptcli.params import SAMPLING_PARAMS


@dataclass
class OtherFlags:
    n: Annotated[int, param_option("n")] = 1
    logprobs: Annotated[int | None, param_option("logprobs")] = None


app = typer.Typer()
seen: list[dict[str, object]] = []


@app.command()
@takes(sampling=SamplingFlags, text=TextFlags, other=OtherFlags)
def probe(sampling: SamplingFlags, text: TextFlags, other: OtherFlags) -> None:
    values = {"max_tokens": text.limit, "stop": tuple(text.stop or ()), "ignore_eos": text.ignore_eos}
    values |= {"n": other.n, "logprobs": other.logprobs}
    seen.append(values | {name: getattr(sampling.sampling(), name) for name in SAMPLING_PARAMS})


COMMAND = typer.main.get_command(app)


def parsed(*arguments: str) -> dict[str, object]:
    """The value of each parameter, by its name."""
    COMMAND.main(list(arguments), standalone_mode=False)
    return seen.pop()
