"""`python -m bot` is `backspace`."""

from bot.cli import main

main()
