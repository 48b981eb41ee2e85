"""Chat sessions on the fake backend: what is computed, what is saved and when, and what each command leaves behind."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
from answers import script
from fake_chat import FakeChat, collect

from gptcli.chat.conversation import Conversation, Turn
from gptcli.chat.session import Events, LoadedModel
from gptcli.chat.settings import Settings
from gptcli.chat.store import Store
from gptcli.errors import EngineError, GptcliError
from gptcli.params import PARAMS, SAMPLING_PARAMS, Kind, ParamError, Sampling, find_param
from gptcli.types import ChatPrompt, Delta, Engine, Event, Finished, FinishReason, Request, Started

ENDS = len("<|im_end|>\n")
WRAP = len("<|im_start|>user\n") + ENDS + len("<|im_start|>assistant\n")
"""Bytes, each a token here, that ChatML puts around a question."""


@pytest.fixture
def chat(tmp_path: Path) -> FakeChat:
    return FakeChat(tmp_path / "conversations.db")


def on(kind: type, act: Callable[[], None], after: int = 1) -> Callable[[Event], None]:
    """Call `act` when so many events of a kind have come."""
    left = after

    def look(event: Event) -> None:
        nonlocal left
        left -= isinstance(event, kind)
        if left == 0:
            left = -1
            act()

    return look


def test_every_turn_is_saved_before_its_last_event_is_yielded(chat: FakeChat) -> None:
    seen: list[list[str]] = []

    def look(event: Event) -> None:
        if isinstance(event, Started | Finished):
            seen.append([turn.content for turn in chat.stored().path()])

    first = collect(chat.session.send("one"), look)
    second = collect(chat.session.send("two"), look)
    whole = ["one", first.text, "two", second.text]
    assert seen == [whole[:1], whole[:2], whole[:3], whole]
    assert chat.stored().path()[-1].finish is second.finished.reason
    assert chat.stored().path()[-1].model == "/models/fake.gguf"


def test_another_turn_computes_only_new_tokens(chat: FakeChat) -> None:
    collect(chat.session.send("one"))
    for question in ("two", "and three"):
        before = chat.backend.computed
        result = collect(chat.session.send(question))
        # of the answer before, the last token was sampled but not computed
        assert result.computed == 1 + ENDS + WRAP + len(question)
        assert chat.backend.computed - before == result.computed + result.finished.completion_tokens - 1


def test_retry_and_edit_compute_only_the_difference(chat: FakeChat) -> None:
    collect(chat.session.send("one"))
    first = collect(chat.session.send("two"))
    again = collect(chat.session.retry())
    assert again.computed == 1
    assert again.text != first.text
    edited = collect(chat.session.edit("twenty"))
    assert edited.computed == len("enty") + WRAP - len("<|im_start|>user\n")
    chat.session.undo()
    assert collect(chat.session.send("two")).computed == len("o") + WRAP - len("<|im_start|>user\n")


def test_nothing_leaves_its_branch(chat: FakeChat) -> None:
    session = chat.session
    one = collect(session.send("one")).text
    two = collect(session.send("two")).text
    other = collect(session.retry()).text
    third = collect(session.edit("three")).text
    ends = [[turn.content for turn in path] for path in chat.stored().branches()]
    assert ends == [["one", one, "two", two], ["one", one, "two", other], ["one", one, "three", third]]
    session.goto(session.conversation.branches()[0][-1].id[:8])
    assert chat.texts() == ["one", one, "two", two]
    assert session.undo().content == "two"
    assert chat.texts() == ["one", one]
    assert chat.stored().leaf == session.conversation.leaf


def test_each_answer_to_a_message_has_its_own_seed(chat: FakeChat) -> None:
    chat.session.settings.sampling = Sampling(seed=2**32 - 2)
    seeds = [collect(chat.session.send("one")).finished.seed]
    seeds += [collect(chat.session.retry()).finished.seed for _ in range(2)]
    assert seeds == [2**32 - 2, 0, 1]


@pytest.mark.parametrize("cut", [1, 5, 11])
def test_continue_uses_the_exact_tokens(chat: FakeChat, tmp_path: Path, cut: int) -> None:
    whole = collect(FakeChat(tmp_path / "other.db").session.send("one"))
    chat.session.settings.max_tokens = cut
    collect(chat.session.send("one"))
    chat.session.settings.max_tokens = 12 - cut
    rest = collect(chat.session.resume())
    assert rest.computed == 1
    assert chat.texts() == ["one", whole.text]
    (turn,) = [turn for turn in chat.stored().turns.values() if turn.role == "assistant"]
    assert (turn.content, turn.completion_tokens) == (whole.text, 12)


def test_continue_works_inside_reasoning_and_inside_a_character(tmp_path: Path) -> None:
    text = "<think>Hm — é?</think>It is é.".encode()
    whole = FakeChat(tmp_path / "whole.db", script(text), template="{{ messages[0].content }}\0")
    whole.session.settings.max_tokens = None
    collect(whole.session.send("What?"))
    for cut in range(8, len(text)):
        chat = FakeChat(tmp_path / f"{cut}.db", script(text), template="{{ messages[0].content }}\0")
        chat.session.settings.max_tokens = cut
        collect(chat.session.send("What?"))
        chat.session.settings.max_tokens = None
        collect(chat.session.resume())
        turn = chat.stored().path()[-1]
        assert turn.content == whole.stored().path()[-1].content
        assert turn.reasoning.startswith("Hm — é?")  # and, cut amid the marker, the beginning of that
        assert "</think>".startswith(turn.reasoning.removeprefix("Hm — é?"))


def test_continue_in_another_session_uses_the_text(chat: FakeChat, tmp_path: Path) -> None:
    chat.session.settings.max_tokens = 5
    first = collect(chat.session.send("one")).text
    later = FakeChat(chat.path, conversation=chat.stored())
    rest = collect(later.session.resume()).text
    assert later.texts() == ["one", first + rest]
    assert len(chat.stored().turns) == 2


def test_reasoning_of_another_session_cannot_be_continued(tmp_path: Path) -> None:
    chat = FakeChat(tmp_path / "c.db", script(b"<think>hm hm hm"), template="{{ messages[0].content }}\0")
    collect(chat.session.send("What?"))
    later = FakeChat(chat.path, conversation=chat.stored())
    with pytest.raises(GptcliError, match="while the model was thinking"):
        collect(later.session.resume())


def test_another_model_continues_the_text(chat: FakeChat) -> None:
    first = collect(chat.session.send("one")).text
    chat.session.change_model(chat.loaded_model("other"))
    rest = collect(chat.session.resume())
    assert rest.finished is not None
    assert chat.texts() == ["one", first + rest.text]
    assert chat.stored().model == "/models/other.gguf"


def test_a_stopped_answer_is_saved_and_can_be_continued(chat: FakeChat, tmp_path: Path) -> None:
    chat.session.settings.max_tokens = 40
    whole = collect(FakeChat(tmp_path / "o.db", settings=chat.session.settings).session.send("one")).text
    result = collect(chat.session.send("one"), on(Delta, chat.interrupt.request, after=3))
    chat.interrupt.clear()
    assert result.finished.reason is FinishReason.CANCELLED
    assert [(turn.content, turn.finish) for turn in chat.stored().path()][1] == (result.text, result.finished.reason)
    assert whole.startswith(result.text)
    assert result.text != whole
    chat.session.settings.max_tokens = 40 - result.finished.completion_tokens
    collect(chat.session.resume())
    assert chat.texts() == ["one", whole]
    assert chat.stored().path()[-1].finish is not FinishReason.CANCELLED


@pytest.mark.parametrize("move", ["send", "retry", "edit", "resume"])
def test_an_answer_stopped_before_its_first_token_changes_nothing(chat: FakeChat, move: str) -> None:
    collect(chat.session.send("one"))
    before = chat.texts()
    chat.interrupt.request()
    arguments = {"send": ("two",), "edit": ("two",)}.get(move, ())
    collect(getattr(chat.session, move)(*arguments))
    assert chat.texts() == before
    assert chat.stored().leaf == chat.session.conversation.leaf
    chat.interrupt.clear()
    collect(chat.session.send("two"))
    assert chat.texts()[:3] == [*before, "two"]


def test_closing_the_generator_saves_the_text_so_far(chat: FakeChat) -> None:
    events = chat.session.send("one")
    text = ""
    for event in events:
        if isinstance(event, Delta):
            text += event.text
            if len(text) > 3:
                break
    events.close()
    assert [(turn.content, turn.finish) for turn in chat.stored().path()] == [
        ("one", None),
        (text, FinishReason.CANCELLED),
    ]
    assert collect(chat.session.send("two")).text


@pytest.mark.parametrize("move", ["send", "retry", "continue"])
def test_an_unfinished_answer_is_saved_as_it_grows(chat: FakeChat, monkeypatch: pytest.MonkeyPatch, move: str) -> None:
    monkeypatch.setattr("gptcli.chat.session.DRAFT_SECONDS", 0)
    start = collect(chat.session.send("one")).text if move != "send" else ""
    turns = len(chat.session.conversation.turns)
    events = {"send": lambda: chat.session.send("one"), "retry": chat.session.retry, "continue": chat.session.resume}
    text = start if move == "continue" else ""
    for event in events[move]():
        if isinstance(event, Delta):
            text += event.text
            draft = chat.stored().path()[-1]
            assert (draft.content, draft.finish) == (text, FinishReason.CANCELLED)
    assert (chat.stored().path()[-1].content, chat.stored().path()[-1].finish) == (text, FinishReason.LENGTH)
    assert len(chat.stored().turns) == turns + {"send": 2, "retry": 1, "continue": 0}[move]
    assert chat.stored() == chat.session.conversation


def test_an_unfinished_answer_is_saved_once_a_second(chat: FakeChat, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = SimpleNamespace(monotonic=lambda: len(ticks) / 8)  # eight events each second; the first is no token
    ticks: list[None] = []
    monkeypatch.setattr("gptcli.chat.session.time", clock)
    drafts: list[str] = []
    save = chat.session.autosave.save_answer

    def record(turn: Turn, *, draft: bool = False) -> str:
        drafts.append(turn.content)
        return save(turn, draft=draft)

    monkeypatch.setattr(chat.session.autosave, "save_answer", record)
    chat.settings.max_tokens = 40
    text = collect(chat.session.send("one"), lambda event: ticks.append(None)).text
    assert len(text) == 40
    assert [len(draft) for draft in drafts] == [7, 15, 23, 31, 39, 40]


def test_another_process_may_answer_an_unfinished_answer(chat: FakeChat, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gptcli.chat.session.DRAFT_SECONDS", 0)

    def answer() -> None:
        with Store(chat.path) as other:
            seen = other.load(chat.session.conversation.id)
            other.append(seen, Turn("user", "enough", seen.leaf))

    text = collect(chat.session.send("one"), on(Delta, answer, after=3)).text
    stored = chat.stored()
    assert [turn.content for turn in stored.path()] == ["one", text]
    assert sorted(turn.content for turn in stored.turns.values()) == sorted(["one", text[:3], "enough", text])


def test_a_full_disk_is_reported_once_at_the_end_of_an_answer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gptcli.chat.session.DRAFT_SECONDS", 0)
    chat = FakeChat(tmp_path / "c.db", limit=60_000, settings=Settings(Sampling(seed=1), max_tokens=5_000))
    db = chat.store._file.connection

    def fill() -> None:
        db.execute(f"PRAGMA max_page_count = {db.execute('PRAGMA page_count').fetchone()[0]}")
        monkeypatch.setattr("gptcli.chat.session.DRAFT_SECONDS", 0.01)

    collect(chat.session.send("one"), on(Delta, fill, after=2))
    assert [notice[:9] for notice in chat.notices] == ["Not saved"]
    db.execute("PRAGMA max_page_count = 100000")
    chat.settings.max_tokens = 5
    collect(chat.session.send("two"))
    assert not chat.session.autosave.failed
    assert [turn.content for turn in chat.stored().path()] == chat.texts()
    assert len(chat.stored().turns) == 4


def test_a_failed_answer_changes_nothing_and_can_be_retried(tmp_path: Path) -> None:
    chat = FakeChat(tmp_path / "c.db", fail_at=frozenset({1, 2}))
    with pytest.raises(EngineError):
        collect(chat.session.send("one"))
    assert chat.texts() == []
    with pytest.raises(EngineError):
        collect(chat.session.send("one"))
    result = collect(chat.session.send("one"))
    assert chat.texts() == ["one", result.text]
    assert len(chat.stored().turns) == 2  # the message that was sent three times is there once


def test_an_answer_that_fails_midway_is_saved_up_to_there(tmp_path: Path) -> None:
    chat = FakeChat(tmp_path / "c.db", fail_at=frozenset({8}))
    text: list[str] = []
    with pytest.raises(EngineError):
        collect(chat.session.send("one"), lambda event: text.append(getattr(event, "text", "")))
    assert "".join(text)
    assert [turn.content for turn in chat.stored().path()] == ["one", "".join(text)]
    assert collect(chat.session.resume()).text


def test_a_message_never_follows_a_message(chat: FakeChat) -> None:
    collect(chat.session.send("one"))
    asked = chat.session.conversation.path()[0]
    chat.session.goto(asked.id)
    result = collect(chat.session.send("two"))
    assert chat.texts() == ["two", result.text]
    assert "stays on a branch of its own" in chat.notices[0]
    assert len(chat.stored().branches()) == 2


def test_commands_need_a_message(chat: FakeChat) -> None:
    for move in (chat.session.retry, chat.session.resume, lambda: chat.session.edit("x")):
        with pytest.raises(GptcliError, match=r"There is no message yet|no answer to continue"):
            collect(move())
    with pytest.raises(GptcliError):
        chat.session.undo()


def test_a_new_system_message_keeps_the_messages(chat: FakeChat) -> None:
    chat.session.set_system("Be brief.")
    with Store(chat.path) as store:
        assert store.summaries() == []  # there is no user message yet
    first = collect(chat.session.send("one")).text
    chat.session.set_system("Be brief.")
    assert len(chat.stored().turns) == 3
    chat.session.set_system("Be long.")
    assert chat.texts() == ["Be long.", "one", first]
    chat.session.set_system("")
    assert chat.texts() == ["one", first]
    assert len(chat.stored().branches()) == 3


def test_an_unsaved_conversation_can_be_saved_later(tmp_path: Path) -> None:
    chat = FakeChat(tmp_path / "c.db", saving=False)
    first = collect(chat.session.send("one")).text
    assert chat.store.summaries() == []
    chat.session.autosave.enable("later", chat.store)
    second = collect(chat.session.send("two")).text
    assert [turn.content for turn in chat.store.find("later").path()] == ["one", first, "two", second]


def test_a_chat_survives_a_full_disk(tmp_path: Path) -> None:
    chat = FakeChat(tmp_path / "c.db", limit=30_000)
    collect(chat.session.send("one"))
    db = chat.store._file.connection
    pages = db.execute("PRAGMA page_count").fetchone()[0]
    db.execute(f"PRAGMA max_page_count = {pages}")
    collect(chat.session.send("two" * 5000))
    assert "Not saved" in chat.notices[0]
    assert "full" in chat.notices[0]
    assert chat.session.autosave.failed
    collect(chat.session.resume())
    db.execute("PRAGMA max_page_count = 100000")
    collect(chat.session.send("three"))
    assert not chat.session.autosave.failed
    assert [turn.content for turn in chat.stored().path()] == chat.texts()
    assert len(chat.texts()) == 6


def test_a_conversation_that_another_process_deletes_is_saved_again(chat: FakeChat) -> None:
    collect(chat.session.send("one"))
    with Store(chat.path) as store:
        store.delete(chat.session.conversation.id)
    collect(chat.session.send("two"))
    assert "Not saved" in chat.notices[0]
    collect(chat.session.send("three"))
    assert [turn.content for turn in chat.stored().path()] == chat.texts()


def test_a_new_conversation_is_empty(chat: FakeChat) -> None:
    collect(chat.session.send("one"))
    first = chat.session.conversation.id
    chat.session.open(Conversation())
    collect(chat.session.send("two"))
    assert {summary.id for summary in chat.store.summaries()} == {first, chat.session.conversation.id}
    chat.session.open(chat.store.load(first))
    assert chat.texts()[0] == "one"


def test_an_answers_sampling_parameters_are_saved(chat: FakeChat) -> None:
    sampling = Sampling(seed=1, temperature=0.2, chosen=frozenset({"temperature"}))
    chat.session.settings.sampling = replace(sampling)
    collect(chat.session.send("one"))
    assert chat.stored().path()[-1].sampling == {"temperature": 0.2, "seed": 1}


def test_a_turn_renders_and_tokenizes_the_conversation_once(chat: FakeChat) -> None:
    session = chat.session
    for number, turn in enumerate(
        (
            lambda: session.send("one"),
            lambda: session.send("two"),
            session.retry,
            lambda: session.edit("three"),
            session.resume,
        ),
        start=1,
    ):
        result = collect(turn())
        assert chat.encodings == (number, number)
        assert session.used_tokens() == result.finished.prompt_tokens + result.finished.completion_tokens
        assert chat.encodings == (number, number)  # the engine's own counts were used


def test_a_continued_answer_is_tokenized_once_from_its_text_too(chat: FakeChat) -> None:
    collect(chat.session.send("one"))
    later = FakeChat(chat.path, conversation=chat.stored())
    collect(later.session.resume())
    assert later.encodings == (1, 1)


def test_used_tokens_are_counted_once_where_no_answer_has_counted_them(chat: FakeChat) -> None:
    session = chat.session
    assert session.used_tokens() == 0
    collect(session.send("one"))
    collect(session.send("two"))
    whole = session.used_tokens()
    before = chat.encodings
    session.undo()
    assert session.used_tokens() == session.used_tokens() == session.count(session.conversation.messages()) < whole
    assert chat.encodings == (before[0] + 2, before[1] + 2)  # one of them is the test's
    later = FakeChat(chat.path, conversation=chat.stored())
    assert later.session.used_tokens() == later.session.used_tokens() > 0
    assert later.encodings == (1, 1)
    later.session.change_model(later.loaded_model("other"))
    later.session.used_tokens()
    assert later.encodings == (2, 2)
    session.open(Conversation())
    assert session.used_tokens() == 0


def test_a_template_that_refuses_leaves_the_used_tokens_unknown(tmp_path: Path) -> None:
    chat = FakeChat(tmp_path / "c.db", template="{{ raise_exception('no') }}")
    chat.session.autosave.append(Turn("user", "one"))
    assert chat.session.used_tokens() is chat.session.used_tokens() is None
    assert chat.encodings == (1, 0)


def test_an_engine_that_cannot_tokenize_gets_the_conversation_itself(chat: FakeChat) -> None:
    remote = _Remote(chat.session.model.engine)
    chat.session.change_model(LoadedModel(remote, "remote", "remote"))
    result = collect(chat.session.send("one"))
    assert chat.texts() == ["one", result.text]
    assert [type(request.prompt) for request in remote.requests] == [ChatPrompt]
    assert chat.session.used_tokens() == result.finished.prompt_tokens + result.finished.completion_tokens
    chat.session.undo()
    collect(chat.session.send("two"))
    chat.session.goto(chat.session.conversation.path()[0].id)
    assert chat.session.used_tokens() is None


class _Remote:
    """An engine that cannot tokenize."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self.capabilities = replace(engine.capabilities, tokenize=False, token_prompts=False)
        self.requests: list[Request] = []

    def __getattr__(self, name: str) -> object:
        assert name != "encode"
        return getattr(self._engine, name)

    def stream(self, requests: list[Request]) -> Events:
        self.requests += requests
        return self._engine.stream(requests)


