"""Misbehaves at a step of a turn, `times` times over all lives; `plan` says how and when."""

import os
import time
from pathlib import Path

from . import wire


def spoil(folder: Path) -> None:
    how, step_text, times_text = (folder / "plan").read_text().split()
    done = folder / "done"
    real_call = wire.Channel.call

    def call(self, turn, step, op, args):
        count = len(done.read_text()) if done.exists() else 0
        if step != int(step_text) or count >= int(times_text):
            return real_call(self, turn, step, op, args)
        done.write_text("x" * (count + 1))
        if how == "crash_before":
            os._exit(3)
        if how == "crash_after":
            real_call(self, turn, step, op, args)
            os._exit(3)
        if how == "hang":
            time.sleep(3600)
        if how == "garbage":
            self._host.sendall(b"\x00\x00\x00\x05\xff\xff\xff\xff\xff")
        if how == "huge":
            self._host.sendall(b"\xff" * 64)
        if how == "unknown_type":
            self.write({"t": "gimme"})
        if how == "flood":
            body = b"\x00\x00\x00\x0a\xa2\x61n\x01\x61t\x64pong"
            while True:
                self._host.sendall(body * 1000)
        if how == "call_number":
            self._calls += 7
        if how == "other_turn":
            turn = bytes(16)
        if how == "other_step":
            step += 1
        if how == "two_at_once":
            real_call(self, turn, step, op, args)
        return real_call(self, turn, step, op, args)

    wire.Channel.call = call
