"""The transfer syntax of compressed DICOM pixels whose file does not name it."""

from __future__ import annotations

from pydicom.encaps import generate_fragments
from pydicom.uid import (
    JPEG2000,
    UID,
    JPEGBaseline8Bit,
    JPEGExtended12Bit,
    JPEGLosslessSV1,
    JPEGLSNearLossless,
    RLELossless,
)

# Start-of-frame markers of JPEG, by their second byte.
_FRAMES = {0xC0: JPEGBaseline8Bit, 0xC1: JPEGExtended12Bit, 0xC3: JPEGLosslessSV1, 0xF7: JPEGLSNearLossless}


def guess_syntax(pixel_data: bytes) -> UID:
    """The transfer syntax that the first code stream shows.

    Args:
        pixel_data: the value of PixelData, a sequence of fragments.
    """
    stream = next((item for item in list(generate_fragments(pixel_data))[1:] if item), b"")
    if stream.startswith(b"\xff\x4f\xff\x51") or stream[4:8] == b"jP  ":
        return JPEG2000
    if not stream.startswith(b"\xff\xd8"):
        return RLELossless
    position = 2
    while position + 4 <= len(stream) and stream[position] == 0xFF:
        if stream[position + 1] in _FRAMES:
            return _FRAMES[stream[position + 1]]
        position += 2 + int.from_bytes(stream[position + 2 : position + 4], "big")
    return JPEGBaseline8Bit
