"""The authorities whose certificates we believe, loaded once a process: it takes 20 ms each time."""

import functools
import ssl

import httpx


@functools.cache
def trusted() -> ssl.SSLContext:
    """httpx's own choice: `SSL_CERT_FILE` or `SSL_CERT_DIR` where set, else those that certifi carries.

    https://www.python-httpx.org/advanced/ssl/
    """
    return httpx.create_ssl_context()
