"""`python -m tests.otsd`: one ready line, then serve until SIGTERM."""

import argparse
from pathlib import Path

from tests.otsd.calendar import Calendar
from tests.otsd.server import make_server


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.otsd")
    parser.add_argument("--rpc", required=True)
    parser.add_argument("--cookie", type=Path, required=True)
    arguments = parser.parse_args()
    server = make_server(lambda uri: Calendar(uri, arguments.rpc, arguments.cookie))
    print("ready", server.server_address[1], flush=True)
    server.serve_forever()


if __name__ == "__main__":
    main()
