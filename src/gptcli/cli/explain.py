"""`gptcli explain`: how a text surprises the model, and which parts of a prompt an answer came from."""

import dataclasses
import json
from collections.abc import Sequence
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from typer import Option

from gptcli.cli.main import CommandContext
from gptcli.cli.options import LoadFlags, takes
from gptcli.errors import ExitCode, GptcliError, UsageError

if TYPE_CHECKING:
    from gptcli.explain.attribution import Attribution, MakePrompt
    from gptcli.explain.divergence import Divergence
    from gptcli.explain.surprise import Piece
    from gptcli.terminal import Terminal
    from gptcli.types import Engine, Prompt, TokenInfo

app = typer.Typer(add_completion=False)

PARALLEL = 16
_EPILOG = "Example: gptcli explain --why -f notes.txt 'Question: When does the shop open?\nAnswer:'"


class ExplainFormat(str, Enum):
    """What is written to stdout."""

    TEXT = "text"
    JSON = "json"


@dataclasses.dataclass(slots=True)
class ExplainOptions:
    """What is explained, and how it is shown."""

    file: Annotated[
        list[str] | None, Option("--file", "-f", metavar="FILE", help="Read text from FILE (-: stdin); repeatable.")
    ] = None
    no_stdin: Annotated[bool, Option("--no-stdin", help="Do not read standard input.")] = False
    why: Annotated[bool, Option("--why", help="Explain the answer to the prompt; it is generated now.")] = False
    answer: Annotated[str | None, Option("--answer", metavar="TEXT", help="Explain this answer to the prompt.")] = None
    against: Annotated[
        str | None, Option("--against", metavar="TEXT", help="Another answer: show where the two part.")
    ] = None
    parts: Annotated[
        str, Option("--parts", metavar="KIND", help="sentence, line, paragraph, or text between the parts.")
    ] = "sentence"
    chat: Annotated[bool, Option("--chat", help="The prompt is a message in a chat.")] = False
    max_tokens: Annotated[int, Option("--max-tokens", "-n", min=1, metavar="N", help="Tokens of the answer.")] = 32
    alternatives: Annotated[int, Option(min=0, max=20, metavar="K", help="Alternatives of each token.")] = 3
    html: Annotated[Path | None, Option("--html", metavar="FILE", help="Write a page for a browser to FILE.")] = None
    format: Annotated[ExplainFormat, Option("--format", help="Colours or lines, or JSON.")] = ExplainFormat.TEXT
    verbose: Annotated[bool, Option("--verbose", "-v", help="Show llama.cpp's log.")] = False
    quiet: Annotated[bool, Option("--quiet", "-q", help="Only errors on stderr.")] = False

    @property
    def explains_answer(self) -> bool:
        """Whether an answer is explained, not a text."""
        return self.why or self.answer is not None or self.against is not None

    def check(self) -> None:
        """Raises UsageError for options that contradict each other."""
        if self.why and self.answer is not None:
            raise UsageError("--why generates an answer, and --answer gives one.", "Omit one of them.")
        if self.answer == "" or self.against == "":
            raise UsageError("An answer is empty.", "Give some text.")
        if not self.explains_answer and (self.chat or self.parts != "sentence"):
            flag = "--chat" if self.chat else "--parts"
            raise UsageError(f"{flag} is for the explanation of an answer.", "Add --why or --answer TEXT.")
        if not self.parts:
            raise UsageError("--parts is empty.", "Use sentence, line, paragraph or a separator.")


