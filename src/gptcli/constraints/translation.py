"""A JSON Schema of any draft, in the words that llguidance keeps; what cannot be put so is named.

The translation allows exactly the same values, in the canonical forms that `docs/structured.md` lists. It has only what
the root refers to: annotations and definitions that nothing uses are gone."""

from __future__ import annotations

import json
import re
from typing import cast

from gptcli.constraints import rewriting
from gptcli.constraints.disjoint import are_disjoint, may_be_number
from gptcli.constraints.negation import Inexpressible, negate
from gptcli.constraints.patterns import rust_pattern
from gptcli.constraints.productive import without_endless
from gptcli.constraints.references import Place, References, UnknownReference, escape_token
from gptcli.constraints.sharing import shared_texts
from gptcli.constraints.short_form import Json
from gptcli.constraints.vocabulary import KEYWORDS, TYPE_OF, TYPES, is_annotation, nearest, types_of

_MAX_DEPTH = 80
_MAX_SCHEMAS = 20_000
_APPLICATORS = {"allOf", "anyOf", "oneOf", "prefixItems", "properties", "patternProperties", "dependentSchemas"}
_READ_WITH_ANOTHER = {"then", "else", "minContains", "maxContains", "additionalItems"}

Schema = dict[str, Json]


class TooLarge(ValueError):
    """The schema has more parts, or is nested deeper, than is worth translating."""


