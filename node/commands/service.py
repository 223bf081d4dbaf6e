"""Print a systemd unit that runs this node as a user service.

timmy service > ~/.config/systemd/user/timmy.service
systemd-creds encrypt --user -p --name=timmy-passphrase - - < passphrase-file
systemctl --user daemon-reload && systemctl --user enable --now timmy
"""

import argparse
import sys
from pathlib import Path

from node import console
from node.home import Home

_UNIT = """\
[Unit]
Description=Timmy node in {plain}
After=network-online.target
Wants=network-online.target

[Service]
Type=exec
ExecStart={command} --home {home} run
Environment={environment}
Restart=on-failure
RestartSec=5
TimeoutStopSec=30
# The passphrase, encrypted for this machine: systemd-creds encrypt --name=timmy-passphrase
# LoadCredentialEncrypted=timmy-passphrase:{plain}/passphrase.cred
UMask=0077
NoNewPrivileges=yes
ProtectSystem=strict
ReadWritePaths={home} {state}
PrivateTmp=yes
LockPersonality=yes

[Install]
WantedBy=default.target
"""


def add_arguments(_parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""


def run(arguments: argparse.Namespace) -> int:
    """Print the unit."""
    home = Home.find(arguments.home)
    unit = _UNIT.format(
        plain=_escaped(str(home.path)),
        home=_quoted(str(home.path)),
        state=_quoted(str(home.state)),
        command=" ".join(_quoted(word) for word in _program()),
        environment=_quoted(f"TIMMY_STATE={home.state}"),
    )
    if arguments.json:
        console.out_json({"unit": unit})
    else:
        console.out(unit.rstrip())
    return 0


def _program() -> list[str]:
    """Return what starts this very program."""
    mine = Path(sys.argv[0]).absolute()
    return [sys.executable, "-m", "node"] if mine.name == "__main__.py" else [str(mine)]


def _escaped(text: str) -> str:
    """Take a text's percent signs literally (systemd.unit(5), specifiers)."""
    return text.replace("%", "%%")


def _quoted(text: str) -> str:
    """Quote one word (systemd.syntax(7), quoting), where it needs that."""
    word = _escaped(text)
    if word and not set(word) & set(" \t\n\"'\\;"):
        return word
    return '"' + word.replace("\\", "\\\\").replace('"', '\\"') + '"'
