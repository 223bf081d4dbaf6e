"""MCP both ways: servers that the agent uses, and the node as a server."""
