"""Makes the request of a row that gets labels."""

from __future__ import annotations

from dataclasses import dataclass

from gptcli.batch.request import Template, role_values
from gptcli.batch.row import Row
from gptcli.classify.classifier import Labeller
from gptcli.errors import InvalidRequest, UsageError
from gptcli.roles.prompt import RolePrompt
from gptcli.types import Request

TEXT_FIELDS = ("text", "prompt")


@dataclass(slots=True)
class LabelBuilder:
    """Finds a row's text, with a template where its fields are not called `text` or `prompt`."""

    labeller: Labeller
    template: Template | None = None
    role: RolePrompt | None = None
    """Makes the message that is classified, of the text and of fields that are its variables."""
    _prepared: bool = False

    def build(self, row: Row) -> Request:
        """The request of `row`. Raises InvalidRequest if it has no text, UsageError for labels that cannot be told
        apart, and the errors of loading the engine."""
        if not self._prepared:
            self.labeller.prepare()
            self._prepared = True
        return self.labeller.request(str(row.number), self._text(row))

    def _text(self, row: Row) -> str:
        if self.role is not None:
            given, known = role_values(self.role, self.template, row.fields)
            try:
                return self.role.message(given, known)
            except UsageError as error:
                raise InvalidRequest(error.message) from None
        if self.template is not None:
            return self.template.render(row.fields)
        for name in TEXT_FIELDS:
            if (text := row.fields.get(name)) is not None:
                if not isinstance(text, str):
                    raise InvalidRequest(f"{name} must be a text.", param=name)
                return text
        raise InvalidRequest("The row has no field named text or prompt.", code="missing_field", param="text")
