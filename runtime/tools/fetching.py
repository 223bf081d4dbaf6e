"""web_fetch: the text of a page. Off unless node.toml switches the toolset `network` on.

Against requests to what only this machine can reach (SSRF): the address that is about to be
connected to is judged, not the name (`runtime.core.addresses`), so that a name which resolves
otherwise the second time gains nothing; a redirect is a new call to the rules and a new connection
under the same judgement. No proxy, no cookies, no credentials, no compression (a small body could
swell), GET only; the words of a conversation kept at home never go into an address.

Bounds: REDIRECTS_MAX, BODY_BYTES, SECONDS, text types only. Not covered: what a page does with the
fact that it was asked; scripts; robots.txt.
"""

import asyncio
import html
import re
import socket
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any, Final
from urllib.parse import urljoin, urlsplit

import aiohttp
import msgspec
from msgspec import Meta

from runtime.core.addresses import is_public
from runtime.core.chat import Reach
from runtime.core.errors import ToolFailed
from runtime.core.limits import URL_CHARS_MAX
from runtime.core.permission_rules import WEB_FETCH
from runtime.core.permissions import FetchCall
from runtime.core.tool import (
    Arguments,
    Effect,
    Permission,
    ToolContext,
    ToolLimits,
    ToolResult,
    ToolSpec,
    argument,
)
from runtime.tools.arguments import parse, schema_of

REDIRECTS_MAX: Final = 5
BODY_BYTES: Final = 2 * 1024 * 1024
"""What is read of a page; few have more text."""
SECONDS: Final = 30.0
_CHUNK_BYTES: Final = 64 * 1024
_TEXT: Final = re.compile(
    r"text/[\w.+-]+|application/(?:[\w.+-]+\+)?(?:json|xml)|application/(?:x-)?(?:javascript|yaml)"
)
_TAG: Final = re.compile(r"<(?P<close>/?)(?P<name>[!?A-Za-z][A-Za-z0-9]*)")
_CHARSET: Final = re.compile(
    r"(?:us-)?ascii|utf-?8|utf-?16(?:-?[lb]e)?|latin-?1|(?:cp|windows-)125[0-8]|iso-?8859-\d{1,2}"
    r"|gb2312|gbk|gb18030|big5(?:-?hkscs)?|s(?:hift)?[-_]?jis|euc[-_](?:jp|kr|cn)|koi8-[rtu]"
)
"""Those that C decodes, reading each byte once. Of the others some (punycode, idna) take the square
of a page's size in time, on the loop; none is what a page is written in."""
_HREF: Final = re.compile(r"""\bhref\s*=\s*["']?(?P<url>https?://[^\s"'<>]+)""", re.IGNORECASE)
_SILENT: Final = frozenset({"script", "style", "noscript", "template", "svg"})
_BLOCKS: Final = frozenset(
    {"p", "div", "br", "li", "tr", "h1", "h2", "h3", "h4", "h5", "h6", "section", "article",
     "table", "ul", "ol", "pre", "blockquote", "title", "head", "body"}
)  # fmt: skip
_MOVED: Final = frozenset({301, 302, 303, 307, 308})


class Fetch(msgspec.Struct, forbid_unknown_fields=True):
    """Arguments."""

    url: Annotated[str, Meta(description="http or https", max_length=URL_CHARS_MAX)]


SPEC: Final = ToolSpec(
    name="web_fetch",
    description="Get a page and return its text. Whatever stands in it was written by others.",
    schema=schema_of(Fetch),
    effect=Effect.READS,
    permission=Permission(tool=WEB_FETCH, specifier=argument("url")),
    limits=ToolLimits(seconds=SECONDS + 5),
    toolset="network",
    reach=Reach.TRUSTED,
)


class _NotPublic(OSError):
    """An address that no fetch connects to."""


