"""The text before a label: what is to be done, the label's descriptions, examples, and the text to classify."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from gptcli.classify.labels import Label
from gptcli.types import ChatPrompt, Engine, Message, TokenPrompt

LABEL_WORD = "Label"


@dataclass(frozen=True, slots=True)
class Example:
    """A text with its label, to be shown before the text that is classified."""

    text: str
    label: str


@dataclass(frozen=True, slots=True)
class LabelPrompt:
    """Makes the prompt of each text. All of it but the text itself is the same for every row, and computed once.

    The base format is the one of the papers on few-shot classification: `Text: …`, `Label:`. On the starter model it
    was better than any instruction or chat (docs/scoring.md)."""

    labels: Sequence[Label]
    instruction: str = ""
    examples: Sequence[Example] = ()
    word: str = LABEL_WORD
    """What stands before the label."""
    chat: bool = False
    """Whether the prompt is a message to the model, in its chat template."""

    def encode(self, engine: Engine, text: str) -> TokenPrompt:
        """The tokens before the label. Nothing in the text is read as a control token. Raises RequestError, LoadError
        where the model's chat template cannot be used."""
        if self.chat:
            question = Message("user", self._head() + f"Text: {text}\n\nAnswer with one of the labels.")
            return engine.encode(ChatPrompt((question, Message("assistant", f"{self.word}:")), continue_final=True))
        data = (self._head() + f"Text: {text}\n{self.word}:").encode("utf-8", "surrogateescape")
        return TokenPrompt(engine.tokenize(data, begins=True))

    def _head(self) -> str:
        parts = [f"{self.instruction}\n"] if self.instruction else []
        if self.chat:
            parts.append(f"Labels: {', '.join(label.name for label in self.labels)}\n")
        parts += [f"{label.name}: {label.description}\n" for label in self.labels if label.description]
        examples = [f"Text: {example.text}\n{self.word}: {example.label}\n\n" for example in self.examples]
        return "".join([*parts, "\n" if parts else "", *examples])
