"""What a file's bytes hash to while they pass, and whether that is what was promised.

It knows the two hashes that the hub names content by, and neither files nor the network.
"""

from __future__ import annotations

import hashlib
import re

SHA256 = re.compile(r"[0-9a-f]{64}")
_SHA1 = re.compile(r"[0-9a-f]{40}")


class Content:
    """The digests of one file of `size` bytes that the hub calls `etag`.

    An etag of 64 digits is the SHA-256 of a file in large-file storage; one of 40 is git's SHA-1 of a small
    one: of the header `blob SIZE NUL` and the bytes ("Git Internals - Git Objects" in the Git book).
    """

    def __init__(self, etag: str, size: int, expected_sha256: str | None) -> None:
        if expected_sha256 is not None and not SHA256.fullmatch(expected_sha256):
            raise ValueError(f"{expected_sha256!r} is no SHA-256")
        self._sha256 = hashlib.sha256()
        self._git = hashlib.sha1(b"blob %d\0" % size, usedforsecurity=False)
        self._etag = etag
        self._expected = expected_sha256 or (etag if SHA256.fullmatch(etag) else None)

    @property
    def promised(self) -> str | None:
        """The hash that the file must have, if any is known."""
        return self._expected or (self._etag if _SHA1.fullmatch(self._etag) else None)

    def update(self, data: memoryview) -> None:
        self._sha256.update(data)
        if self._expected is None:
            self._git.update(data)

    @property
    def sha256(self) -> str:
        return self._sha256.hexdigest()

    @property
    def right(self) -> bool:
        """Whether what passed is what was promised."""
        return self.promised == (self.sha256 if self._expected else self._git.hexdigest())
