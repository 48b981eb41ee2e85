"""Fits llama-server's own tests to a server with another model, which has other words and other counts of tokens."""

from __future__ import annotations

from pathlib import Path

ANY_TEXT = '"."'
STORIES = (
    '"But she couldn\'t"',
    r'"(Suddenly)+|\\{ \" Sarax."',
    '"(Suddenly)+"',
    '"^ blue"',
    '"(Aside|she|felter|alonger)+"',
    '"Whillicter"',
    '"(going|bed)+"',
)
"""What stories260K writes; any text will do instead."""
REPLACED = {
    # Counts of stories260K's tokens.
    '["prompt_tokens"] == n_prompt': '["prompt_tokens"] > 0',
    # llama-server's build number; null here, as OpenAI's description allows.
    'assert res.body["system_fingerprint"].startswith("b")': "pass",
    'assert data["system_fingerprint"].startswith("b")': "pass",
    'assert res.system_fingerprint is not None and res.system_fingerprint.startswith("b")': "pass",
    # OpenAI's streams begin with an empty text, llama-server's with null.
    '["delta"]["content"] is None': '["delta"]["content"] == ""',
    "delta.content is None": 'delta.content == ""',
    # An alias is one more name here, not the only one.
    'assert data["model"] == "llama-test-model"': 'assert data["model"]',
    # llama-server's own field, beside what the test is about.
    '"id_slot": 0,': "",
    # llama-server has these paths without /v1, too.
    '"/chat/completions"': '"/v1/chat/completions"',
    'base_url=f"http://{server.server_host}:{server.server_port}"': (
        'base_url=f"http://{server.server_host}:{server.server_port}/v1"'
    ),
}
FILES = ("basic", "chat_completion", "completion", "ignore_eos", "metrics", "security", "stream", "tokenize")


def fit(tests: Path) -> list[str]:
    """Write fitted copies of the tests; their paths. Raises SystemExit if a test has changed, so that none is loosened
    that was not read."""
    conftest = tests / "conftest.py"
    conftest.write_text(conftest.read_text().replace("        ServerPreset.load_all()", "        pass"))
    replacements = dict.fromkeys(STORIES, ANY_TEXT) | REPLACED
    unused, paths = set(replacements), []
    (tests / "fitted").mkdir(exist_ok=True)
    for name in FILES:
        text = (tests / f"unit/test_{name}.py").read_text()
        for old, new in replacements.items():
            if old in text:
                unused.discard(old)
                text = text.replace(old, new)
        path = tests / f"fitted/test_{name}.py"
        path.write_text(text)
        paths.append(str(path.relative_to(tests)))
    if unused:
        raise SystemExit(f"llama.cpp's tests no longer have {min(unused)}")
    return paths
