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
Description=Timmy node in {home}
After=network-online.target
Wants=network-online.target

[Service]
Type=exec
ExecStart={timmy} --home {home} run
Restart=on-failure
RestartSec=5
TimeoutStopSec=30
# The passphrase, encrypted for this machine: systemd-creds encrypt --name=timmy-passphrase
# LoadCredentialEncrypted=timmy-passphrase:{home}/passphrase.cred
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
    timmy = Path(sys.argv[0]).absolute()
    unit = _UNIT.format(home=home.path, state=home.state, timmy=timmy)
    if arguments.json:
        console.out_json({"unit": unit})
    else:
        console.out(unit.rstrip())
    return 0
