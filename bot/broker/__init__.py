"""The model proxy: a credential worth one run comes in, the real key goes out, and every token is counted."""
