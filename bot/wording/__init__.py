"""Every word that people read on GitHub. No I/O."""