class Translation:
    """The translation of a document's root.

    `problems` and `dropped` have a line for each thing that cannot be kept or, with `lenient`, was left out."""

    def __init__(self, root: Json, *, lenient: bool = False) -> None:
        """Raises TooLarge."""
        self.problems: list[str] = []
        self.dropped: list[str] = []
        self._lenient = lenient
        self._references = References(root)
        self._definitions: Schema = {}
        self._names: dict[str, str] = {}
        self._waiting: dict[str, Place] = {}
        self._count = 0
        schema = self._translate(self._references.root, 0)
        while self._waiting:
            self._define(next(iter(self._waiting)))
        if isinstance(schema, dict):
            schema = shared_texts({**schema, "$defs": self._definitions})
            schema = without_endless(schema) if schema.get("$defs") else schema
        self.schema: Json = schema
        """False where no finite text satisfies it."""

    def _translate(self, place: Place, depth: int) -> Json:
        self._count += 1
        if depth > _MAX_DEPTH:
            raise TooLarge(f"is nested more than {_MAX_DEPTH} deep")
        if self._count > _MAX_SCHEMAS:
            raise TooLarge(f"has more than {_MAX_SCHEMAS:,} parts")
        if isinstance(place.schema, bool):
            return place.schema
        if not isinstance(place.schema, dict):
            self.problems.append(f"{_at(place)}: must be a schema, not {_short(place.schema)}")
            return False
        schema = self._checked(place, place.schema)
        out = _Output()
        for keyword in schema:
            try:
                self._keyword(place, keyword, schema, out, depth + 1)
            except Inexpressible as reason:
                self._leave_out(place, keyword, f"cannot be kept: {reason}")
        for keyword, rewrite in rewriting.REWRITES.items():
            if keyword in out.schema:
                try:
                    out.add(*rewrite(out.schema, schema))
                except Inexpressible as reason:
                    out.schema.pop(keyword, None)
                    self._leave_out(place, keyword, f"cannot be kept: {reason}")
        return out.whole()

    def _checked(self, place: Place, schema: Schema) -> Schema:
        """The keywords that matter; unknown ones and wrong values are refused."""
        if place.lone_references and "$ref" in schema:
            schema = {"$ref": schema["$ref"]}
        kinds = types_of(schema.get("type")) if KEYWORDS["type"][1](schema.get("type", "")) else TYPES
        checked: Schema = {}
        for keyword, value in schema.items():
            if is_annotation(keyword):
                continue
            if keyword not in KEYWORDS:
                self._refuse_unknown(place, keyword, value)
            elif not KEYWORDS[keyword][1](value):
                self.problems.append(f"{_at(place, keyword)}: must be {KEYWORDS[keyword][0]}, not {_short(value)}")
            elif keyword == "type" and (wrong := [kind for kind in types_of(value) if kind not in TYPES]):
                self.problems.append(f"{_at(place, keyword)}: {rewriting.wrong_type(wrong[0])}")
            elif TYPE_OF.get(keyword) in (None, *kinds) or (TYPE_OF[keyword] == "number" and "integer" in kinds):
                checked[keyword] = value
        return checked

    def _refuse_unknown(self, place: Place, keyword: str, value: Json) -> None:
        if keyword == "nullable":  # OpenAPI 3.0's; validators of JSON Schema pass it over
            if value is True:
                self._leave_out(place, keyword, 'is OpenAPI\'s, not JSON Schema\'s; write "type": ["string", "null"]')
            return
        near = nearest(keyword)
        self._leave_out(place, keyword, f"unknown keyword; did you mean {near}?" if near else "unknown keyword")

    def _leave_out(self, place: Place, keyword: str, reason: str) -> None:
        """What `lenient` drops, and others refuse."""
        (self.dropped if self._lenient else self.problems).append(f"{_at(place, keyword)}: {reason}")

    def _keyword(self, place: Place, keyword: str, schema: Schema, out: _Output, depth: int) -> None:
        """Put one keyword of `place` into `out`. Raises Inexpressible."""
        value = schema[keyword]
        if keyword in ("$ref", "$dynamicRef", "$recursiveRef"):
            if keyword != "$ref" and self._references.resources > 1:
                raise Inexpressible("which schema it means depends on the way to it")
            out.put("$ref", self._reference(place, keyword, cast(str, value)))
        elif keyword == "oneOf":
            out.put("anyOf", self._one_of(place, keyword, depth))
        elif keyword == "not":
            out.put("allOf", [self._negated(place, keyword, depth)])
        elif keyword == "if":
            out.put("allOf", [self._conditional(place, schema, depth)])
        elif keyword in ("dependentRequired", "dependentSchemas", "dependencies"):
            out.put("allOf", self._dependencies(place, keyword, cast(Schema, value), depth))
        elif keyword in ("unevaluatedProperties", "unevaluatedItems"):
            self._unevaluated(place, keyword, out, depth)
        elif keyword == "items" and isinstance(value, list):  # until 2019-09
            out.put("prefixItems", self._parts(place, keyword, depth))
            out.put("items", self._child(place, "additionalItems", depth) if "additionalItems" in schema else True)
        elif keyword == "contains":
            rewriting.contains(schema)
        elif keyword in _APPLICATORS:
            parts = self._parts(place, keyword, depth)
            by_pattern = keyword == "patternProperties"
            out.put(
                keyword, {rust_pattern(key): part for key, part in cast(Schema, parts).items()} if by_pattern else parts
            )
        elif keyword in ("additionalProperties", "propertyNames", "items"):
            out.put(keyword, self._child(place, keyword, depth))
        elif keyword not in _READ_WITH_ANOTHER:
            out.put(*rewriting.assertion(keyword, value, schema))

    def _child(self, place: Place, keyword: str, depth: int) -> Json:
        return self._translate(place.child(cast(Schema, place.schema)[keyword], keyword), depth)

    def _parts(self, place: Place, keyword: str, depth: int) -> Json:
        """The translation of a list or an object of schemas."""
        value = cast(Schema, place.schema)[keyword]
        if isinstance(value, dict):
            return {name: self._translate(place.child(part, keyword, name), depth) for name, part in value.items()}
        parts = cast("list[Json]", value)
        return [self._translate(place.child(part, keyword, index), depth) for index, part in enumerate(parts)]

    def _reference(self, place: Place, keyword: str, reference: str) -> Json:
        """A reference into the translation's own `$defs`."""
        try:
            target = self._references.resolve(reference, place.base)
        except UnknownReference as error:
            self.problems.append(f"{_at(place, keyword)}: {error}")
            return "#"
        if target.pointer not in self._names:
            name = f"{len(self._names)}-{re.sub('[^0-9A-Za-z_]', '', target.pointer.rpartition('/')[2])}"
            self._names[target.pointer], self._waiting[name] = name, target
        return f"#/$defs/{self._names[target.pointer]}"

    def _define(self, name: str) -> None:
        place = self._waiting.pop(name)
        self._definitions[name] = True  # until it is known, for a schema that contains itself
        self._definitions[name] = self._translate(place, 0)

    def _defined(self, reference: str) -> Json:
        """What a reference of the translation means."""
        name = reference.removeprefix("#/$defs/")
        if name in self._waiting:
            self._define(name)
        return self._definitions.get(name, True)

    def _one_of(self, place: Place, keyword: str, depth: int) -> Json:
        """`anyOf` options that share no value: each without what the others allow, where they overlap."""
        sources = cast("list[Json]", cast(Schema, place.schema)[keyword])
        options = cast("list[Json]", self._parts(place, keyword, depth))
        overlaps: dict[int, list[int]] = {}
        for one in range(len(options)):
            for other in range(one):
                if not are_disjoint(options[one], options[other], self._defined):
                    overlaps.setdefault(one, []).append(other)
                    overlaps.setdefault(other, []).append(one)
        if overlaps and self._lenient:
            self._leave_out(place, keyword, "kept as anyOf, for its options overlap")
            return options
        for index, others in overlaps.items():
            places = [place.child(sources[other], keyword, other) for other in others]
            try:
                numbers = may_be_number(options[index], self._defined)
                negations = [negate(it, self._references, numbers=numbers) for it in places]
                without = [
                    self._translate(_replaced(it, other), depth) for it, other in zip(places, negations, strict=True)
                ]
            except Inexpressible as reason:
                raise Inexpressible(f"options {others[0]} and {index} overlap ({reason} has no negation)") from reason
            options[index] = {"allOf": [options[index], *without]}
        return options

    def _negated(self, place: Place, keyword: str, depth: int) -> Json:
        inner = place.child(cast(Schema, place.schema)[keyword], keyword)
        try:
            return self._translate(_replaced(inner, negate(inner, self._references)), depth)
        except Inexpressible as reason:
            raise Inexpressible(f"{reason} has no negation") from reason

    def _conditional(self, place: Place, schema: Schema, depth: int) -> Json:
        """`if`, `then` and `else` as two cases."""
        branches = [self._child(place, keyword, depth) if keyword in schema else True for keyword in ("then", "else")]
        if branches == [True, True]:
            return True
        other = self._negated(place, "if", depth)
        condition = self._child(place, "if", depth)
        return {"anyOf": [{"allOf": [condition, branches[0]]}, {"allOf": [other, branches[1]]}]}

    def _dependencies(self, place: Place, keyword: str, value: Schema, depth: int) -> Json:
        """For each name: without it, or with what it demands."""
        conjuncts: list[Json] = []
        for name, demand in value.items():
            then: Json
            if isinstance(demand, list):
                then = {"type": "object", "required": [name, *(item for item in demand if item != name)]}
            else:
                inner = self._translate(place.child(demand, keyword, name), depth)
                then = {"allOf": [{"type": "object", "required": [name]}, inner]}
            conjuncts.append({"anyOf": [{"properties": {name: False}}, then]})
        return conjuncts

    def _unevaluated(self, place: Place, keyword: str, out: _Output, depth: int) -> None:
        """What no other keyword of the schema has looked at, where that is plain without a value."""
        inner = self._child(place, keyword, depth)
        schema = cast(Schema, place.schema)
        if inner is True:
            return
        if keyword == "unevaluatedItems":
            if schema.keys() & {"allOf", "anyOf", "oneOf", "$ref", "if", "not", "contains", "dependentSchemas"}:
                raise Inexpressible("which items are left depends on other keywords")
            if "items" not in schema or (isinstance(schema["items"], list) and "additionalItems" not in schema):
                out.schema["items"] = inner
            return
        if "additionalProperties" in schema:
            return
        names = rewriting.evaluated_properties(place, self._references)
        known = cast(Schema, out.schema.get("properties", {}))
        out.schema["properties"] = {**known, **{name: True for name in names if name not in known}}
        out.schema["additionalProperties"] = inner


class _Output:
    """A translated schema while its keywords are put together."""

    def __init__(self) -> None:
        self.schema: Schema = {}
        self._more: list[Json] = []

    def put(self, keyword: str, value: Json) -> None:
        """A keyword; a second time it becomes a conjunct of its own."""
        if keyword == "allOf":
            self._more += [part for part in cast("list[Json]", value) if part is not True]
        elif keyword in self.schema:
            self._more.append({keyword: value})
        elif keyword:
            self.schema[keyword] = value

    def add(self, *conjuncts: Json) -> None:
        self._more += conjuncts

    def whole(self) -> Json:
        if self._more:
            self.schema["allOf"] = self._more
        return self.schema


def _replaced(place: Place, schema: Json) -> Place:
    return Place(schema, place.pointer, place.base, place.lone_references)


def _at(place: Place, keyword: str | None = None) -> str:
    return f"#{place.pointer}" + (f"/{escape_token(keyword)}" if keyword else "")


def _short(value: Json) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 40 else f"{text[:39]}…"
