"""Errors as RFC 9457 problem documents; never an exception's text."""

from http import HTTPStatus

from starlette.responses import JSONResponse


def problem(status: int, code: str, detail: str, **more: object) -> JSONResponse:
    """`more`: members of this problem's own. https://www.rfc-editor.org/rfc/rfc9457"""
    body = {
        "type": f"urn:backspace:problem:{code}",
        "title": HTTPStatus(status).phrase,
        "status": status,
        "detail": detail,
        "code": code,
        **more,
    }
    return JSONResponse(body, status, media_type="application/problem+json")
