"""One HTTP request over a Unix socket, and the lines of its answer as they arrive.

The standard library's http.client takes 30 ms to import, and httpx2 more: as long as all the rest of a warm command. It
speaks to gptcli's own server only, so it knows what that sends: chunks or a length (RFC 9112, sections 6 and 7)."""

from __future__ import annotations

import socket

_RECEIVE_BYTES = 1 << 16


class Exchange:
    """A request that was sent. `receive` gives what has arrived of its answer."""

    def __init__(self, path: str, method: str, target: str, body: bytes, seconds: float | None) -> None:
        """`path`: the socket's. `seconds`: how long it may take to connect, to send and to receive something; None: for
        ever. Raises OSError."""
        self.status: int | None = None
        """Of the answer, once its head has arrived."""
        self.complete = False
        """Whether all of the answer has arrived."""
        self._data = b""
        self._line = b""
        self._length: int | None = None
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            self._socket.settimeout(seconds)
            self._socket.connect(path)
            head = f"{method} {target} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n"
            head += f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
            self._socket.sendall(head.encode() + body)
        except OSError:
            self._socket.close()
            raise

    def fileno(self) -> int:
        return self._socket.fileno()

    def close(self) -> None:
        self._socket.close()

    def receive(self) -> list[bytes]:
        """Wait for more of the answer; the lines that are whole now, without their ends.

        Raises OSError if the connection breaks before the answer is complete."""
        data = self._socket.recv(_RECEIVE_BYTES)
        if not data:
            raise ConnectionResetError("the connection was closed")
        self._data += data
        if self.status is None and not self._read_head():
            return []
        self._line += self._read_body()
        *lines, self._line = self._line.split(b"\n")
        if self.complete and self._line:
            lines.append(self._line)
        return lines

    def _read_head(self) -> bool:
        head, end, rest = self._data.partition(b"\r\n\r\n")
        if not end:
            return False
        first, *fields = head.decode("latin-1").split("\r\n")
        headers = {name.lower(): value.strip() for name, _, value in (field.partition(":") for field in fields)}
        self.status = int(first.split(" ")[1])
        if headers.get("transfer-encoding") != "chunked":
            self._length = int(headers.get("content-length", 0))
        self._data = rest
        return True

    def _read_body(self) -> bytes:
        """The bytes of the body that have arrived since."""
        if self._length is not None:
            body, self._data = self._data, b""
            self._length -= len(body)
            self.complete = self._length <= 0
            return body
        chunks = []
        while not self.complete:
            size, end, rest = self._data.partition(b"\r\n")
            if not end or len(rest) < (length := int(size, 16)) + 2:
                break
            chunks.append(rest[:length])
            self._data = rest[length + 2 :]
            self.complete = not length
        return b"".join(chunks)