@pytest.mark.parametrize("name", [*PARAMS, *(alias for param in PARAMS.values() for alias in param.aliases)])
def test_set_takes_every_parameter_by_every_name(name: str) -> None:
    settings = Settings()
    param = find_param(name)
    typed, value = _VALUES.get(param.name, ("0.5", 0.5) if param.kind is Kind.FLOAT else ("1", 1))
    if param.name == "dry_base":
        typed, value = "2.5", 2.5
    if param.name in ("n", "logprobs"):
        with pytest.raises(GptcliError, match="has no effect in a chat"):
            settings.change(f"parameter {name} {typed}")
        return
    assert settings.change(f"parameter {name} {typed}") == f"{name} is now {typed}."
    held = settings.sampling if param.name in SAMPLING_PARAMS else settings
    assert getattr(held, param.name) == value
    assert (param.name in settings.sampling.chosen) == (param.name in SAMPLING_PARAMS)
    settings.change(f'parameter {name} ""')
    assert settings == Settings()


_VALUES = {
    "dry_sequence_breakers": ('"a b" c', ("a b", "c")),
    "samplers": ("top-k;temp", ("top_k", "temperature")),
    "logit_bias": ('" the"=-2', ((" the", -2.0),)),
    "stop": ('"a b" c', ("a b", "c")),
    "ignore_eos": ("true", True),
}


@pytest.mark.parametrize("name", [name for name, param in PARAMS.items() if param.kind in (Kind.INT, Kind.FLOAT)])
def test_set_refuses_what_the_table_refuses(name: str) -> None:
    param = PARAMS[name]
    for value in (param.low - 1, param.high + 1, "nan", "warm"):
        with pytest.raises(GptcliError) as caught:
            Settings().change(f"parameter {name} {value}")
        if name not in ("n", "logprobs"):
            with pytest.raises(ParamError) as expected:
                param.parse(str(value), name)
            assert caught.value.message == str(expected.value)


def test_a_negative_limit_or_seed_is_none() -> None:
    settings = Settings(Sampling(seed=5), max_tokens=5)
    settings.change("parameter num_predict -1")
    settings.change("parameter seed -1")
    assert (settings.max_tokens, settings.sampling.seed) == (None, None)
