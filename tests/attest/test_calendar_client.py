"""The calendar client against real servers on loopback, most of them badly behaved."""

import asyncio
from contextlib import asynccontextmanager

import pytest
from aiohttp import web

from attest.calendar import Calendars
from attest.core import limits
from attest.core.calendars import calendar_url, may_ask
from attest.core.errors import (
    CalendarNotAllowed,
    CalendarRefused,
    CalendarUnreachable,
    InvalidCalendarAnswer,
)
from attest.core.ots import SHA256, Path, Pending, Timestamp, append
from attest.core.ots_file import encode_timestamp

DIGEST = bytes(range(32))
GOOD = Timestamp((Path((append(b"nonce"), SHA256), Pending("https://alice.example")),))
LONG = 60_000


@asynccontextmanager
async def calendar(handle):
    """A server whose every request `handle` answers; yields its client and address."""
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", handle)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    try:
        async with Calendars(configured=[url], followed=[]) as client:
            yield client, url
    finally:
        await runner.cleanup()


def answering(body, status=200, headers=None):
    async def handle(_request):
        return web.Response(body=body, status=status, headers=headers)

    return handle


async def test_a_digest_is_posted_as_it_is_and_its_timestamp_read():
    seen = []

    async def handle(request):
        seen.append((request.method, request.path, await request.read(), request.headers))
        return web.Response(body=encode_timestamp(GOOD))

    async with calendar(handle) as (client, url):
        assert await client.submit(url, DIGEST) == GOOD
        assert await client.look_up(url, DIGEST + b"more") == GOOD
    assert [row[:3] for row in seen] == [
        ("POST", "/digest", DIGEST),
        ("GET", "/timestamp/" + (DIGEST + b"more").hex(), b""),
    ]
    headers = seen[0][3]
    assert headers["Accept"] == "application/vnd.opentimestamps.v1"
    assert headers["User-Agent"] == "timmy-node"
    assert "Cookie" not in headers


async def test_what_is_not_there_yet_is_none():
    async with calendar(answering(b"Pending confirmation", 404)) as (client, url):
        assert await client.look_up(url, DIGEST) is None
        with pytest.raises(CalendarRefused) as found:
            await client.submit(url, DIGEST)
    assert found.value.status == 404


BAD = {
    "no timestamp": answering(b"<html>"),
    "nothing": answering(b""),
    "bytes after it": answering(encode_timestamp(GOOD) + b"\0"),
    "too long": answering(b"\xf0" + bytes(limits.CALENDAR_ANSWER_BYTES_MAX)),
    "a message too long": answering(b"\xf3" * 8 + b"\x00unknown!\x00"),
}


@pytest.mark.parametrize("name", BAD)
async def test_a_bad_answer_is_refused(name):
    async with calendar(BAD[name]) as (client, url):
        with pytest.raises(InvalidCalendarAnswer):
            await client.submit(url, DIGEST)
        with pytest.raises(InvalidCalendarAnswer):
            await client.look_up(url, DIGEST)


async def test_an_endless_answer_is_cut_off():
    async def handle(request):
        response = web.StreamResponse()
        await response.prepare(request)
        while True:
            await response.write(bytes(LONG))

    async with calendar(handle) as (client, url):
        with pytest.raises(InvalidCalendarAnswer, match="over 10000 bytes"):
            await client.submit(url, DIGEST)


async def test_a_silent_calendar_is_given_up(monkeypatch):
    monkeypatch.setattr(limits, "CALENDAR_SUBMIT_S", 0.05)
    release = asyncio.Event()

    async def handle(_request):
        await release.wait()
        return web.Response()

    async with calendar(handle) as (client, url):
        with pytest.raises(CalendarUnreachable, match="TimeoutError"):
            await client.submit(url, DIGEST)
        release.set()


async def test_a_redirect_is_not_followed():
    elsewhere = answering(b"", 302, {"Location": "http://127.0.0.1:1/"})
    async with calendar(elsewhere) as (client, url):
        with pytest.raises(CalendarRefused):
            await client.submit(url, DIGEST)


async def test_a_refusal_is_one_readable_line():
    async with calendar(answering(b"no\ntimmy: error: <b>\x1b[2J", 500)) as (client, url):
        with pytest.raises(CalendarRefused) as found:
            await client.look_up(url, DIGEST)
    text = str(found.value)
    assert text.endswith("answers 500: no_timmy_ error_ _b___2J")
    assert text.isprintable()


async def test_nobody_there():
    async with Calendars(configured=["http://127.0.0.1:1"], followed=[]) as client:
        with pytest.raises(CalendarUnreachable):
            await client.submit("http://127.0.0.1:1", DIGEST)
    with pytest.raises(RuntimeError):
        await client.submit("http://127.0.0.1:1", DIGEST)


# ---- who may be asked ------------------------------------------------------------------------------

FOLLOWED = ["https://*.calendar.example.org", "https://exact.example.org:8443"]


@pytest.mark.parametrize("uri", [
    "http://127.0.0.1:7000", "http://127.0.0.1:7000/", "https://alice.calendar.example.org",
    "https://a.b.calendar.example.org/", "https://exact.example.org:8443",
])  # fmt: skip
def test_what_is_configured_or_followed_is_asked(uri):
    assert may_ask(uri, {"http://127.0.0.1:7000"}, FOLLOWED) == uri.rstrip("/")


@pytest.mark.parametrize("uri", [
    "http://127.0.0.1:8332", "http://localhost:8332", "http://alice.calendar.example.org",
    "https://calendar.example.org.evil.org", "https://evil.org/x.calendar.example.org",
    "https://evil.org:1.calendar.example.org", "https://exact.example.org",
    "https://alice.calendar.example.org/path", "ftp://alice.calendar.example.org", "", "https://",
    "https://user-alice.calendar.example.org@evil.org", "https://10.0.0.1",
])  # fmt: skip
def test_an_answer_from_outside_sends_us_nowhere_else(uri):
    with pytest.raises(CalendarNotAllowed):
        may_ask(uri, {"http://127.0.0.1:7000"}, FOLLOWED)


@pytest.mark.parametrize("url", ["http://example.org", "http://10.0.0.1", "https://a?b", "x"])
def test_a_calendar_elsewhere_is_asked_by_https_only(url):
    with pytest.raises(CalendarNotAllowed):
        calendar_url(url)


async def test_a_client_asks_no_one_it_was_not_given():
    async with Calendars(configured=["https://a.example"], followed=FOLLOWED) as client:
        with pytest.raises(CalendarNotAllowed):
            await client.submit("https://b.example", DIGEST)
        with pytest.raises(CalendarNotAllowed):
            await client.submit("https://alice.calendar.example.org", DIGEST)
        with pytest.raises(CalendarNotAllowed):
            await client.look_up("http://127.0.0.1:1", DIGEST)
