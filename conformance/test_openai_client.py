"""OpenAI's own Python client against `gptcli serve`: what it sends, reads and raises."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from pathlib import Path

import openai
import pytest
from openai import AsyncOpenAI, OpenAI
from serving import serving

MODEL = "smollm2"
ASK = [{"role": "user", "content": "Name a colour."}]
GREEDY = {"temperature": 0, "seed": 1}


@pytest.fixture(scope="session")
def address() -> Iterator[str]:
    with serving() as address:
        yield address


@pytest.fixture(scope="session")
def client(address: str) -> OpenAI:
    return OpenAI(base_url=address, api_key="none", max_retries=0, _strict_response_validation=True)


class TestModels:
    def test_list(self, client: OpenAI) -> None:
        assert MODEL in [model.id for model in client.models.list()]

    def test_retrieve(self, client: OpenAI) -> None:
        model = client.models.retrieve(MODEL)
        assert (model.id, model.object) == (MODEL, "model")

    def test_unknown(self, client: OpenAI) -> None:
        with pytest.raises(openai.NotFoundError):
            client.models.retrieve("no-such-model")


class TestCompletions:
    def test_text(self, client: OpenAI) -> None:
        answer = client.completions.create(model=MODEL, prompt="Once upon a time", max_tokens=5, **GREEDY)
        assert answer.object == "text_completion"
        assert answer.choices[0].text
        assert answer.choices[0].finish_reason == "length"
        assert answer.usage.completion_tokens == 5
        assert answer.usage.total_tokens == answer.usage.prompt_tokens + 5

    def test_several_prompts_and_samples(self, client: OpenAI) -> None:
        answer = client.completions.create(model=MODEL, prompt=["One", "Two"], n=2, max_tokens=3, seed=3)
        assert [choice.index for choice in answer.choices] == [0, 1, 2, 3]
        assert answer.usage.completion_tokens <= 12

    def test_token_ids(self, client: OpenAI) -> None:
        text = client.completions.create(model=MODEL, prompt="Once upon a", max_tokens=4, **GREEDY)
        ids = client.completions.create(model=MODEL, prompt=[6403, 1980, 253], max_tokens=4, **GREEDY)
        assert text.choices[0].text == ids.choices[0].text

    def test_echo(self, client: OpenAI) -> None:
        answer = client.completions.create(model=MODEL, prompt="Once upon", echo=True, max_tokens=2, **GREEDY)
        assert answer.choices[0].text.startswith("Once upon")

    def test_logprobs(self, client: OpenAI) -> None:
        answer = client.completions.create(model=MODEL, prompt="Once upon", logprobs=3, max_tokens=4, **GREEDY)
        found = answer.choices[0].logprobs
        assert "".join(found.tokens) == answer.choices[0].text
        assert len(found.token_logprobs) == len(found.top_logprobs) == len(found.text_offset) == 4
        assert all(value <= 0 for value in found.token_logprobs)
        assert all(3 <= len(top) <= 4 for top in found.top_logprobs)

    def test_stop(self, client: OpenAI) -> None:
        whole = client.completions.create(model=MODEL, prompt="Once upon a time", max_tokens=16, **GREEDY)
        word = whole.choices[0].text.split()[2]
        cut = client.completions.create(model=MODEL, prompt="Once upon a time", max_tokens=16, stop=[word], **GREEDY)
        assert cut.choices[0].text == whole.choices[0].text.partition(word)[0]
        assert cut.choices[0].finish_reason == "stop"

    def test_stream_is_the_whole_text(self, address: str) -> None:
        """Not strictly validated: the client's type of a chunk has no null as finish_reason, which OpenAI sends too."""
        client = OpenAI(base_url=address, api_key="none", max_retries=0)
        ask = {"model": MODEL, "prompt": "Once upon a time", "max_tokens": 12, **GREEDY}
        whole = client.completions.create(**ask)
        chunks = list(client.completions.create(**ask, stream=True, stream_options={"include_usage": True}))
        assert "".join(chunk.choices[0].text for chunk in chunks if chunk.choices) == whole.choices[0].text
        assert [chunk.usage for chunk in chunks[:-1]] == [None] * (len(chunks) - 1)
        assert chunks[-1].usage.completion_tokens == whole.usage.completion_tokens
        assert len({chunk.id for chunk in chunks}) == 1


