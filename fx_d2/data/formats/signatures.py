"""Tells image formats by their first bytes; a file's name decides only where the format has no mark (JSRT)."""

from __future__ import annotations

import re
import struct
from pathlib import Path

from ..errors import DataError
from . import jsrt

_HEAD = 1024
_METAIMAGE = re.compile(rb"\s*(ObjectType|NDims|Comment|ObjectSubType|TransformType|Name)\s*=")

# Lengths that the second header of a BMP file may have; "BM" alone may begin a text.
_BMP_HEADERS = (12, 40, 52, 56, 64, 108, 124)

# What people find in place of an image: (first bytes, what it is, what to do).
_FOREIGN = (
    (b"PK\x03\x04", "a zip archive", "unpack it"),
    (b"\x1f\x8b", "a gzip archive", "unpack it"),
    (b"7z\xbc\xaf", "a 7z archive", "unpack it"),
    (b"Rar!", "a rar archive", "unpack it"),
    (b"version https://git-lfs", "a git-lfs pointer, not the file itself", "fetch it with: git lfs pull"),
    (b"<!doctype", "a web page: the download failed or needs a login", "download it again"),
    (b"<html", "a web page: the download failed or needs a login", "download it again"),
    (b"<?xml", "an XML file, such as a server's refusal", "download it again"),
    (b"%pdf", "a PDF document", "take it out of the lists"),
    (b"RIFF", "a sound or a film", "take it out of the lists"),
    (b"\x00\x00\x00\x0cjP  ", "a bare JPEG 2000 file", "convert it to PNG"),
    (b"\xff\x4f\xff\x51", "a bare JPEG 2000 stream", "convert it to PNG"),
    (b"NRRD", "an NRRD file", "convert it to MetaImage (.mha)"),
)


def recognise(path: Path) -> str:
    """The format of an image file: one of ``png jpeg gif tiff bmp webp dicom metaimage jsrt``.

    Raises:
        DataError: the file is missing, empty, or something else; the message says what it seems to be.
    """
    try:
        with path.open("rb") as stream:
            head = stream.read(_HEAD)
    except IsADirectoryError:
        raise DataError(f"{path}: is a folder, not an image file") from None
    except FileNotFoundError:
        raise DataError(f"{path}: no such image file") from None
    except OSError as error:
        raise DataError(f"{path}: cannot be opened: {error.strerror or error}") from None
    kind = _kind(path, head)
    if kind is None:
        raise DataError(f"{path}: {_foreign(head)}")
    return kind


def _kind(path: Path, head: bytes) -> str | None:
    if head.startswith(b"\x89PNG\r\n\x1a\n"):
        return "png"
    if head.startswith(b"\xff\xd8\xff"):
        return "jpeg"
    if head.startswith((b"GIF87a", b"GIF89a")):
        return "gif"
    if head.startswith((b"II*\x00", b"MM\x00*", b"II+\x00", b"MM\x00+")):
        return "tiff"
    if head.startswith(b"RIFF") and head[8:12] == b"WEBP":
        return "webp"
    if head.startswith(b"BM") and int.from_bytes(head[14:18], "little") in _BMP_HEADERS:
        return "bmp"
    if b"DICM" in (head[128:132], head[:4]):
        return "dicom"
    raw = jsrt.named_so(path)
    if raw and path.stat().st_size == jsrt.FILE_SIZE:
        return "jsrt"
    if _is_bare_dicom(head):
        return "dicom"
    if _METAIMAGE.match(head):
        return "metaimage"
    # A JSRT image of another size is one that was cut short.
    return "jsrt" if raw and any(head) and not _foreign_entry(head) else None


def _is_bare_dicom(head: bytes) -> bool:
    """Whether the bytes begin like a DICOM data set without preamble: a low element of group 2 or 8."""
    if len(head) < 12:
        return False
    group, element, length = struct.unpack("<HHI", head[:8])
    if group not in (2, 8) or element > 0x1140:
        return False
    explicit = head[4:6].isalpha() and head[4:6].isupper()
    return explicit or (length % 2 == 0 and length < _HEAD)


def _foreign_entry(head: bytes) -> tuple[str, str] | None:
    start = head.lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    for mark, what, fix in _FOREIGN:
        if head.startswith(mark) or (mark.islower() and start.startswith(mark)):
            return what, fix
    return None


def _foreign(head: bytes) -> str:
    if not head:
        return "the image file is empty; copy it again"
    if not any(head):
        return "the file begins with nothing but zeros: its copy was interrupted; copy it again"
    found = _foreign_entry(head)
    if found:
        return f"this is {found[0]}; {found[1]}"
    return (
        "not an image of a known format (PNG, JPEG, TIFF, BMP, WebP, DICOM, MetaImage .mha, JSRT .IMG); "
        "replace the file or take it out of the lists"
    )