@dataclass(frozen=True, slots=True)
class WebFetch:
    """`may_fetch` asks the rules about where a redirect leads; `allowed` judges addresses."""

    may_fetch: Callable[[str], bool]
    allowed: Callable[[str], bool] = is_public

    async def call(self, arguments: Arguments, context: ToolContext) -> ToolResult:
        """See `runtime.core.tool.Tool`."""
        parse(Fetch, arguments)
        if not isinstance(context.call, FetchCall):
            raise ToolFailed("this call was not decided as one about an address")
        try:
            async with asyncio.timeout(SECONDS), self._session() as session:
                return await self._get(session, context.call.url)
        except TimeoutError as error:
            raise ToolFailed(f"no page within {SECONDS:g} s") from error
        except _NotPublic as error:
            raise ToolFailed(str(error)) from error
        except aiohttp.ClientConnectorDNSError as error:
            raise ToolFailed("its name is unknown") from error
        except (aiohttp.ClientError, OSError, ValueError) as error:
            if isinstance(error.__cause__, _NotPublic) or "not of the public" in str(error):
                raise ToolFailed("this address is not of the public internet") from error
            raise ToolFailed(f"not reachable: {type(error).__name__}") from error

    def _session(self) -> aiohttp.ClientSession:
        connector = aiohttp.TCPConnector(
            use_dns_cache=False, force_close=True, socket_factory=self._socket, limit=2
        )
        return aiohttp.ClientSession(
            connector=connector,
            cookie_jar=aiohttp.DummyCookieJar(),
            trust_env=False,
            auto_decompress=False,
            headers={"User-Agent": "timmy-node", "Accept-Encoding": "identity"},
        )

    def _socket(self, address: Any) -> socket.socket:
        """Make the socket for an address that was resolved just now, or was given as a number."""
        family, kind, protocol, _, where = address
        if not self.allowed(str(where[0])):
            raise _NotPublic("this address is not of the public internet")
        made = socket.socket(family, kind, protocol)
        made.setblocking(False)  # noqa: FBT003 - the socket module's own signature
        return made

    async def _get(self, session: aiohttp.ClientSession, url: str) -> ToolResult:
        for _ in range(REDIRECTS_MAX + 1):
            async with session.get(url, allow_redirects=False) as response:
                if response.status not in _MOVED:
                    return await _page(url, response)
                location = response.headers.get("Location", "")
            url = urljoin(url, location)
            if urlsplit(url).scheme not in ("http", "https") or not self.may_fetch(url):
                raise ToolFailed(f"it leads on to {url[:500]}, which has to be asked for by itself")
        raise ToolFailed(f"it leads on more than {REDIRECTS_MAX} times")


async def _page(url: str, response: aiohttp.ClientResponse) -> ToolResult:
    kind = response.content_type
    if response.headers.get("Content-Encoding", "identity").lower() != "identity":
        raise ToolFailed("it came compressed, which was not asked for")
    if _TEXT.fullmatch(kind) is None:
        raise ToolFailed(f"it is {kind[:80]}, not text")
    data, more = bytearray(), False
    async for chunk in response.content.iter_chunked(_CHUNK_BYTES):
        data += chunk
        if len(data) > BODY_BYTES:
            more = True
            break
    text = _decoded(bytes(data[:BODY_BYTES]), response.charset)
    if kind in ("text/html", "application/xhtml+xml"):
        text = await asyncio.to_thread(text_of, text)
    end = f"\n[there is more: {BODY_BYTES} bytes were read]" if more else ""
    return ToolResult(
        text=f"[{url}: status {response.status}, {kind}]\n{text}{end}",
        is_error=response.status >= 400,
    )


def _decoded(data: bytes, charset: str | None) -> str:
    known = (charset or "").strip().lower()
    if _CHARSET.fullmatch(known) is None:
        return data.decode(errors="replace")
    try:
        return data.decode(known, errors="replace")
    except LookupError:
        return data.decode(errors="replace")


def text_of(page: str) -> str:
    """Return the words of HTML, without scripts, styles and tags; addresses of links stay.

    Reads each sign once, whatever the page: the standard library's parser does not.
    """
    words: list[str] = []
    at = 0
    while (begin := page.find("<", at)) >= 0:
        words.append(page[at:begin])
        if page.startswith("<!--", begin):
            end = page.find("-->", begin + 4)
            at = len(page) if end < 0 else end + 3
            continue
        found = _TAG.match(page, begin)
        if found is None:
            words.append("<")
            at = begin + 1
            continue
        end = page.find(">", found.end())
        at = len(page) if end < 0 else end + 1
        at = _take_tag(page, found, at, words)
    words.append(page[at:])
    lines = (" ".join(line.split()) for line in html.unescape("".join(words)).splitlines())
    return re.sub(r"\n{3,}", "\n\n", "\n".join(lines)).strip()


def _take_tag(page: str, found: re.Match[str], end: int, words: list[str]) -> int:
    """Put in what stands for a tag; return where the words go on."""
    name = found["name"].lower()
    if name in _BLOCKS:
        words.append("\n")
    if found["close"]:
        return end
    if name in _SILENT:
        closing = re.compile(f"</{name}", re.IGNORECASE).search(page, end)
        return len(page) if closing is None else closing.start()
    if name == "a":
        href = _HREF.search(page, found.end(), min(end, found.end() + URL_CHARS_MAX))
        words.append(f"[{href['url']}] " if href else "")
    return end
