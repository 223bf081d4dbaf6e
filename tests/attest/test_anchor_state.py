"""One suite for the port on both of its adaptors, and what only files can get wrong."""

import os
import stat
import subprocess
import sys

import pytest

from attest.core.errors import StateDamaged, StateError, StateLocked
from attest.state import FileState, MemoryState


@pytest.fixture(params=["memory", "file"])
def store(request, tmp_path):
    if request.param == "memory":
        yield MemoryState()
        return
    with FileState(tmp_path / "state") as state:
        yield state


async def test_put_and_get(store):
    assert await store.get("link-000000") is None
    await store.put("link-000000", {"a": 1, "b": [b"x", None]})
    await store.put("wish", {})
    assert await store.get("link-000000") == {"a": 1, "b": [b"x", None]}
    await store.put("link-000000", {"a": 2})
    assert await store.get("link-000000") == {"a": 2}
    assert await store.get("wish") == {}


async def test_what_was_read_is_not_the_store(store):
    await store.put("wish", {"a": [1]})
    (await store.get("wish"))["a"].append(2)
    assert await store.get("wish") == {"a": [1]}


async def test_records_have_a_size(store):
    with pytest.raises(StateError, match="at most"):
        await store.put("wish", {"a": bytes(9 * 1024 * 1024)})
    assert await store.get("wish") is None


async def test_files_are_private_and_survive(tmp_path):
    folder = tmp_path / "deep" / "state"
    with FileState(folder) as state:
        await state.put("wish", {"a": 1})
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in folder.iterdir()}
    assert modes == {"lock": 0o600, "wish.cbor": 0o600}
    with FileState(folder) as state:
        assert await state.get("wish") == {"a": 1}


async def test_the_old_record_stays_when_writing_fails(tmp_path, monkeypatch):
    with FileState(tmp_path) as state:
        await state.put("wish", {"a": 1})

        def full(_: int) -> None:
            raise OSError(28, os.strerror(28))

        with monkeypatch.context() as patch:
            patch.setattr(os, "fsync", full)
            with pytest.raises(StateError, match="No space left"):
                await state.put("wish", {"a": 2})
        assert await state.get("wish") == {"a": 1}
        await state.put("wish", {"a": 3})
        assert await state.get("wish") == {"a": 3}


@pytest.mark.parametrize("data", [b"", b"\xa1", b"\x80", b"\xa1\x61a\x18\x01", b"\xff" * 40])
async def test_damage_is_named(tmp_path, data):
    with FileState(tmp_path) as state:
        (tmp_path / "wish.cbor").write_bytes(data)
        with pytest.raises(StateDamaged, match="record wish"):
            await state.get("wish")


def test_a_second_process_is_refused(tmp_path):
    code = (
        "import sys; from pathlib import Path; from attest.state import FileState\n"
        "with FileState(Path(sys.argv[1])): print('held', flush=True); sys.stdin.read()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code, str(tmp_path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as holder:
        assert holder.stdout.readline() == "held\n"
        with pytest.raises(StateLocked), FileState(tmp_path):
            pass
        holder.stdin.close()
        assert holder.wait(120) == 0
    with FileState(tmp_path):
        pass


def test_a_folder_that_cannot_be(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(StateError, match="cannot use"), FileState(tmp_path / "file" / "state"):
        pass
