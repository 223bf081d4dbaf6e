"""Server-sent events, as model providers stream replies (WHATWG HTML, section 9.2.6).

Bytes in, data out. Lines end in LF, CR or CRLF; an event ends at an empty line; comments, ids and
retry times are passed over, and so are names of events: providers repeat them in the data.
"""

import codecs
from collections.abc import Iterator

from runtime.core.errors import ModelFailed
from runtime.core.limits import EVENT_CHARS_MAX, STREAM_BYTES_MAX


class Events:
    """Sans-I/O: feed it bytes as they come, take the data of whole events. Bounds each, and all."""

    def __init__(
        self, *, bytes_max: int = STREAM_BYTES_MAX, event_chars_max: int = EVENT_CHARS_MAX
    ) -> None:
        self._bytes_max = bytes_max
        self._event_chars_max = event_chars_max
        self._decoder = codecs.getincrementaldecoder("utf-8")("strict")
        self._pieces: list[str] = []  # of the line that has not ended: joined when it does
        self._held = 0
        self._half = ""
        self._data: list[str] = []
        self._seen = 0

    def feed(self, chunk: bytes) -> Iterator[str]:
        """Yield the data of each event that `chunk` completes. Raises ModelFailed."""
        self._seen += len(chunk)
        if self._seen > self._bytes_max:
            raise ModelFailed(f"malformed: a stream of more than {self._bytes_max} bytes")
        try:
            text = self._half + self._decoder.decode(chunk)
        except UnicodeDecodeError as error:
            raise ModelFailed("malformed: a stream that is not UTF-8") from error
        # A CR at the end may be half of a CRLF: it waits for what comes.
        self._half = "\r" if text.endswith("\r") else ""
        text = text.removesuffix(self._half).replace("\r\n", "\n").replace("\r", "\n")
        *lines, rest = text.split("\n")
        for line in lines:
            self._hold(line)
            whole, self._pieces = "".join(self._pieces), []
            yield from self._line(whole)
        self._hold(rest)

    def _hold(self, piece: str) -> None:
        self._held += len(piece)
        if self._held > self._event_chars_max:
            raise ModelFailed(
                f"malformed: an event of more than {self._event_chars_max} characters"
            )
        if piece:
            self._pieces.append(piece)

    def _line(self, line: str) -> Iterator[str]:
        if not line:
            if self._data:
                yield "\n".join(self._data)
            self._data, self._held = [], 0
            return
        name, _, value = line.partition(":")
        if name == "data":
            self._data.append(value.removeprefix(" "))
        else:
            self._held -= len(line)