@app.command(epilog=_EPILOG)
@takes(options=ExplainOptions, model=LoadFlags)
def explain(
    ctx: typer.Context,
    options: ExplainOptions,
    model: LoadFlags,
    prompt: Annotated[list[str] | None, typer.Argument(help="The text, or the prompt.", show_default=False)] = None,
) -> int:
    """Colour a text by how much each token surprised the model; or, with --why or --answer, a prompt by what each part
    did for the answer.

    A part's support is the answer's log-likelihood less that without the part. Of a prompt from files or standard
    input and arguments, the former is cut into parts, and the latter, such as a question, always stays."""
    options.check()
    model.check()
    context: CommandContext = ctx.obj
    context.terminal.quiet = options.quiet
    from gptcli.cli.prompt import check_prompt, read_prompt

    arguments, files, use_stdin = prompt or [], options.file or [], not options.no_stdin
    check_prompt(arguments, files, context.terminal, use_stdin=use_stdin)
    loader = context.loader(model.engine_options(verbose=options.verbose))
    given = read_prompt(arguments, files, context.terminal, use_stdin=use_stdin)
    question = " ".join(arguments).encode("utf-8", "surrogateescape")
    texts = [part for part in (given[:-1] if question else given) if part.strip()]  # standard input may be empty
    asked = bool(question and texts)
    documents = b"\n".join(texts) if texts else question
    with loader.open(parallel=PARALLEL if options.explains_answer else 1) as loaded, loaded.interrupt.watch():
        explainer = _Explainer(loaded.engine, options, context.terminal)
        if not options.explains_answer:
            explainer.surprise(documents + (b"\n" + question if asked else b""))
        else:
            explainer.answer(documents.decode("utf-8", "replace"), question.decode() if asked else "")
        return ExitCode.INTERRUPTED if loaded.interrupt.requested else ExitCode.OK


