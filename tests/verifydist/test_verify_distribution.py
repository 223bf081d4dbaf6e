"""`timmy-verify` as a stranger gets it: a wheel and a zipapp, beside three libraries and no more."""

import json
import subprocess
import sys
import tomllib
import zipfile
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.util import find_spec
from pathlib import Path
from threading import Thread

import pytest

ROOT = Path(__file__).parents[2]
PACKAGING = ROOT / "attest/verify/packaging"
EXAMPLES = ROOT / "examples"
LIBRARIES = ("blake3", "cbor2", "_cbor2", "coincurve")
ENTRY = "attest.verify.__main__:main"
ISOLATED = "import sys; sys.path[:0] = [sys.argv.pop(1)]; from attest.verify.__main__ import main; sys.exit(main())"  # fmt: skip


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    folder = tmp_path_factory.mktemp("wheel")
    subprocess.run(
        [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation",
         "--no-index", "--disable-pip-version-check", "--wheel-dir", folder, PACKAGING],
        check=True,
    )  # fmt: skip
    [path] = folder.glob("timmy_verify-*.whl")
    return path


@pytest.fixture(scope="module")
def site(wheel, tmp_path_factory):
    """A folder with the wheel and the libraries it names, and nothing else on the path."""
    folder = tmp_path_factory.mktemp("site")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(folder)
    for name in LIBRARIES:
        spec = find_spec(name)
        if spec is not None:
            origin = Path(spec.origin)
            place = origin.parent if origin.name == "__init__.py" else origin
            (folder / place.name).symlink_to(place)
    return folder


def zipped(site, target):
    subprocess.run(
        [sys.executable, "-m", "shiv", "--site-packages", site, "--entry-point", ENTRY,
         "--preamble", PACKAGING / "preamble.py", "--python", "/usr/bin/env python3",
         "--reproducible", "--output-file", target],
        check=True, capture_output=True,
    )  # fmt: skip
    return target


@pytest.fixture(scope="module")
def zipapp(site, tmp_path_factory):
    return zipped(site, tmp_path_factory.mktemp("app") / "timmy-verify.pyz")


def isolated(site, *arguments):
    """Run without this environment's packages: -S leaves site-packages out, -I the rest."""
    command = [sys.executable, "-S", "-I", "-c", ISOLATED, site, *arguments]
    return subprocess.run(command, check=False, capture_output=True, text=True)


def proof(name):
    return EXAMPLES / f"{name}.proof", "--soul", EXAMPLES / "SOUL.md"


def test_the_wheel_holds_the_verifier_and_the_cores_and_nothing_else(wheel):
    names = {name for name in zipfile.ZipFile(wheel).namelist() if name.endswith(".py")}
    wanted = {"attest/__init__.py", "ledger/__init__.py"}
    for folder in ("attest/core", "attest/verify", "ledger/core"):
        wanted |= {path.relative_to(ROOT).as_posix() for path in (ROOT / folder).glob("*.py")}
    assert names == wanted


def test_it_asks_for_three_libraries_and_has_the_nodes_version():
    mine = tomllib.loads((PACKAGING / "pyproject.toml").read_text())["project"]
    node = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert [name.split(">")[0] for name in mine["dependencies"]] == ["blake3", "cbor2", "coincurve"]
    assert set(mine["dependencies"]) <= set(node["dependencies"])
    assert mine["version"] == node["version"]


@pytest.mark.parametrize(
    ("name", "code", "verdict"),
    [("good", 0, "UNBROKEN-PENDING"), ("anchored", 0, "TEST"), ("tampered", 1, "BROKEN")],
)
def test_it_judges_with_nothing_else_installed(site, name, code, verdict):
    found = isolated(site, *proof(name), "--json")
    assert found.returncode == code, found.stderr
    value = json.loads(found.stdout)
    assert (value["verdict"], value["good"]) == (verdict, code == 0)
    shown = isolated(site, *proof(name)).stdout
    assert f"verdict:       {verdict}\n" in shown
    for question in ("integrity", "completeness", "freshness", "identity"):
        assert f"{question}:" in shown


