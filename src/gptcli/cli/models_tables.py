"""What `gptcli models` prints: records for programs, and rows of the same for people.

It knows which facts are shown and how; it finds none of them itself.
"""

from __future__ import annotations

import json
from datetime import datetime, timezone
from typing import Any

from gptcli.models.gguf.header import Header
from gptcli.models.store import listing
from gptcli.render.progress import bytes_text

Table = tuple[list[dict[str, Any]], tuple[str, ...], list[tuple[str, ...]]]
"""Records, the headers of the columns, and the rows under them."""


def json_text(value: Any) -> str:
    """JSON for programs. It is UTF-8: what is not, in the name of a file, becomes a question mark."""
    return json.dumps(value, ensure_ascii=False, indent=2).encode("utf-8", "replace").decode() + "\n"


def count_text(count: int) -> str:
    """A number of parameters for people: `135M`, `20.9B`."""
    for limit, unit in ((1e9, "B"), (1e6, "M"), (1e3, "k")):
        if count >= limit * 0.9995:
            return f"{count / limit:.3g}{unit}"
    return str(count)


def stored() -> Table:
    """The stored models; remembered for the next time."""
    from gptcli.models.gguf.summary import summarize
    from gptcli.models.store.inventory import stored as all_stored
    from gptcli.models.store.inventory import watched
    from gptcli.render.table import fields

    started = listing.now()
    models = all_stored()
    summaries = summarize([model.path for model in models])
    records: list[dict[str, Any]] = []
    rows: list[tuple[str, ...]] = []
    for model in models:
        summary = summaries[model.path]
        used = datetime.fromtimestamp(model.used, timezone.utc)
        records.append(
            {
                "name": model.name,
                "path": str(model.path),
                "parts": len(model.parts),
                "size": model.size,
                "quantization": summary.quantization,
                "architecture": summary.architecture,
                "parameters": summary.parameters,
                "context_length": summary.context_length,
                "licence": summary.licence,
                "repo": model.repo,
                "commit": model.commit,
                "file": model.file,
                "last_used": used.strftime("%Y-%m-%dT%H:%M:%SZ"),
                "damage": summary.damage,
            }
        )
        rows.append(
            (
                model.name,
                summary.quantization,
                bytes_text(model.size),
                summary.architecture or "damaged",
                count_text(summary.parameters),
                str(summary.context_length or ""),
                used.astimezone().strftime("%Y-%m-%d"),
            )
        )
    lines = fields(rows).encode("utf-8", "surrogateescape")
    listing.remember(lines, json_text(records).encode(), watched(models), started)
    return records, listing.COLUMNS, rows


def catalog() -> Table:
    """The catalog, with what is stored already and what this machine's memory could take."""
    from gptcli.models.refs.catalog import entries
    from gptcli.models.refs.resolve import stored_entry
    from gptcli.runtime import memory
    from gptcli.runtime.fit import rough_need

    free = memory.available()
    records: list[dict[str, Any]] = []
    rows: list[tuple[str, ...]] = []
    for entry in entries().values():
        here = stored_entry(entry) is not None
        need = rough_need(entry.size) if entry.size else None
        fits = None if need is None or free is None else need <= free
        records.append(
            {
                "name": entry.alias,
                "title": entry.name,
                "parameters": entry.parameters,
                "size": entry.size,
                "memory": need,
                "fits": fits,
                "stored": here,
                "licence": entry.licence,
                "good_for": entry.good_for,
                "repo": entry.repo,
                "file": entry.file,
            }
        )
        rows.append(
            (
                entry.alias,
                entry.parameters,
                bytes_text(entry.size) if entry.size else "?",
                {True: "yes", False: "no", None: "?"}[fits],
                "yes" if here else "",
                entry.licence,
                entry.good_for,
            )
        )
    return records, ("NAME", "PARAMS", "SIZE", "FITS", "HERE", "LICENCE", "GOOD FOR"), rows


def found(words: str, limit: int) -> Table:
    """What the hub has for `words`."""
    from gptcli.models.hub.lookup import look_up

    records: list[dict[str, Any]] = []
    rows: list[tuple[str, ...]] = []
    for hit in look_up(words, limit=limit):
        records.append(
            {
                "repo": hit.repo,
                "downloads": hit.downloads,
                "gated": hit.gated,
                "architecture": hit.architecture,
                "parameters": hit.parameters,
                "quantizations": hit.quantizations,
            }
        )
        sizes = ", ".join(f"{kind} {bytes_text(size)}" if size else kind for kind, size in hit.quantizations.items())
        parameters = count_text(hit.parameters) if hit.parameters else ""
        rows.append((hit.repo, parameters, str(hit.downloads), "gated" if hit.gated else "", sizes))
    return records, ("REPOSITORY", "PARAMS", "DOWNLOADS", "", "QUANTIZATIONS"), rows


def facts(header: Header, context: int | None) -> dict[str, Any]:
    """All that a user chooses a model by, from its header; the memory for `context` tokens, or for what it may have."""
    from gptcli.models.gguf import summary
    from gptcli.runtime import fit, memory

    whole = summary.summarize([header.path])[header.path]
    tokens = header.arrays.get("tokenizer.ggml.tokens")
    trained = header.own("context_length")
    context = context or min(trained or 4096, 4096)
    need = fit.need(header, context)
    free = memory.available()
    return {
        "path": str(header.path),
        "name": header.text("general.name"),
        "architecture": header.architecture,
        "parameters": whole.parameters,
        "quantization": header.quantization,
        "size": fit.weights(header),
        "licence": header.text("general.license"),
        "context_length": trained,
        "layers": header.own("block_count"),
        "embedding": header.own("embedding_length"),
        "heads": max(header.per_layer("attention.head_count") or [0]) or None,
        "kv_heads": max(header.per_layer("attention.head_count_kv") or [0]) or None,
        "experts": header.own("expert_count"),
        "vocabulary": tokens.count if tokens else None,
        "tokenizer": header.text("tokenizer.ggml.pre") or header.text("tokenizer.ggml.model"),
        "chat_template": header.text("tokenizer.chat_template") is not None,
        "memory": {
            "context": context,
            "weights": need.weights,
            "kv_cache": need.cache,
            "compute": need.compute,
            "total": need.total,
            "available": free,
            "largest_context": None if free is None else fit.largest_context(header, free),
        },
    }


def fact_lines(facts: dict[str, Any]) -> str:
    """The same as lines of `name  value`; what the file does not say is left out."""
    memory = facts["memory"]
    need = ", ".join(f"{bytes_text(memory[key])} {label}" for key, label in _PARTS)
    lines = {key.replace("_", " "): value for key, value in facts.items() if key != "memory"}
    lines["parameters"] = count_text(facts["parameters"])
    lines["size"] = bytes_text(facts["size"])
    lines["chat template"] = "yes (--template prints it)" if facts["chat_template"] else "none"
    lines[f"memory for {memory['context']} tokens"] = f"{bytes_text(memory['total'])} ({need})"
    if memory["available"] is not None:
        lines["memory available"] = bytes_text(memory["available"])
        lines["largest context"] = f"{memory['largest_context']} tokens"
    width = max(map(len, lines))
    return "".join(f"{key:{width}}  {_one_line(value)}\n" for key, value in lines.items() if value is not None)


_PARTS = (("weights", "weights"), ("kv_cache", "KV cache"), ("compute", "computing"))


def _one_line(value: object) -> str:
    return value if isinstance(value, str) and value.isprintable() else json.dumps(value, ensure_ascii=False)
