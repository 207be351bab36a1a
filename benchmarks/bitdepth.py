"""Bits a channel as the file holds them: Pillow opens deep colour as 8 bits and says nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from PIL.Image import Image

PNG_START, PNG_DEPTH = b"\x89PNG\r\n\x1a\n", 24  # the first chunk is the header, its depth stands at that byte
TIFF_BITS = 258  # the tag BitsPerSample


def bits(image: Image, content: bytes) -> int:
    """Of an opened file; 8 where its format knows no more."""
    if content.startswith(PNG_START):
        return content[PNG_DEPTH]
    if image.format == "TIFF":
        tags: Any = getattr(image, "tag_v2", {})
        return max(tags.get(TIFF_BITS, (8,)))
    if image.format == "PPM":
        tile: Any = getattr(image, "tile", ())
        args = tile[0].args
        return 16 if isinstance(args, tuple) and isinstance(args[-1], int) and args[-1] > 255 else 8
    return 8
