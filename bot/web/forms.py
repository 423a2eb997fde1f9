"""What the forms of our pages send."""

from urllib.parse import parse_qsl

from starlette.requests import Request

_MOST_BYTES = 200_000
_MOST_FIELDS = 50


class FormTooLarge(Exception):
    """The body is larger than any form of ours sends."""


async def fields(request: Request) -> dict[str, str]:
    """The fields of a form; none for a body of another type. Raises FormTooLarge."""
    media_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if media_type != "application/x-www-form-urlencoded":
        return {}
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > _MOST_BYTES:
            raise FormTooLarge
    try:
        return dict(parse_qsl(body.decode(), keep_blank_values=True, max_num_fields=_MOST_FIELDS))
    except ValueError:
        return {}
