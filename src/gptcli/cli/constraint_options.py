"""The options that say what an answer must be: a JSON Schema, a regular expression, one of some texts, a grammar."""

import dataclasses
import enum
import functools
import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from typer import Option

from gptcli.errors import UsageError

if TYPE_CHECKING:
    from gptcli.types import Constraint

_option = functools.partial(Option, rich_help_panel="Structure")


class OnInterrupt(str, enum.Enum):
    """What Ctrl-C does to an answer that has a constraint."""

    CLOSE = "close"
    CUT = "cut"


@dataclasses.dataclass(slots=True)
class ConstraintFlags:
    """What the answer must be. At most one of them is given."""

    json_schema: Annotated[
        str | None,
        _option(
            "--json-schema",
            metavar="FILE|JSON|SHORT",
            help="JSON that satisfies a schema, also at the limit; short form: 'name, age int'.",
        ),
    ] = None
    json: Annotated[bool, _option("--json", help="A JSON object.")] = False
    regex: Annotated[str | None, _option("--regex", metavar="PATTERN", help="Text that a regex matches.")] = None
    choices: Annotated[str | None, _option("--choices", metavar="A,B,…", help="One of these texts.")] = None
    grammar: Annotated[str | None, _option("--grammar", metavar="TEXT", help="Text of a grammar: GBNF or Lark.")] = None
    grammar_file: Annotated[
        Path | None,
        _option("--grammar-file", metavar="FILE", help="The same from FILE.", exists=True, dir_okay=False),
    ] = None
    lenient: Annotated[bool, _option("--lenient", help="Leave out what of a schema cannot be kept, and list it.")] = (
        False
    )
    on_interrupt: Annotated[OnInterrupt, _option("--on-interrupt", help="Ctrl-C closes the structure, or cuts it.")] = (
        OnInterrupt.CLOSE
    )

    @property
    def given(self) -> list[str]:
        """The flags of constraints that were given."""
        names = ("json_schema", "json", "regex", "choices", "grammar", "grammar_file")
        return ["--" + name.replace("_", "-") for name in names if getattr(self, name) not in (None, False)]

    def check(self) -> None:
        """Raises UsageError for flags that contradict each other, or do nothing."""
        given = self.given
        if len(given) > 1:
            raise UsageError(f"{given[0]} and {given[1]} contradict each other.", "Give one of them.")
        if self.lenient and self.json_schema is None:
            raise UsageError("--lenient is about --json-schema, which is missing.", "Add it, or drop --lenient.")
        if self.on_interrupt is OnInterrupt.CUT and not given:
            raise UsageError("--on-interrupt is about a structure, and none is wanted.", "Drop it.")

    def check_stop(self, stop: object) -> None:
        """Raises UsageError where a stop string could cut JSON."""
        if stop and (self.json or self.json_schema is not None):
            raise UsageError(f"--stop could cut the JSON that {self.given[0]} promises.", "Drop one.")

    def check_items(self, stream_items: bool, samples: int = 1) -> None:
        """Raises UsageError where there would be no items to write, or those of several answers."""
        if stream_items and not (self.json or self.json_schema is not None):
            raise UsageError("--stream-items needs an answer in JSON.", "Add --json-schema or --json.")
        if stream_items and samples > 1:
            raise UsageError("--stream-items would mix the items of several samples.", "Drop --samples.")

    def constraint(self, report: Callable[[str], None]) -> "Constraint | None":
        """The constraint. What `--lenient` leaves out is reported.

        Raises UsageError for a text that is not what its flag takes, and for a schema that cannot be kept."""
        if not self.given:
            return None
        from gptcli.openai.constraints import grammar_constraint
        from gptcli.types import JSON_OBJECT, Constraint, ConstraintKind

        if self.json:
            return JSON_OBJECT
        if self.json_schema is not None:
            from gptcli.constraints.schema import load_schema

            schema = load_schema(self.json_schema, lenient=self.lenient)
            for line in schema.dropped:
                report(f"gptcli: left out of the schema: {line}")
            return Constraint(ConstraintKind.JSON_SCHEMA, schema.text)
        if self.regex is not None:
            return Constraint(ConstraintKind.REGEX, self.regex)
        if self.choices is not None:
            return Constraint(ConstraintKind.CHOICE, json.dumps(_split_choices(self.choices)))
        text = self.grammar if self.grammar_file is None else _read_grammar(self.grammar_file)
        assert text is not None
        return grammar_constraint(text)


def _split_choices(text: str) -> list[str]:
    """The texts between the commas; a JSON list may have texts with commas in them. Raises UsageError."""
    if text.startswith("["):
        try:
            choices = json.loads(text)
        except ValueError as error:
            raise UsageError(f"--choices is not valid JSON: {error}.", "Write a,b,c or a JSON list of texts.") from None
    else:
        choices = [choice.strip() for choice in text.split(",")]
    if not isinstance(choices, list) or not choices or not all(isinstance(one, str) and one for one in choices):
        raise UsageError("--choices needs at least one text, and none of them may be empty.", "For example: yes,no")
    return choices


def _read_grammar(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except OSError as error:
        raise UsageError(f"--grammar-file: {path} cannot be read: {error.strerror}.", "Check the path.") from error
    except UnicodeDecodeError:
        raise UsageError(f"--grammar-file: {path} is not UTF-8 text.", "Give a grammar in GBNF or Lark.") from None