class TestChat:
    def test_answer(self, client: OpenAI) -> None:
        answer = client.chat.completions.create(model=MODEL, messages=ASK, max_tokens=8, **GREEDY)
        assert answer.object == "chat.completion"
        assert answer.choices[0].message.role == "assistant"
        assert answer.choices[0].message.content
        assert answer.choices[0].finish_reason in ("stop", "length")

    def test_roles_and_parts(self, client: OpenAI) -> None:
        messages = [
            {"role": "developer", "content": "Be brief."},
            {"role": "user", "content": [{"type": "text", "text": "Hi"}]},
            {"role": "assistant", "content": "Hello."},
            {"role": "user", "content": "And now?"},
        ]
        answer = client.chat.completions.create(model=MODEL, messages=messages, max_completion_tokens=4)
        assert answer.usage.completion_tokens <= 4

    def test_n_and_seed(self, client: OpenAI) -> None:
        ask = {"model": MODEL, "messages": ASK, "n": 3, "max_tokens": 6, "seed": 5, "temperature": 1}
        one, two = (client.chat.completions.create(**ask) for _ in range(2))
        texts = [choice.message.content for choice in one.choices]
        assert texts == [choice.message.content for choice in two.choices]
        assert len(texts) == 3

    def test_logprobs(self, client: OpenAI) -> None:
        ask = {"model": MODEL, "messages": ASK, "max_tokens": 4, "logprobs": True, "top_logprobs": 2, **GREEDY}
        found = client.chat.completions.create(**ask).choices[0].logprobs.content
        assert [len(token.top_logprobs) for token in found] == [2] * len(found)
        assert all(token.logprob == max(top.logprob for top in token.top_logprobs) for token in found)

    def test_stream(self, client: OpenAI) -> None:
        ask = {"model": MODEL, "messages": ASK, "max_tokens": 8, **GREEDY}
        whole = client.chat.completions.create(**ask).choices[0]
        chunks = list(client.chat.completions.create(**ask, stream=True))
        assert chunks[0].choices[0].delta.role == "assistant"
        assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks) == whole.message.content
        assert chunks[-1].choices[0].finish_reason == whole.finish_reason

    def test_stream_helper(self, client: OpenAI) -> None:
        with client.chat.completions.stream(model=MODEL, messages=ASK, stop=["."], **GREEDY) as stream:
            kinds = [event.type for event in stream]
            final = stream.get_final_completion()
        assert "content.delta" in kinds
        assert final.choices[0].message.content

    def test_json_schema(self, client: OpenAI) -> None:
        schema = {
            "type": "object",
            "properties": {"colour": {"enum": ["red", "blue"]}},
            "required": ["colour"],
            "additionalProperties": False,
        }
        kind = {"type": "json_schema", "json_schema": {"name": "answer", "schema": schema, "strict": True}}
        ask = {"model": MODEL, "messages": ASK, "max_tokens": 40, "response_format": kind, **GREEDY}
        answer = client.chat.completions.create(**ask)
        assert answer.choices[0].message.content.replace(" ", "") in ('{"colour":"red"}', '{"colour":"blue"}')

    def test_async(self, address: str) -> None:
        async def ask() -> list[str]:
            async with AsyncOpenAI(base_url=address, api_key="none") as client:

                async def one(number: int) -> str:
                    prompt = f"{number}, {number + 1},"
                    stream = await client.completions.create(
                        model=MODEL, prompt=prompt, max_tokens=4, stream=True, **GREEDY
                    )
                    return "".join([chunk.choices[0].text async for chunk in stream])

                return await asyncio.gather(*map(one, range(10, 18)))

        together = asyncio.run(ask())
        assert len(together) == 8
        assert all(together)


class TestErrors:
    @pytest.mark.parametrize(
        ("field", "value"),
        [
            ("temperature", -1),
            ("n", 0),
            ("max_tokens", "many"),
            ("stop", [""]),
            ("logit_bias", {"x": 1}),
            ("tools", [{"type": "function", "function": {"name": "f"}}]),
            ("audio", {"voice": "ash", "format": "mp3"}),
        ],
    )
    def test_a_field_that_cannot_be_honoured_is_named(self, client: OpenAI, field: str, value: object) -> None:
        with pytest.raises(openai.BadRequestError) as error:
            client.chat.completions.create(model=MODEL, messages=ASK, extra_body={field: value})
        assert error.value.param == field
        assert error.value.type == "invalid_request_error"

    def test_a_prompt_that_is_too_long(self, client: OpenAI) -> None:
        with pytest.raises(openai.BadRequestError, match="tokens"):
            client.completions.create(model=MODEL, prompt="word " * 20000)

    def test_an_unknown_model(self, client: OpenAI) -> None:
        with pytest.raises(openai.NotFoundError) as error:
            client.completions.create(model="gpt-9", prompt="a")
        assert error.value.code == "model_not_found"

    def test_an_unknown_path(self, client: OpenAI) -> None:
        with pytest.raises(openai.NotFoundError):
            client.embeddings.create(model=MODEL, input="a")

    def test_a_wrong_key(self, tmp_path: Path) -> None:
        (tmp_path / "keys").write_text("a-long-secret-key-of-this-test\n")
        (tmp_path / "keys").chmod(0o600)
        with serving("--api-key-file", str(tmp_path / "keys")) as address:
            right = OpenAI(base_url=address, api_key="a-long-secret-key-of-this-test", max_retries=0)
            assert right.models.list().data
            with pytest.raises(openai.AuthenticationError):
                OpenAI(base_url=address, api_key="wrong", max_retries=0).models.list()

    def test_too_many_requests(self) -> None:
        """One lane and one place in the queue: of six requests, some are told to come back."""
        with serving("--parallel", "1", "--queue", "1") as address:
            client = OpenAI(base_url=address, api_key="none", max_retries=0)
            refused: list[openai.RateLimitError] = []

            def ask() -> None:
                try:
                    more = {"ignore_eos": True}
                    client.completions.create(model=MODEL, prompt="Once", max_tokens=200, extra_body=more)
                except openai.RateLimitError as error:
                    refused.append(error)

            threads = [threading.Thread(target=ask) for _ in range(6)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            assert 1 <= len(refused) <= 5
            assert all(int(error.response.headers["retry-after"]) >= 1 for error in refused)
            assert client.completions.create(model=MODEL, prompt="Once", max_tokens=2).choices[0].text
