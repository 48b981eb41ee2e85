"""The pages that people read, their commands, and the files that these commands work on."""

from __future__ import annotations

import re
import subprocess
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
_BLOCK = re.compile(
    r"(?:^<!-- not run: (?P<why>[^\n]+?) -->\n)?^```(?P<language>\w*)\n(?P<code>.*?)^```$", re.MULTILINE | re.DOTALL
)

_TEXTS = {
    "handbook.txt": "Staff have 30 days of leave a year. The head of a team approves leave. Travel is paid monthly.\n",
    "notes.txt": "The train to Lisbon leaves at nine o'clock on Monday. Tickets are at the desk. Bring a coat.\n",
    "error.log": "Traceback (most recent call last):\n  File 'a.py', line 3\nZeroDivisionError: division by zero\n",
    "reviews.txt": "I love it, it works very well.\nIt broke after one day and nobody answers.\nGood, but slow.\n",
    "questions.csv": "id,question\n1,What is the capital of France?\n2,How many legs has a spider?\n",
    "examples.jsonl": '{"name": "Ada", "age": 36}\n{"name": "Tom", "age": 41}\n',
    "letters.csv": "text\nSee you on Monday. Tom\n",
    "samples.jsonl": '{"name": "Ada", "tags": ["x"]}\n{"name": "Tom", "tags": []}\n',
    "queue.jsonl": '{"prompt": "One, two,"}\n{"prompt": "Red, green,"}\n',
    "letters/one.txt": "Dear Ann, the roof is done. Please pay the bill. Tom\n",
    "letters/two.txt": "Dear Tom, thank you. The money is on its way. Ann\n",
    "prompts/one.txt": "The sky is\n",
    "reviews.csv": "text,review\nI love it.,I love it.\nIt broke.,It broke.\n",
    "report.txt": "The company was founded in 1921 in Oslo by two brothers. It makes boats.\n",
    "person.json": '{"type": "object", "properties": {"name": {"type": "string"}}, "required": ["name"]}',
    "news.csv": "text\nThe team won the cup.\nShares fell on Monday.\n",
    "news.txt": "The team won the cup.\nShares fell on Monday.\n",
    "labels.tsv": "work\tabout a job\nhome\tabout a family\n",
    "examples.tsv": "work\tThe meeting is at ten.\nhome\tMum is cooking.\n",
    "mails.txt": "Where is my parcel?\nPlease pay the bill today.\n",
    "mails/one.txt": "Can we meet at noon?\n",
    "questions.jsonl": '{"question": "2 + 2?", "answer": "4"}\n',
    "chapter.txt": "It was a bright cold day in April, and nobody was in the street.\n",
    "names.txt": "Ada Lovelace\nXq Zzyrk\nTom Smith\n",
    "letter.txt": "Dear Ann, the roof is done.\n",
    "app.log": "12:00 started\n12:01 disk full\n",
    "notes.py": "def add(a, b):\n    return a + b\n",
}


@dataclass(frozen=True, slots=True)
class Block:
    """A block of commands; `why` is the reason for not running it, or empty."""

    line: int
    code: str
    why: str


def blocks(page: Path) -> list[Block]:
    """The blocks of a page that are shell commands."""
    text = page.read_text("utf-8")
    found = []
    for match in _BLOCK.finditer(text):
        if match["language"] == "sh":
            line = text.count("\n", 0, match.start("code")) + 1
            found.append(Block(line, match["code"], match["why"] or ""))
    return found


def prose(page: Path) -> str:
    """The text of a page without its code, tables, headings and comments."""
    text = _BLOCK.sub("", page.read_text("utf-8"))
    text = re.sub(r"<!--.*?-->", "", text, flags=re.DOTALL)
    lines = [line for line in text.splitlines() if not line.lstrip().startswith(("|", "#", "    ", "![", "- ["))]
    return "\n".join(lines)


def fill(folder: Path) -> None:
    """The files that the pages speak of, in a git repository with a change."""
    for name, text in _TEXTS.items():
        file = folder / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, "utf-8")
    body = '{"model": "x", "messages": [{"role": "user", "content": "Hi"}]}'
    request = '{"custom_id": "%s", "method": "POST", "url": "/v1/chat/completions", "body": ' + body + "}\n"
    (folder / "requests.jsonl").write_text(request % "a" + request % "b", "utf-8")
    git = ["git", "-c", "user.name=Ada", "-c", "user.email=ada@example.org", "-C", str(folder)]
    subprocess.run([*git, "init", "-q"], check=True, capture_output=True)
    subprocess.run([*git, "add", "notes.txt", "notes.py"], check=True, capture_output=True)
    subprocess.run([*git, "commit", "-qm", "Add notes"], check=True, capture_output=True)
    (folder / "notes.py").write_text(_TEXTS["notes.py"].replace("a + b", "a + b + 1"), "utf-8")