class _Explainer:
    def __init__(self, engine: "Engine", options: ExplainOptions, terminal: "Terminal") -> None:
        self.engine = engine
        self.options = options
        self.terminal = terminal

    def surprise(self, data: bytes) -> None:
        """The heat map of a text. Raises RequestError."""
        from gptcli.explain.surprise import pieces
        from gptcli.render.explanation import surprise_page, write_surprise

        if not data:
            raise UsageError("The text is empty.", "Give some text.")
        found = list(pieces(self._scored(data)))
        rows = [(piece.text, piece.bits, piece.alternatives) for piece in found]
        if self.options.html is not None:
            self._write_page(surprise_page("Surprise", rows))
        if self.options.format is ExplainFormat.JSON:
            self._write_json({"tokens": [_piece_json(piece) for piece in found]})
        elif self.options.html is None:
            write_surprise(self.terminal, rows)

    def _scored(self, data: bytes) -> "list[TokenInfo]":
        from gptcli.scoring.texts import SLIDING_TOKENS, NotScored, ScoredTokens, make_text, score_texts
        from gptcli.scoring.windows import SlidingWindows

        size = min(self.engine.limit, SLIDING_TOKENS)
        tokens: list[TokenInfo] = []
        texts = [make_text(self.engine, "0", data)]
        for result in score_texts(
            self.engine, texts, SlidingWindows(size, max(1, size // 2)), top=self.options.alternatives
        ):
            if isinstance(result, NotScored):
                raise result.error
            if isinstance(result, ScoredTokens):
                tokens += result.tokens
        return tokens

    def answer(self, documents: str, question: str) -> None:
        """Why an answer: the support of each part, and with another answer where the two part. Raises RequestError."""
        from gptcli.explain.attribution import attribute
        from gptcli.explain.divergence import diverge
        from gptcli.explain.parts import split_parts

        parts = split_parts(documents, self.options.parts)
        make_prompt = self._prompt_maker(parts, question)
        whole = make_prompt(range(len(parts)))
        answer = self.options.answer or self._generate(whole)
        if not self.options.chat and not answer[:1].isspace() and (question or documents)[-1:] not in ("", " ", "\n"):
            answer = f" {answer}"  # a word that continues a text begins with a space
        found = attribute(self.engine, parts, make_prompt, answer)
        split: Divergence | None = None
        if self.options.against is not None:
            lead = answer[: len(answer) - len(answer.lstrip())]
            other = lead + self.options.against.lstrip()
            split = diverge(self.engine, whole, answer, other, top=max(1, self.options.alternatives))
        self._write_answer(found, split)

    def _prompt_maker(self, parts: Sequence[str], question: str) -> "MakePrompt":
        from gptcli.types import ChatPrompt, Message, TextPrompt

        def make(kept: Sequence[int]) -> "Prompt":
            text = "".join(parts[index] for index in kept)
            if question:
                text = f"{text.rstrip()}\n{question}" if text.strip() else question
            if self.options.chat:
                return ChatPrompt((Message("user", text),))
            return TextPrompt(text.encode("utf-8", "surrogateescape"))

        return make

    def _generate(self, prompt: "Prompt") -> str:
        """The greedy answer, or the first line of a continued text. Raises the request's error."""
        from gptcli.params import Sampling
        from gptcli.types import Channel, Delta, Failed, Request

        greedy, most = Sampling(temperature=0, seed=0), self.options.max_tokens
        # A text that could end here is continued all the same: there would be nothing to explain.
        request = Request("answer", prompt, greedy, most, ignore_eos=not self.options.chat, stream=False)
        text = ""
        for event in self.engine.stream([request]):
            if isinstance(event, Failed):
                raise event.error
            if isinstance(event, Delta) and event.channel is Channel.ANSWER:
                text += event.text
        if not text.strip():
            raise GptcliError("The model's answer is empty.", "Give one with --answer TEXT.")
        start = len(text) - len(text.lstrip())
        return text if self.options.chat else text[:start] + text[start:].partition("\n")[0]

    def _write_answer(self, found: "Attribution", split: "Divergence | None") -> None:
        from gptcli.render.explanation import choice_lines, support_page, write_support

        title = f"{found.answer.strip()!r}: {found.logprob:.2f} nats in {found.tokens} token{'s' * (found.tokens != 1)}"
        parts = [(part.text, part.support) for part in found.parts]
        if self.options.html is not None:
            self._write_page(support_page("Why this answer", title, parts))
        if self.options.format is ExplainFormat.JSON:
            self._write_json(_attribution_json(found, split))
        elif self.options.html is None:
            write_support(self.terminal, title, parts)
            if split is not None:
                lines = choice_lines(split.common, split.ours, split.theirs)
                lines.append(f"  The answer is {split.difference:+.2f} nats likelier than the other.")
                self.terminal.write("\n".join(lines) + "\n")

    def _write_page(self, page: str) -> None:
        path = self.options.html
        assert path is not None
        try:
            path.write_text(page, encoding="utf-8")
        except OSError as error:
            raise GptcliError(f"{path} cannot be written: {error.strerror}.", "Check the path.") from error
        self.terminal.notice(f"Written to {path}.")

    def _write_json(self, value: dict[str, object]) -> None:
        self.terminal.write(json.dumps(value, ensure_ascii=False) + "\n")


def _piece_json(piece: "Piece") -> dict[str, object]:
    others = [{"text": text, "probability": round(share, 6)} for text, share in piece.alternatives]
    bits = None if piece.bits is None else round(piece.bits, 4)
    return {"text": piece.text, "bits": bits, "alternatives": others}


def _attribution_json(found: "Attribution", split: "Divergence | None") -> dict[str, object]:
    value: dict[str, object] = {
        "answer": found.answer,
        "logprob": round(found.logprob, 6),
        "tokens": found.tokens,
        "parts": [{"text": part.text, "support": round(part.support, 6)} for part in found.parts],
        "ranking": found.ranking,
    }
    if split is not None:
        value["against"] = {
            "common": "".join(token.text for token in split.common),
            "answer": None if split.ours is None else _token_json(split.ours),
            "other": None if split.theirs is None else _token_json(split.theirs),
            "difference": round(split.difference, 6),
        }
    return value


def _token_json(token: "TokenInfo") -> dict[str, object]:
    top = [{"text": other.text, "logprob": round(other.logprob, 6)} for other in token.top]
    return {"text": token.text, "logprob": round(token.logprob, 6), "top": top}
