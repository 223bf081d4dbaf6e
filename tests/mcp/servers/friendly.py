"""An MCP server made with the official SDK: `friendly.py` over stdio, `friendly.py PORT` over HTTP."""

import asyncio
import base64
import os
import sys
from pathlib import Path

from mcp.server.mcpserver import Context, Image, MCPServer
from mcp.types import ToolAnnotations

server = MCPServer("friendly", version="7", log_level="CRITICAL")


@server.tool(annotations=ToolAnnotations(read_only_hint=True))
def add(a: int, b: int) -> int:
    """Adds two numbers."""
    return a + b


@server.tool()
def boom() -> str:
    """Fails."""
    raise ValueError("the words of a bug")


@server.tool(name="with.dots and blanks")
def dotted() -> str:
    """Has a name that no provider takes."""
    return "dotted"


@server.tool()
async def slow(seconds: float) -> str:
    """Takes its time."""
    await asyncio.sleep(seconds)
    return "done at last"


@server.tool()
async def grow(ctx: Context) -> str:
    """Makes a tool more, and tells of it, as servers of both revisions do."""
    server.add_tool(lambda: "grown", name="grown", description="Came later.")
    await ctx.notify_tools_changed()
    await ctx.session.send_tool_list_changed()
    return "grew"


@server.tool()
def big(size: int) -> str:
    """Gives so many bytes."""
    return "x" * size


@server.tool()
def picture() -> list:
    """Words and a picture."""
    return ["a red dot:", Image(data=base64.b64decode("iVBORw0KGgo="), format="png")]


def _names(folder: str) -> list[str]:
    try:
        return sorted(path.name for path in Path(folder).iterdir())
    except PermissionError:
        return []


@server.tool()
def surroundings() -> dict:
    """Where it is, and what it finds there."""
    return {
        "env": dict(os.environ),
        "root": _names("/"),
        "pid": os.getpid(),
        "uid": os.getuid(),
    }


@server.tool()
def touch(path: str) -> str:
    """Writes a file."""
    Path(path).write_text("touched")
    return "touched"


@server.tool()
def die() -> str:
    """Ends the server in the middle of a call."""
    os._exit(3)


if __name__ == "__main__":
    if len(sys.argv) > 1:
        server.run("streamable-http", host="127.0.0.1", port=int(sys.argv[1]))
    else:
        server.run("stdio")
