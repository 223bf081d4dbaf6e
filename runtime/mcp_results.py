"""What an MCP tool gave, as the words that a model is told.

Text stays; a picture, a sound or a file of bytes becomes a line that says what was left out, so
that nobody takes the rest for the whole. A link is told and not followed. Structured content is
told where there are no words (MCP, server/tools: servers give both), never checked against the
server's own schema: that schema's patterns would run here, as slow as the server likes.
"""

import json

from mcp.types import (
    AudioContent,
    BlobResourceContents,
    CallToolResult,
    ContentBlock,
    EmbeddedResource,
    ImageContent,
    ResourceLink,
    TextContent,
)

from runtime.core.mcp_tools import plain
from runtime.core.tool import ToolResult

_SHORT_CHARS = 200
"""Of an address or a type that a server names."""


def to_result(given: CallToolResult) -> ToolResult:
    """Return the words of a result, and how many bytes were not words."""
    told = [_told(block) for block in given.content]
    texts = [text for text, _ in told]
    if not any(text.strip() for text in texts) and given.structured_content is not None:
        texts.append(json.dumps(given.structured_content, ensure_ascii=False, indent=1))
    text = "\n".join(texts)
    return ToolResult(
        text=text or "(the tool gave nothing)",
        is_error=bool(given.is_error),
        left_out=sum(missing for _, missing in told),
    )


def _told(block: ContentBlock) -> tuple[str, int]:
    """The words of one block, and the bytes that are not in them."""
    match block:
        case TextContent():
            return block.text, 0
        case ImageContent():
            return _left_out("a picture", block.mime_type, block.data)
        case AudioContent():
            return _left_out("a sound", block.mime_type, block.data)
        case ResourceLink():
            return f"[a link, not followed: {_short(block.name)} {_short(str(block.uri))}]", 0
        case EmbeddedResource():
            inside = block.resource
            if isinstance(inside, BlobResourceContents):
                return _left_out("a file", inside.mime_type or "of bytes", inside.blob)
            return f"[{_short(str(inside.uri))}]\n{inside.text}", 0


def _left_out(what: str, kind: str, base64: str) -> tuple[str, int]:
    size = len(base64) * 3 // 4
    return f"[{what} was left out: {_short(kind)}, {size} bytes]", size


def _short(text: str) -> str:
    return plain(text).replace("\n", " ")[:_SHORT_CHARS]
