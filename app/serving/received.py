"""What a client has sent so far, and whether that is a complete request (RFC 9112, sections 6 and 7).

The result must be right only for a valid request: what counts as complete goes to gunicorn's parser, which
reads these bytes and nothing else, and refuses whatever is wrong or missing.
"""

from __future__ import annotations

import re

# Room for a token of 6,144 characters several times over.
HEAD_BYTES = 32_768
# Twice what KEYTURN_MAX_BODY_BYTES may be: a longer body is refused before it has arrived.
BODY_BYTES = 2_097_152
END_OF_HEAD = b"\r\n\r\n"
CHUNK_SIZE = re.compile(rb"[0-9a-fA-F]{1,8}")


class Received:
    """The bytes of a connection that no request has used yet."""

    def __init__(self) -> None:
        self.data = bytearray()
        self.is_final = False  # no more comes, or no more is waited for
        self.expects_continue = False
        self._forget()

    def _forget(self) -> None:
        self._body = 0  # where the body begins, once its head is here
        self._end: int | None = None  # where the request ends, once that is known
        self._chunk = 0  # where the next chunk begins

    def add(self, data: bytes) -> None:
        self.data += data

    def take(self) -> bytes:
        """All bytes, for the parser; those of a next request are added again."""
        data = bytes(self.data)
        self.data.clear()
        self._forget()
        self.expects_continue = False
        return data

    def is_whole(self) -> bool:
        """Whether the parser can decide about the request from these bytes."""
        if self.is_final:
            return True
        if not self._body:
            self._look_for_head()
        if not self._body:
            return bool(self.data) and (self.is_head_too_long() or has_bare_line_feed(self.data))
        if self._end is None:
            self._end = self._end_of_chunks()
        if self._end is None:
            return len(self.data) - self._body > BODY_BYTES
        return len(self.data) >= self._end

    def is_head_too_long(self) -> bool:
        return not self._body and len(self.data) > HEAD_BYTES and END_OF_HEAD not in self.data

    def _look_for_head(self) -> None:
        found = self.data.find(END_OF_HEAD)
        if found < 0:
            return
        head = bytes(self.data[: found + 2]).lower()
        self._body = self._end = found + len(END_OF_HEAD)
        length, coding = value_of(b"content-length", head), value_of(b"transfer-encoding", head)
        if coding:
            if coding.endswith(b"chunked") and not length:  # the parser refuses any other, and both together
                self._end, self._chunk = None, self._body
        elif length.isdigit() and len(length) < 20 and int(length) <= BODY_BYTES:
            self._end += int(length)
        expected = value_of(b"expect", head)
        if expected == b"100-continue":
            self.expects_continue = b" http/1.0\r\n" not in head and self._end != self._body
        elif expected:
            self._end = self._body  # the parser refuses it, and the client may wait for that

    def _end_of_chunks(self) -> int | None:
        """Where the last chunk and its trailers end, or the first fault is; None if that is not here yet."""
        while (line := self.data.find(b"\r\n", self._chunk)) >= 0:
            size = bytes(self.data[self._chunk : line]).partition(b";")[0].strip()
            if not CHUNK_SIZE.fullmatch(size):
                return line
            if not int(size, 16):
                return self._end_of_trailers(line)
            after = line + 2 + int(size, 16)
            if len(self.data) < after + 2:
                return None
            if self.data[after : after + 2] != b"\r\n":
                return after
            self._chunk = after + 2
        return self._chunk if len(self.data) - self._chunk > HEAD_BYTES else None

    def _end_of_trailers(self, start: int) -> int | None:
        found = self.data.find(END_OF_HEAD, start, start + HEAD_BYTES)
        if found < 0:
            return start if len(self.data) - start > HEAD_BYTES else None
        return found + len(END_OF_HEAD)


def value_of(name: bytes, head: bytes) -> bytes:
    """The value of a header of a head in lower case; empty if there is none."""
    return head.partition(b"\r\n" + name + b":")[2].partition(b"\r\n")[0].strip()


def has_bare_line_feed(data: bytearray) -> bool:
    """Whether a line ends with LF alone: such a head never ends (RFC 9112, section 2.2), and is refused."""
    return data.count(b"\n") != data.count(b"\r\n")
