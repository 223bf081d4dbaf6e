"""What the proxy does not pass on: other places, other machines, browsers, and what is too large."""

import json
import socket
from http.client import HTTPConnection
from urllib.parse import urlsplit

import anthropic
import openai
import pytest

from ledger.core.errors import TimmyError
from node.config import load
from runtime.core.crisis import ANSWER

from .conftest import KEY, address, all_well, configure, exchanges

CRISIS = "I want to kill myself tonight"


def ask(node, path, *, method="POST", body=b"{}", **headers):
    split = urlsplit(node.base)
    connection = HTTPConnection(split.hostname, split.port, timeout=60)
    connection.request(method, path, body, {n.replace("_", "-"): v for n, v in headers.items()})
    response = connection.getresponse()
    found = response.status, json.loads(response.read())
    connection.close()
    return found


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/", 404),
        ("/v2/chat/completions", 404),
        ("/v1", 404),
        ("/a/one/two/v1/models", 404),
        ("/a/..%2f/v1/models", 404),
        ("/u/nobody/v1/models", 404),
        ("/v1/../admin", 400),
        ("/v1/%2e%2e/admin", 400),
        ("/v1/%252e%252e/admin", 400),
        ("/v1/x/..%5cadmin", 400),
        ("http://192.0.2.1/v1/models", 403),
        ("//192.0.2.1/v1/models", 404),
        ("/v1/" + "x" * 8192, None),
    ],
)
def test_paths_that_lead_elsewhere_are_refused(node, provider, path, status):
    before, events = len(provider.requests), node.status()["events"]
    try:
        found, said = ask(node, path)
    except ValueError:  # the server's own refusal of a line that long
        found, said = 400, {"error": {"message": "timmy proxy"}}
    assert found == status or (status is None and found in {400, 404, 414})
    assert said["error"]["message"].startswith("timmy proxy")
    assert len(provider.requests) == before
    assert len(node.log("proxy.requested")) <= events


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Origin": "https://page.example"}, 403),
        ({"Sec_Fetch_Site": "cross-site"}, 403),
        ({"Host": "evil.example:80"}, 403),
        ({"Host": "127.0.0.1.evil.example"}, 403),
        ({"Upgrade": "websocket", "Connection": "Upgrade"}, 501),
        ({"Timmy_Stream": "no name"}, 400),
    ],
)
def test_callers_that_are_no_programs_of_this_machine_are_refused(node, provider, headers, status):
    before = len(provider.requests)
    found, _ = ask(node, "/v1/models", method="GET", body=None, **headers)
    assert found == status
    assert len(provider.requests) == before


def test_headers_of_a_connection_stay_there_and_the_others_go(node, provider):
    status, _ = ask(
        node, "/v1/odd", Connection="X-Hop, keep-alive", X_Hop="1", X_End="2", TE="trailers",
        Proxy_Authorization="Basic eA==", Timmy_Stream="by-header", Accept_Encoding="br, gzip;q=0.5",
    )  # fmt: skip
    assert status == 200
    sent = {name.lower(): value for name, value in provider.requests[-1]["headers"]}
    assert sent["x-end"] == "2"
    assert sent["accept-encoding"] == "gzip;q=0.5"
    assert not {"x-hop", "te", "proxy-authorization", "timmy-stream"} & set(sent)
    asked, _ = exchanges(node)[-1]
    assert asked["payload"]["stream"] == "by-header"


def test_an_upstream_that_is_the_proxy_itself_is_noticed(node, born, provider):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    own = f"http://127.0.0.1:{port}/v1"
    configure(born, own)
    born.config.write_text(
        born.config.read_text().replace(
            "enabled = true\nport = 0", f"enabled = true\nport = {port}"
        )
    )
    with born.running() as looping:
        looping.base = address(looping)
        assert ask(looping, "/v1/models", method="GET", body=None)[0] == 508
        [(_, said)] = exchanges(looping)
        assert said["payload"]["status"] == 508
    all_well(born)


def test_a_request_that_is_too_large_goes_nowhere(node, provider):
    before = len(provider.requests)
    with (
        openai.OpenAI(base_url=f"{node.base}/v1", api_key=KEY, max_retries=0) as client,
        pytest.raises(openai.APIStatusError) as raised,
    ):
        client.embeddings.create(model="e-1", input="x" * (33 * 1024 * 1024))
    assert raised.value.status_code == 413
    assert "33554432 bytes" in str(raised.value)
    assert len(provider.requests) == before


# ---- the crisis screen --------------------------------------------------------------------------------


