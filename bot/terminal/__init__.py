"""A Backspace elsewhere, from the terminal: starts runs there over HTTP, follows and steers them."""
