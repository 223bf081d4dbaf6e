"""Starts the real agent with one thing spoilt: `variant.py` is put beside it by the test."""

import importlib
import runpy
from pathlib import Path

folder = Path(__file__).resolve().parent
runpy.run_path(str(folder / "boot.py"))["load"](folder)
importlib.import_module("agent.variant").spoil(folder)
raise SystemExit(importlib.import_module("agent.process").main())
