"""The output of `gptcli models`: records for programs, and the same as rows for people."""

from __future__ import annotations

import json
from datetime import datetime, timezone

from gptcli.models.gguf.header import Header
from gptcli.models.store.summary import count_text, summarize, summarize_all
from gptcli.render.progress import bytes_text
from gptcli.render.table import write_table
from gptcli.runtime import memory
from gptcli.terminal import Terminal

Facts = dict[str, object]

_SUMMARY = ("quantization", "architecture", "parameters", "context_length", "licence")


class Table:
    """Records, and rows of the same under `headers`."""

    def __init__(self, *headers: str) -> None:
        self.headers = headers
        self.records: list[Facts] = []
        self.rows: list[tuple[str, ...]] = []

    def add(self, record: Facts, *row: str) -> None:
        self.records.append(record)
        self.rows.append(row)

    def write(self, terminal: Terminal, as_json: bool) -> None:
        if as_json:
            terminal.write(json_text(self.records))
        elif self.rows:
            write_table(terminal, self.headers, self.rows)


def json_text(value: object) -> str:
    """JSON with every invisible character escaped; bytes of file names that are not UTF-8 become question marks."""
    text = json.dumps(value, ensure_ascii=False, indent=2).encode("utf-8", "replace").decode()
    return "".join(c if c.isprintable() or c == "\n" else json.dumps(c)[1:-1] for c in text) + "\n"


def stored_table() -> Table:
    """The stored models."""
    from gptcli.models.store.inventory import stored

    table = Table("NAME", "QUANT", "SIZE", "ARCH", "PARAMS", "CONTEXT", "USED")
    models = stored()
    summaries = summarize_all([model.path for model in models])
    for model in models:
        summary = summaries[model.path]
        used = datetime.fromtimestamp(model.used, timezone.utc)
        record: Facts = {
            "name": model.name,
            "path": str(model.path),
            "parts": len(model.parts),
            "size": model.size,
            **{name: getattr(summary, name) for name in _SUMMARY},
            **{name: getattr(model, name) for name in ("repo", "commit", "file")},
            "last_used": used.strftime("%Y-%m-%dT%H:%M:%SZ"),
            "damage": summary.damage,
        }
        row = (model.name, summary.quantization, bytes_text(model.size), summary.architecture or "damaged")
        more = (count_text(summary.parameters), str(summary.context_length or ""))
        table.add(record, *row, *more, used.astimezone().strftime("%Y-%m-%d"))
    return table


def catalog_table() -> Table:
    """The catalog: what is stored, and what fits into the free memory."""
    from gptcli.models.refs.catalog import entries
    from gptcli.models.resolve import find_stored_entry

    table = Table("NAME", "PARAMS", "SIZE", "FITS", "STORED", "LICENCE", "GOOD FOR")
    free = memory.available()
    for entry in entries().values():
        stored = find_stored_entry(entry) is not None
        need = memory.rough_need(entry.size) if entry.size else None
        fits = None if need is None else need <= free
        record: Facts = {
            "name": entry.alias,
            "title": entry.name,
            "parameters": entry.parameters,
            "size": entry.size,
            "memory": need,
            "fits": fits,
            "stored": stored,
            "licence": entry.licence,
            "good_for": entry.good_for,
            "repo": entry.repo,
            "file": entry.file,
        }
        size, fits_text = bytes_text(entry.size) if entry.size else "?", {True: "yes", False: "no", None: "?"}[fits]
        row = (entry.alias, entry.parameters, size, fits_text, "yes" if stored else "", entry.licence, entry.good_for)
        table.add(record, *row)
    return table


def search_table(words: str, limit: int) -> Table:
    """What the hub has for `words`."""
    from gptcli.models.hub.pull import search

    table = Table("REPOSITORY", "PARAMS", "DOWNLOADS", "", "QUANTIZATIONS")
    for hit, quantizations in search(words, limit=limit):
        fields = ("repo", "downloads", "gated", "architecture", "parameters")
        record: Facts = {**{name: getattr(hit, name) for name in fields}, "quantizations": quantizations}
        sizes = ", ".join(f"{kind} {bytes_text(size)}" if size else kind for kind, size in quantizations.items())
        parameters = count_text(hit.parameters) if hit.parameters else ""
        table.add(record, hit.repo, parameters, str(hit.downloads), "gated" if hit.gated else "", sizes)
    return table


def show(header: Header, context: int | None, as_json: bool) -> str:
    """A model's metadata and memory, as JSON or as lines of `name  value`, without what the file does not have."""
    sizes = _memory_facts(header, context)
    if as_json:
        return json_text({**_facts(header), "memory": sizes})
    texts = {name: bytes_text(count) for name, count in sizes.items()}
    lines = {key.replace("_", " "): value for key, value in _facts(header).items()}
    lines["parameters"] = count_text(summarize(header.path).parameters)
    lines["size"] = bytes_text(memory.weights(header))
    lines["chat template"] = "yes (--template prints it)" if lines["chat template"] else "none"
    lines[f"memory for {sizes['context']} tokens"] = (
        f"{texts['total']} ({texts['weights']} weights, {texts['kv_cache']} KV cache, {texts['compute']} compute)"
    )
    lines["memory available"] = texts["available"]
    lines["largest context"] = f"{sizes['largest_context']} tokens"
    width = max(map(len, lines))
    shown = ((key, str(value)) for key, value in lines.items() if value is not None)
    return "".join(f"{key:{width}}  {text if text.isprintable() else repr(text)}\n" for key, text in shown)


def _facts(header: Header) -> Facts:
    tokens = header.arrays.get("tokenizer.ggml.tokens")
    return {
        "path": str(header.path),
        "name": header.text("general.name"),
        "architecture": header.architecture,
        "parameters": summarize(header.path).parameters,
        "quantization": header.quantization,
        "size": memory.weights(header),
        "licence": header.text("general.license"),
        "context_length": header.own("context_length"),
        "layers": header.own("block_count"),
        "embedding": header.own("embedding_length"),
        "heads": max(header.per_layer("attention.head_count") or [0]) or None,
        "kv_heads": max(header.per_layer("attention.head_count_kv") or [0]) or None,
        "experts": header.own("expert_count"),
        "vocabulary": tokens.count if tokens else None,
        "tokenizer": header.text("tokenizer.ggml.pre") or header.text("tokenizer.ggml.model"),
        "chat_template": header.text("tokenizer.chat_template") is not None,
    }


def _memory_facts(header: Header, context: int | None) -> dict[str, int]:
    """The memory for `context` tokens, by default for up to 4096."""
    context = context or min(header.own("context_length") or 4096, 4096)
    need, free = memory.need(header, context), memory.available()
    parts = {"weights": need.weights, "kv_cache": need.cache, "compute": need.compute, "total": need.total}
    return {"context": context, **parts, "available": free, "largest_context": memory.largest_context(header, free)}
