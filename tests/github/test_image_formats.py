"""Kinds and sizes of images, from the first bytes of real files."""

import base64

import pytest

from bot.github.image_formats import ImageFormat, recognise

_FILES = {
    "png": "iVBORw0KGgoAAAANSUhEUgAAAAMAAAACCAIAAAASFvFNAAAAD0lEQVR4nGNgYGBgwEUAAAAmAAGzCAUyAAAAAElFTkSuQmCC",
    "gif": "R0lGODlhAwACAIAAAAAAAP///ywAAAAAAwACAAACAoRRADs=",
    "webp": "UklGRh4AAABXRUJQVlA4TBEAAAAvAkAAAAfQ//73v/+BiOh/AAA=",
}


@pytest.mark.parametrize("extension", list(_FILES))
def test_a_file_of_3_by_2_pixels(extension: str) -> None:
    found = recognise(base64.b64decode(_FILES[extension]))
    assert found == ImageFormat(extension, f"image/{extension}", 3, 2)


@pytest.mark.parametrize(
    ("segments", "size"),
    [
        pytest.param("ffc0 0011 08 0002 0003 03", (3, 2), id="baseline"),
        pytest.param("ffe0 0004 4a46 ffdb 0003 00 ffff c2 0011 08 0002 0003 03", (3, 2), id="progressive, with fill"),
        pytest.param("ffc4 0003 00 ffc0 0011 08 2710 2710 03", (10_000, 10_000), id="after a table"),
        pytest.param("ffe0 0004 4a46 0000", (0, 0), id="no size"),
    ],
)
def test_a_jpeg(segments: str, size: tuple[int, int]) -> None:
    assert recognise(bytes.fromhex("ffd8" + segments)) == ImageFormat("jpg", "image/jpeg", *size)


@pytest.mark.parametrize(
    ("chunk", "size"),
    [
        pytest.param("56503858 0a000000 00000000 020000 010000 0000", (3, 2), id="extended"),
        pytest.param("56503820 00000000 000000 9d012a 0300 0200", (3, 2), id="lossy"),
        pytest.param("414c5048 00000000", (0, 0), id="no size"),
    ],
)
def test_a_webp(chunk: str, size: tuple[int, int]) -> None:
    content = b"RIFF\0\0\0\0WEBP" + bytes.fromhex(chunk)
    assert recognise(content) == ImageFormat("webp", "image/webp", *size)


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(b"", id="nothing"),
        pytest.param(b"\x89PNG\r\n\x1a\n\0\0", id="a cut PNG"),
        pytest.param(b"\xff\xd8\xff\xe0\xff\xff", id="a cut JPEG"),
        pytest.param(b"GIF89a\1", id="a cut GIF"),
        pytest.param(b"RIFF\0\0\0\0WEBPVP8X", id="a cut WebP"),
        pytest.param(b"RIFF\0\0\0\0WAVE", id="a sound"),
        pytest.param(b'<svg xmlns="http://www.w3.org/2000/svg"></svg>', id="SVG"),
        pytest.param(b"<!doctype html><p>Sign in", id="HTML"),
        pytest.param(b"%PDF-1.7", id="PDF"),
    ],
)
def test_anything_else_is_no_image(content: bytes) -> None:
    assert recognise(content) is None