def test_a_crisis_is_noted_and_passed_on(node, provider):
    with openai.OpenAI(base_url=f"{node.base}/a/crisis/v1", api_key=KEY) as client:
        client.chat.completions.create(model="m", messages=[{"role": "user", "content": CRISIS}])
        asked, said = exchanges(node)[-1]
        assert asked["payload"]["screen"] == "crisis"
        assert (said["payload"]["outcome"], said["payload"]["screen"]) == ("whole", "pass")
        # later requests repeat the words as history, and are not taken for another crisis
        history = [
            {"role": "user", "content": CRISIS},
            {"role": "assistant", "content": "please call 988"},
            {"role": "user", "content": "thank you, I did"},
        ]
        client.chat.completions.create(model="m", messages=history)
    asked, _ = exchanges(node)[-1]
    assert asked["payload"]["screen"] == "pass"
    [stream] = [
        s for s in node.request("GET", "/v1/proxy").json["streams"] if s["name"] == "crisis"
    ]
    assert (stream["exchanges"], stream["crises"]) == (2, 1)
    assert node.status()["holds"] == []


def test_a_crisis_is_answered_here_where_the_operator_says_so(born, provider):
    configure(born, provider.url, screen="block")
    with born.running() as node:
        base, before = address(node), len(provider.requests)
        said = [{"role": "user", "content": CRISIS}]
        with openai.OpenAI(base_url=f"{base}/v1", api_key=KEY, max_retries=0) as client:
            whole = client.chat.completions.create(model="m", messages=said)
            assert whole.choices[0].message.content == ANSWER
            chunks = client.chat.completions.create(model="m", messages=said, stream=True)
            assert "".join(c.choices[0].delta.content or "" for c in chunks) == ANSWER
            assert client.completions.create(model="m", prompt=CRISIS).choices[0].text == ANSWER
            assert client.responses.create(model="m", input=CRISIS).output_text == ANSWER
            with client.responses.stream(model="m", input=CRISIS) as events:
                assert events.get_final_response().output_text == ANSWER
        with anthropic.Anthropic(base_url=base, api_key=KEY, max_retries=0) as client:
            found = client.messages.create(model="c", max_tokens=9, messages=said)
            assert found.content[0].text == ANSWER
            with client.messages.stream(model="c", max_tokens=9, messages=said) as events:
                assert events.get_final_text() == ANSWER
        assert len(provider.requests) == before
        ended = exchanges(node)
        assert [row["payload"]["outcome"] for _, row in ended] == ["blocked"] * 7
        assert {row["content"]["said"] for _, row in ended} == {ANSWER}
    all_well(born)


def test_what_the_screen_cannot_read_is_refused_where_it_blocks(born, provider):
    configure(born, provider.url, screen="block")
    body = json.dumps({"model": "m", "messages": [{"role": "user", "content": CRISIS}]})
    prefilled = body.replace("}]}", '}, {"role": "assistant", "content": "{"}]}')
    with born.running() as node:
        node.base, before = address(node), len(provider.requests)
        for path in ("/v1/chat/completions", "/v1/chat/%63ompletions", "/v1/messages"):
            assert ANSWER[:60] in json.dumps(ask(node, path, body=prefilled))
        for coding, data, status in (
            ("br", b"\x0b\x02\x80", 415),
            ("gzip", b"no gzip", 415),
            ("", b"[1]", 400),
            ("", body.encode("utf-16"), 400),
            ("", body[:-1].encode() + b', "x": NaN}', 400),
        ):
            found, said = ask(node, "/v1/messages", body=data, Content_Encoding=coding)
            assert (found, said["type"]) == (status, "error")
            assert "cannot read this request" in said["error"]["message"]
            found, said = ask(node, "/v1/chat/completions", body=data, Content_Encoding=coding)
            assert (found, said["error"]["type"]) == (status, "invalid_request_error")
        assert len(provider.requests) == before
        assert ask(node, "/v1/odd", body=b"no JSON")[0] == 200  # no words are expected there
    all_well(born)


# ---- settings --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("upstream", "words"),
    [
        ('"http://api.example/v1"', "far and not encrypted"),
        ('"ftp://api.example/v1"', "no address"),
        ('"https://user:pw@api.example/v1"', "holds a user"),
        ('"https://api.example/v1/"', "ends in a slash"),
        ('"https://api.example/v1?key=1"', "no address"),
        ('"https://[::1/v1"', "no address"),
        ('"https:///v1"', "no address"),
    ],
)
def test_upstreams_that_no_key_should_go_to_are_refused(tmp_path, upstream, words):
    path = tmp_path / "node.toml"
    path.write_text(f'[proxy]\nupstreams = [{{ name = "x", base_url = {upstream} }}]\n')
    with pytest.raises(TimmyError, match=words):
        load(path)


@pytest.mark.parametrize(
    "url", ["http://127.0.0.1:1/v1", "http://10.0.0.7/v1", "http://vllm:8000/v1", "https://x.y/v1"]
)
def test_upstreams_that_are_near_or_encrypted_are_taken(tmp_path, url):
    path = tmp_path / "node.toml"
    path.write_text(
        f'[proxy]\nenabled = true\nupstreams = [{{ name = "x", base_url = "{url}" }}]\n'
    )
    assert [one.base_url for one in load(path).proxy.upstreams] == [url]


def test_a_proxy_without_an_upstream_is_refused(tmp_path):
    path = tmp_path / "node.toml"
    path.write_text("[proxy]\nenabled = true\nupstreams = []\n")
    with pytest.raises(TimmyError, match="no upstream"):
        load(path)
