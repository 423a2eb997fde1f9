"""Claude Code as Backspace uses it: the prompt it gets, the stream it writes, the program in a sandbox."""