def test_another_soul_by_one_byte_is_broken(site, tmp_path):
    soul = tmp_path / "SOUL.md"
    soul.write_bytes((EXAMPLES / "SOUL.md").read_bytes() + b"\n")
    found = isolated(site, EXAMPLES / "good.proof", "--soul", soul)
    assert (found.returncode, "identity:      does not hold" in found.stdout) == (1, True)
    assert "BROKEN" in found.stdout


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ((), "the following arguments are required: file"),
        (("missing.proof",), "missing.proof cannot be read: No such file or directory"),
        (("x", "--pin", "12:zz"), "no height and block hash of 64 hex digits"),
        (("x", "--require", "soon"), "invalid choice"),
        ((EXAMPLES / "anchored.proof", "--online"), "--online needs the address of a Bitcoin node"),
    ],
)
def test_a_question_that_cannot_be_asked_is_2_with_a_reason(site, arguments, said):
    found = isolated(site, *arguments)
    assert (found.returncode, found.stdout) == (2, "")
    assert said in found.stderr


def test_no_node_is_asked_about_a_file_that_is_false_or_not_in_bitcoin(site):
    nowhere = ("--online", "http://127.0.0.1:9", "--json")
    told = {}
    for name in ("tampered", "good"):
        found = isolated(site, *proof(name), *nowhere)
        assert (found.returncode, found.stderr) == (1, "")
        told[name] = [(line["name"], line["text"]) for line in json.loads(found.stdout)["lines"]]
    assert "was not asked" in dict(told["tampered"])["online"]
    assert told["tampered"][-1][0] == "failing link"
    assert "nothing verified here is in Bitcoin" in dict(told["good"])["online"]


@pytest.fixture
def node():
    """A Bitcoin node on loopback that says what it is told to say of its chain."""
    told = {}

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            self.rfile.read(int(self.headers["Content-Length"]))
            body = json.dumps({"result": told["info"], "error": None, "id": 0}).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_):
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = Thread(target=server.serve_forever)
        thread.start()
        yield told, f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


@pytest.mark.parametrize(
    ("info", "said"),
    [
        ({"chain": "main", "blocks": 900_000}, "your Bitcoin node is on 'main', the file is of"),
        ({"chain": "regtest", "blocks": 3}, "your Bitcoin node is at block 3, the newest link is"),
        ({"chain": "regtest", "blocks": "900000"}, "is not what Core says"),
        ([], "is not what Core says"),
    ],
)
def test_a_node_that_cannot_know_gives_no_verdict(site, node, info, said):
    """A node that is behind is no evidence against a file."""
    told, url = node
    told["info"] = info
    found = isolated(site, *proof("anchored"), "--online", url)
    assert (found.returncode, found.stdout) == (2, ""), found
    assert said in found.stderr


def test_a_truncated_file_is_broken_and_not_a_crash(site, tmp_path):
    data = (EXAMPLES / "anchored.proof").read_bytes()
    cut = tmp_path / "cut.proof"
    for length in (0, 1, 15, 16, 100, len(data) // 2, len(data) - 1):
        cut.write_bytes(data[:length])
        found = isolated(site, cut, "--json")
        assert found.returncode == 1, found.stderr
        assert json.loads(found.stdout)["verdict"] in {"BROKEN", "INCOMPLETE"}


def test_the_zipapp_runs_under_any_python_that_it_was_built_for(zipapp, tmp_path):
    env = {"SHIV_ROOT": str(tmp_path / "cache"), "PATH": "/usr/bin:/bin"}
    for _ in range(2):  # unpacked the first time, found the second
        found = subprocess.run(
            [sys.executable, zipapp, *proof("anchored")],
            check=False, capture_output=True, text=True, env=env, cwd=tmp_path,
        )  # fmt: skip
        assert found.returncode == 0, found.stderr
        assert found.stdout.endswith("verdict:       TEST\n")


def test_a_python_that_the_zipapp_was_not_built_for_is_named_and_is_no_verdict(wheel, tmp_path):
    folder = tmp_path / "site"
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(folder)
    library = folder / "blake3"
    library.mkdir()
    (library / "__init__.py").write_text("from .blake3 import blake3\n")
    (library / "blake3.cpython-399-elsewhere.so").write_bytes(b"")
    app = zipped(folder, tmp_path / "timmy-verify.pyz")
    found = subprocess.run(
        [sys.executable, "-S", "-I", app, *proof("good")],
        check=False, capture_output=True, text=True,
        env={"SHIV_ROOT": str(tmp_path / "cache"), "PATH": "/usr/bin:/bin"},
    )  # fmt: skip
    assert (found.returncode, found.stdout) == (2, "")
    assert "was built for .cpython-399-elsewhere.so" in found.stderr
    assert "Traceback" not in found.stderr


def test_the_makefile_builds_what_is_tested_here():
    [line] = [line for line in (ROOT / "Makefile").read_text().splitlines() if "--preamble" in line]
    assert (PACKAGING / "preamble.py").relative_to(ROOT).as_posix() in line
