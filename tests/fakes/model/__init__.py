"""A scripted Messages API: plays scenarios of text and tool calls to the real Claude Code program."""
