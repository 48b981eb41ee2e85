"""How a user may name a model, read into one of three forms: a path, an alias, a place on the hub.

It is pure: it looks at the text only, and knows neither what exists here nor what the hub has.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from gptcli.errors import ModelNotFound

HUB_HOSTS = ("huggingface.co", "hf.co", "www.huggingface.co")
OTHER_PROGRAMS = ("lmstudio", "ollama")
"""Whose models are named with a prefix: `ollama:llama3.2:1b`."""

_NAME = r"[A-Za-z0-9_](?:[A-Za-z0-9._-]*[A-Za-z0-9_])?"
_REPO = re.compile(rf"{_NAME}/{_NAME}")
_TAG = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?")
_ALIAS = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._:+-]*")
_DRIVE = re.compile(r"[A-Za-z]:[\\/]")
_WAYS = "Name an alias, USER/REPO, USER/REPO:QUANT, USER/REPO:FILE.gguf, a page of the hub, or a GGUF file's path."


@dataclass(frozen=True, slots=True)
class PathReference:
    """A file on this machine, as it was written."""

    path: str

    def __str__(self) -> str:
        return self.path


@dataclass(frozen=True, slots=True)
class AliasReference:
    """A word: the user's own name, or the catalog's."""

    name: str

    def __str__(self) -> str:
        return self.name


@dataclass(frozen=True, slots=True)
class HubReference:
    """A repository of the hub, and at most one of: a file in it, or the quantization wanted."""

    repo: str
    file: str | None = None
    tag: str | None = None
    revision: str | None = None
    """A branch, tag or commit; None for `main`."""

    def __str__(self) -> str:
        if self.revision is not None:
            from urllib.parse import quote

            place = f"https://{HUB_HOSTS[0]}/{self.repo}/{{}}/{quote(self.revision, safe='')}"
            return place.format("tree") if self.file is None else f"{place.format('blob')}/{quote(self.file)}"
        chosen = self.file or self.tag
        return self.repo if chosen is None else f"{self.repo}:{chosen}"


Reference = PathReference | AliasReference | HubReference


def parse(text: str, *, endpoint: str = "") -> Reference:
    """Read a reference; `endpoint` is the URL of a hub of the user's own, whose pages are understood too.

    ModelNotFound where `text` can name nothing.
    """
    text = text.strip()
    if not text or not text.isprintable():
        raise ModelNotFound(f"{text!r} names no model.", _WAYS)
    scheme, colon, rest = text.partition(":")
    if colon and scheme.lower() in {"http", "https"}:
        return _page(text, endpoint)
    if colon and scheme.lower() == "hf":
        return _place(rest.removeprefix("//"))
    if colon and scheme in OTHER_PROGRAMS:
        return AliasReference(text)
    host, slash, rest = text.partition("/")
    if slash and host.lower() in HUB_HOSTS:
        return _page(f"https://{text}", endpoint)
    return _bare(text)


def _bare(text: str) -> Reference:
    if text.startswith(("/", "~", "./", "../")) or text in {".", ".."} or "\\" in text or _DRIVE.match(text):
        return PathReference(text)
    repo, _, tag = text.partition(":")
    if _REPO.fullmatch(repo) and (tag or not repo.lower().endswith(".gguf")):
        return _place(text)
    if "/" in text or text.lower().endswith(".gguf"):
        return PathReference(text)
    if _ALIAS.fullmatch(text):
        return AliasReference(text)
    return PathReference(text)


def _place(text: str) -> HubReference:
    """USER/REPO, USER/REPO:QUANT, USER/REPO:FILE or USER/REPO/FILE."""
    repo, colon, chosen = text.partition(":")
    user, _, rest = repo.partition("/")
    name, slash, inside = rest.partition("/")
    if slash and not colon:
        repo, chosen = f"{user}/{name}", inside
    if not is_repo(repo) or ((colon or slash) and not chosen):
        raise ModelNotFound(f"{text!r} is no place on the hub.", _WAYS)
    if not chosen:
        return HubReference(repo)
    if slash or "/" in chosen or chosen.lower().endswith(".gguf"):
        return HubReference(repo, file=_file(chosen))
    if not _TAG.fullmatch(chosen):
        raise ModelNotFound(f"{chosen!r} is no quantization and no file of {repo}.", _WAYS)
    return HubReference(repo, tag=chosen)


def _page(url: str, endpoint: str) -> HubReference:
    """A URL as a browser shows it: the repository, its tree, or one of its files."""
    from urllib.parse import parse_qs, unquote, urlsplit  # 5 ms that an alias or a path need not wait for

    try:
        page, own = urlsplit(url), urlsplit(endpoint)
    except ValueError as error:
        raise ModelNotFound(f"{url!r} is no URL.", _WAYS) from error
    if page.netloc.lower() not in {*HUB_HOSTS, own.netloc.lower()}:
        raise ModelNotFound(f"{page.netloc!r} is not the model hub.", "Download the file and give its path.")
    path = page.path.removeprefix(own.path.rstrip("/") + "/") if own.netloc == page.netloc else page.path
    parts = path.strip("/").split("/")
    if len(parts) == 2 and ":" in parts[1]:  # hf.co/USER/REPO:QUANT, as ollama has it
        return _place(unquote("/".join(parts)))
    repo = "/".join(parts[:2])
    if not is_repo(repo):
        raise ModelNotFound(f"{url!r} is no model's page.", _WAYS)
    shown = parse_qs(page.query).get("show_file_info")
    if len(parts) >= 4 and parts[2] in {"blob", "resolve", "raw", "tree"}:
        revision = unquote(parts[3])
        inside = unquote("/".join(parts[4:])) if parts[2] != "tree" else ""
    elif len(parts) == 2 or parts[2:] == ["tree"]:
        revision, inside = "main", ""
    else:
        raise ModelNotFound(f"{url!r} is no model's page.", _WAYS)
    inside = inside or (shown[0] if shown else "")
    return HubReference(
        repo,
        file=_file(inside) if inside else None,
        revision=None if revision == "main" else _revision(revision),
    )


def is_repo(name: str) -> bool:
    """Whether `name` is USER/REPO by the hub's rules (huggingface_hub.utils.validate_repo_id)."""
    return (
        _REPO.fullmatch(name) is not None
        and len(name) <= 96
        and "--" not in name
        and ".." not in name
        and not name.endswith(".git")
    )


def _file(name: str) -> str:
    steps = name.split("/")
    if not name.isprintable() or any(step in {"", ".", ".."} or set(step) & set("\\:") for step in steps):
        raise ModelNotFound(f"{name!r} is no file name inside a repository.", _WAYS)
    return name


def _revision(name: str) -> str:
    if not name.isprintable() or not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._/-]*", name) or ".." in name:
        raise ModelNotFound(f"{name!r} is no branch, tag or commit.", _WAYS)
    return name
