"""Pages over real HTTP; and every way to have a fetch reach what only this machine can."""

import asyncio
import ipaddress

import aiohttp
import pytest
from aiohttp import web
from hypothesis import given
from hypothesis import strategies as st

from runtime.core.addresses import is_public
from runtime.core.permissions import FetchCall
from runtime.core.tool import ToolContext, ToolResult
from runtime.toolbox import Toolbox
from runtime.tools import fetching

PAGE = """<!doctype html><html><head><title>Owls</title><script>steal()</script></head><body>
<h1>Owls &amp; plovers</h1><p>Three   <a href="https://example.org/o">owls</a>.</p>
<style>p {}</style><script>if (a < b) { "<p>no" }</script><p>End</body></html>"""


class Site:
    """A server on loopback, and whether it was reached."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.headers: list[dict] = []
        self.port = 0

    async def handle(self, request: web.Request) -> web.StreamResponse:
        self.asked.append(request.path)
        self.headers.append(dict(request.headers))
        match request.path:
            case "/page":
                return web.Response(text=PAGE, content_type="text/html")
            case "/json":
                return web.json_response({"owls": 3})
            case "/latin":
                return web.Response(
                    body=b"\xfcber", headers={"Content-Type": "text/plain; charset=latin-1"}
                )
            case "/odd":
                return web.Response(
                    body=b"\xff", headers={"Content-Type": "text/plain; charset=owl"}
                )
            case "/charset":
                kind = f"text/plain; charset={request.query['charset']}"
                return web.Response(body=b"owl-", headers={"Content-Type": kind})
            case "/image":
                return web.Response(body=b"x", content_type="image/png")
            case "/none":
                return web.Response(body=b"x", headers={"Content-Type": ""})
            case "/zip":
                return web.Response(
                    body=b"x", headers={"Content-Encoding": "gzip"}, content_type="text/plain"
                )
            case "/404":
                return web.Response(status=404, text="no owl here")
            case "/large":
                return web.Response(text="x" * (fetching.BODY_BYTES + 5))
            case "/slow":
                response = web.StreamResponse(headers={"Content-Type": "text/plain"})
                await response.prepare(request)
                await asyncio.sleep(60)
            case "/loop":
                raise web.HTTPFound("/loop")
            case "/to":
                raise web.HTTPFound(request.query["url"])
        return web.Response(text="the operator's key")


@pytest.fixture
async def site():
    site, app = Site(), web.Application()
    app.router.add_get("/{path:.*}", site.handle)
    runner = web.AppRunner(app, shutdown_timeout=0.1, handler_cancellation=True)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    site.port = runner.addresses[0][1]
    yield site
    await runner.cleanup()


async def fetch(
    url: str, *, allowed=lambda where: where == "127.0.0.1", may=lambda _: True
) -> ToolResult:
    box = Toolbox()
    box.register(fetching.SPEC, fetching.WebFetch(may, allowed))
    context = ToolContext(
        folder="/", call=FetchCall(url=url), conversation="m", author="a", message=1
    )
    return await box.call(box.entry("web_fetch"), {"url": "http://not.asked/"}, context)


async def test_a_page_is_its_words(site):
    said = await fetch(f"http://127.0.0.1:{site.port}/page")
    assert said.text == (
        f"[http://127.0.0.1:{site.port}/page: status 200, text/html]\n"
        "Owls\n\nOwls & plovers\n\nThree [https://example.org/o] owls.\n\nEnd"
    )
    assert "Cookie" not in site.headers[0]
    assert site.headers[0]["Accept-Encoding"] == "identity"


@pytest.mark.parametrize(
    ("path", "said", "is_error"),
    [
        ("json", '{"owls": 3}', False),
        ("latin", "über", False),
        ("odd", "\ufffd", False),
        ("404", "no owl here", True),
        ("image", "it is image/png, not text", True),
        ("none", "it is application/octet-stream, not text", True),
        ("zip", "it came compressed", True),
        ("loop", "it leads on more than 5 times", True),
    ],
)
async def test_what_is_text_is_shown_and_what_is_not_is_named(site, path, said, is_error):
    result = await fetch(f"http://127.0.0.1:{site.port}/{path}")
    assert said in result.text
    assert result.is_error == is_error


CHARSETS = {
    "utf-8": "über", "UTF-16LE": "über", "latin1": "über", "windows-1252": "über", "cp1251": "сова",
    "ISO-8859-15": "über", "gbk": "猫头鹰", "gb18030": "猫头鹰", "big5": "貓頭鷹", "Shift_JIS": "梟",
    "euc-jp": "梟", "euc-kr": "올빼미", "koi8-r": "сова",
}  # fmt: skip


@pytest.mark.parametrize("charset", CHARSETS)
def test_pages_are_read_in_the_charsets_that_pages_have(charset):
    assert fetching._decoded(CHARSETS[charset].encode(charset), charset) == CHARSETS[charset]


@pytest.mark.parametrize(
    "charset",
    ["punycode", "idna", "utf-7", "unicode_escape", "raw-unicode-escape", "hex", "utf-8\nx"],
)
async def test_a_page_chooses_no_decoder_that_is_no_charset_of_pages(site, charset):
    """Punycode takes minutes of the loop for a page of 2 MiB: it is read as UTF-8 instead."""
    assert fetching._decoded(b"owl-+AOk-\\n\xff", charset) == "owl-+AOk-\\n\ufffd"
    if charset.isprintable():
        said = await fetch(f"http://127.0.0.1:{site.port}/charset?charset={charset}")
        assert said.text.endswith("owl-")


async def test_a_large_page_is_cut(site):
    said = await fetch(f"http://127.0.0.1:{site.port}/large")
    assert len(said.text) < 60_000
    assert said.text.endswith("bytes were read]")


async def test_a_slow_page_is_given_up(site, monkeypatch):
    monkeypatch.setattr(fetching, "SECONDS", 0.05)
    said = await fetch(f"http://127.0.0.1:{site.port}/slow")
    assert said.text == "no page within 0.05 s"


HOSTS = [
    "127.0.0.1", "localhost", "127.1", "0.0.0.0", "[::1]", "[::ffff:127.0.0.1]", "[::ffff:7f00:1]",
    "[::]", "0", "127.0.0.1.",
]  # fmt: skip


@pytest.mark.parametrize("host", HOSTS)
async def test_no_way_of_writing_it_reaches_this_machine(site, host):
    said = await fetch(f"http://{host}:{site.port}/key", allowed=is_public)
    assert said.is_error
    assert "operator" not in said.text
    assert site.asked == []


@pytest.mark.parametrize("host", ["[::ffff:127.0.0.1]", "localhost"])
async def test_a_redirect_to_this_machine_reaches_nothing(site, host):
    """Only 127.0.0.1 is allowed to this test, as only public addresses are to others."""
    where = f"http://{host}:{site.port}/key"
    judge = {"[::ffff:127.0.0.1]": lambda a: a == "127.0.0.1", "localhost": is_public}[host]
    first = [True]

    def allowed(address: str) -> bool:
        if first and address == "127.0.0.1":
            first.clear()
            return True
        return judge(address) and host != "localhost"

    said = await fetch(f"http://127.0.0.1:{site.port}/to?url={where}", allowed=allowed)
    assert said.is_error
    assert site.asked == ["/to"]


@pytest.mark.parametrize(
    "to", ["file:///etc/passwd", "ftp://x/", "gopher://127.0.0.1/", "//evil.example/"]
)
async def test_a_redirect_is_a_new_question_to_the_rules(site, to):
    asked: list[str] = []

    def may(url: str) -> bool:
        asked.append(url)
        return False

    said = await fetch(f"http://127.0.0.1:{site.port}/to?url={to}", may=may)
    assert "has to be asked for by itself" in said.text
    assert site.asked == ["/to"]
    assert asked in ([], ["http://evil.example/"])


async def test_a_name_that_resolves_otherwise_the_second_time_gains_nothing(site, monkeypatch):
    """The address that is judged is the one that is connected to, whatever a resolver says."""
    answers = iter(["93.184.216.34", "127.0.0.1"])

    class Rebinding(aiohttp.abc.AbstractResolver):
        def __init__(self, **_: object) -> None:
            pass

        async def resolve(self, host, port=0, family=0):
            return [{"hostname": host, "host": next(answers, "127.0.0.1"), "port": port,
                     "family": 2, "proto": 6, "flags": 0}]  # fmt: skip

        async def close(self) -> None:
            pass

    monkeypatch.setattr(aiohttp.connector, "DefaultResolver", Rebinding)
    next(answers)
    said = await fetch(f"http://rebind.example:{site.port}/key", allowed=is_public)
    assert said.text == "this address is not of the public internet"
    assert site.asked == []


NOT_PUBLIC = [
    "0.0.0.0", "0.1.2.3", "10.0.0.1", "100.64.0.1", "127.0.0.1", "127.255.0.1", "169.254.169.254",
    "172.16.0.1", "172.31.255.255", "192.0.0.1", "192.0.2.1", "192.168.0.1", "198.18.0.1",
    "198.51.100.1", "203.0.113.1", "224.0.0.1", "240.0.0.1", "255.255.255.255", "::", "::1",
    "::7f00:1", "::ffff:10.0.0.1", "::ffff:169.254.169.254", "64:ff9b::7f00:1",
    "64:ff9b::a9fe:a9fe", "64:ff9b:1::808:808", "100::1", "2001:db8::1", "2002:7f00:1::",
    "2002:a00:1::1", "2001:0:7f00:1::", "fc00::1", "fd00:ec2::254", "fe80::1", "fe80::1%eth0",
    "fec0::1", "ff02::1", "2606:4700::1111%1", "", "owl", "1.2.3", "1.2.3.4.5",
]  # fmt: skip
PUBLIC = ["1.1.1.1", "93.184.216.34", "2606:4700::1111", "::ffff:1.1.1.1", "64:ff9b::101:101"]


@pytest.mark.parametrize("address", NOT_PUBLIC)
def test_addresses_that_no_fetch_connects_to(address):
    assert not is_public(address)


@pytest.mark.parametrize("address", PUBLIC)
def test_addresses_that_it_does(address):
    assert is_public(address)


@given(st.ip_addresses(v=4))
def test_an_address_in_another_is_judged_as_itself(address):
    number = int(address)
    for outer in (f"::ffff:{address}", str(ipaddress.IPv6Address((0x64FF9B << 96) | number))):
        assert is_public(outer) == is_public(str(address))


@given(st.text(max_size=200))
def test_any_page_becomes_words(page):
    assert "<script" not in fetching.text_of(f"<script>{page}")
    fetching.text_of(page)


@pytest.mark.parametrize("piece", ["<", "<a ", "<!--", "<script>", "<a href=", "</", "<![", "&#"])
def test_a_page_made_to_be_slow_is_not(piece):
    """Two hundred thousand pieces: what reads a page once is done at once, what does not is not."""
    fetching.text_of(piece * 200_000 + ">")
