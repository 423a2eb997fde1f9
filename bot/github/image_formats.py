"""What kind of image some bytes are, and how large it is when it is unpacked, by its first bytes. No I/O."""

import struct
from dataclasses import dataclass

_PNG = b"\x89PNG\r\n\x1a\n"
_JPEG = b"\xff\xd8\xff"
_JPEG_SIZES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
"""The markers whose segments have the size: https://www.w3.org/Graphics/JPEG/itu-t81.pdf, table B.1."""


@dataclass(frozen=True)
class ImageFormat:
    extension: str
    media_type: str
    width: int
    height: int
    """In pixels; 0 where the header does not say."""


def recognise(content: bytes) -> ImageFormat | None:
    """A PNG, JPEG, GIF or WebP: what models read. None for anything else, whatever its name."""
    try:
        if content.startswith(_PNG):
            return ImageFormat("png", "image/png", *struct.unpack_from(">II", content, 16))
        if content.startswith(_JPEG):
            return ImageFormat("jpg", "image/jpeg", *_jpeg_size(content))
        if content.startswith((b"GIF87a", b"GIF89a")):
            return ImageFormat("gif", "image/gif", *struct.unpack_from("<HH", content, 6))
        if content.startswith(b"RIFF") and content[8:12] == b"WEBP":
            return ImageFormat("webp", "image/webp", *_webp_size(content))
    except (struct.error, IndexError):
        pass  # it ends within its header
    return None


def _jpeg_size(content: bytes) -> tuple[int, int]:
    position = 2
    while content[position] == 0xFF:
        marker = content[position + 1]
        if marker in _JPEG_SIZES:
            height, width = struct.unpack_from(">HH", content, position + 5)
            return width, height
        if marker == 0xFF:
            position += 1
            continue
        (length,) = struct.unpack_from(">H", content, position + 2)
        position += 2 + length
    return 0, 0


def _webp_size(content: bytes) -> tuple[int, int]:
    """https://developers.google.com/speed/webp/docs/riff_container"""
    chunk = content[12:16]
    if chunk == b"VP8X":
        return _24_bits(content, 24) + 1, _24_bits(content, 27) + 1
    if chunk == b"VP8L":
        (bits,) = struct.unpack_from("<I", content, 21)
        return (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
    if chunk == b"VP8 ":
        width, height = struct.unpack_from("<HH", content, 26)
        return width & 0x3FFF, height & 0x3FFF
    return 0, 0


def _24_bits(content: bytes, position: int) -> int:
    return int(struct.unpack_from("<I", content, position)[0]) & 0xFFFFFF
