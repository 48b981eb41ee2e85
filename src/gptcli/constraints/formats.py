"""The values of JSON Schema's `format`, as patterns for llguidance."""

from __future__ import annotations

from collections.abc import Mapping

_YEAR = "(?:[1-9][0-9]{3}|0[1-9][0-9]{2}|00[1-9][0-9]|000[1-9])"
_LEAP = "(?:[0-9]{2}(?:0[48]|[2468][048]|[13579][26])|(?:0[48]|[2468][048]|[13579][26])00)"
_DATE = (
    f"(?:{_YEAR}-(?:(?:0[13578]|1[02])-(?:0[1-9]|[12][0-9]|3[01])|(?:0[469]|11)-(?:0[1-9]|[12][0-9]|30)"
    f"|02-(?:0[1-9]|1[0-9]|2[0-8]))|{_LEAP}-02-29)"
)
_TIME = r"(?:[01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9](?:\.[0-9]{1,9})?(?:Z|[+-](?:[01][0-9]|2[0-3]):[0-5][0-9])"
_POINTER = "(?:/(?:[^~/]|~[01])*)*"
_SEGMENTS = r"(?:[A-Za-z0-9\-._~!$&'()*+,;=@/?]|%[0-9A-Fa-f]{2})*"
_URI = r"(?:[A-Za-z0-9\-._~!$&'()*+,;=:@/?]|%[0-9A-Fa-f]{2})"

PATTERNS: Mapping[str, str] = {
    "date": f"^{_DATE}$",  # llguidance's own allows 29 February of every year
    "date-time": f"^{_DATE}T{_TIME}$",
    "time": f"^{_TIME}$",
    "json-pointer": f"^{_POINTER}$",
    "relative-json-pointer": f"^(?:0|[1-9][0-9]*)(?:#|{_POINTER})$",
    "uri-reference": rf"^(?:[A-Za-z][A-Za-z0-9+\-.]*:)?{_SEGMENTS}(?:#{_URI}*)?$",
    "uri-template": rf"^(?:{_URI}|\{{[+#./;?&]?[A-Za-z0-9_.,*:]+\}})*$",
    "byte": "^(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$",
}
"""Formats that are given to llguidance as patterns: what it lacks, or allows too much of. Leap seconds, lower-case `t`
and `z`, and relative references with a colon in them are not generated."""

NARROWER: Mapping[str, str] = {
    "iri": "uri",
    "iri-reference": "uri-reference",
    "idn-email": "email",
    "idn-hostname": "hostname",
}
"""Formats whose values of ASCII are those of another; no others are generated."""

LLGUIDANCE = frozenset({"duration", "email", "hostname", "ipv4", "ipv6", "uuid", "uri"})
"""Formats that llguidance knows itself."""

UNCHECKED = frozenset({"password", "binary", "int32", "int64", "float", "double", "textarea", "markdown", "multiline"})
"""OpenAPI's and the forms' hints of how a value is stored or shown; they say nothing of which texts are valid."""

FORMATS = frozenset({*PATTERNS, *NARROWER, *LLGUIDANCE, *UNCHECKED})
