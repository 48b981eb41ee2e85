"""Where a schema's `$ref` leads: JSON pointers, `$id`s and anchors inside one document."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import cast
from urllib.parse import unquote, urldefrag, urljoin

from gptcli.constraints.short_form import Json

_VALUES = frozenset({"enum", "const", "default", "example", "examples"})
"""Keywords whose values are data: what looks like a schema there is none."""


class UnknownReference(ValueError):
    """A reference that leads nowhere in the document; the message says why."""


@dataclass(frozen=True, slots=True)
class Place:
    """A schema of the document."""

    schema: Json
    pointer: str
    """From the document's root, `""` or `"/$defs/address"`."""
    base: str
    """The URI that its references are relative to, without a fragment; often empty."""
    lone_references: bool = False
    """Until draft 7, what stands beside a `$ref` says nothing."""

    def child(self, schema: Json, *tokens: str | int) -> Place:
        """A schema inside this one, by the keys that lead to it."""
        path = "".join(f"/{escape_token(str(token))}" for token in tokens)
        lone = self.lone_references
        is_reference = lone and isinstance(schema, dict) and "$ref" in schema
        base = self.base if is_reference else _base_of(schema, self.base)
        return Place(schema, self.pointer + path, base, lone)


def escape_token(token: str) -> str:
    """A key as a part of a JSON pointer (RFC 6901)."""
    return token.replace("~", "~0").replace("/", "~1")


class References:
    """The schemas of a document that have names."""

    def __init__(self, root: Json) -> None:
        is_old = isinstance(root, dict) and _is_old(root.get("$schema"))
        self.root = Place(
            root, "", "" if is_old and "$ref" in cast(dict[str, Json], root) else _base_of(root, ""), is_old
        )
        self._resources = {"": self.root, self.root.base: self.root}
        self._anchors: dict[tuple[str, str], Place] = {}
        for place in _dicts(self.root):
            schema = cast(dict[str, Json], place.schema)
            if isinstance(schema.get("$id") or schema.get("id"), str):
                self._resources.setdefault(place.base, place)
            for keyword in ("$anchor", "$dynamicAnchor"):
                if isinstance(name := schema.get(keyword), str):
                    self._anchors.setdefault((place.base, name), place)
            if isinstance(old := schema.get("$id") or schema.get("id"), str) and old.startswith("#"):
                self._anchors.setdefault((place.base, old[1:]), place)

    @property
    def resources(self) -> int:
        """How many schemas of the document have a URI of their own; 1 in most documents."""
        return len({place.pointer for place in self._resources.values()})

    def resolve(self, reference: str, base: str) -> Place:
        """The schema that a reference means. Raises UnknownReference."""
        try:
            uri, fragment = urldefrag(reference if reference.startswith("#") else urljoin(base, reference))
        except ValueError as error:
            raise UnknownReference(f"{reference!r} is no reference") from error
        resource = self._resources.get(base if reference.startswith("#") else uri)
        if resource is None:
            raise UnknownReference(f"{reference!r} is in another document; put it into $defs")
        fragment = unquote(fragment)
        if fragment and not fragment.startswith("/"):
            if (resource.base, fragment) not in self._anchors:
                raise UnknownReference(f"{reference!r} is nowhere in the schema")
            return self._anchors[resource.base, fragment]
        place = resource
        for token in fragment.split("/")[1:]:
            key = token.replace("~1", "/").replace("~0", "~")
            place = _step(place, key, reference)
        return place


def _is_old(uri: Json) -> bool:
    return isinstance(uri, str) and any(f"draft-0{number}" in uri for number in (3, 4, 6, 7))


def _step(place: Place, key: str, reference: str) -> Place:
    if isinstance(place.schema, dict) and key in place.schema:
        return place.child(place.schema[key], key)
    if isinstance(place.schema, list) and key.isdecimal() and int(key) < len(place.schema):
        return place.child(place.schema[int(key)], key)
    raise UnknownReference(f"{reference!r} is nowhere in the schema")


def _base_of(schema: Json, base: str) -> str:
    """The base URI inside a schema: its own, if it has one."""
    if not isinstance(schema, dict):
        return base
    own = schema.get("$id") or schema.get("id")
    if not isinstance(own, str) or own.startswith("#"):
        return base
    try:
        return urldefrag(urljoin(base, own))[0]
    except ValueError:
        return base


def _dicts(root: Place) -> Iterator[Place]:
    """Every object of the document that may be a schema."""
    waiting = [root]
    while waiting:
        place = waiting.pop()
        if isinstance(place.schema, dict):
            yield place
            waiting += [place.child(value, key) for key, value in place.schema.items() if key not in _VALUES]
        elif isinstance(place.schema, list):
            waiting += [place.child(value, index) for index, value in enumerate(place.schema)]
