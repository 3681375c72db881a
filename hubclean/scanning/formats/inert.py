"""Pictures, sound, films, fonts and what file managers leave behind: told by their own first bytes.

No loader of models opens them; their decoders are not judged. Sources: ISO/IEC 14496-12 (``ftyp``), RFC 9559
(Matroska), RFC 9639 (FLAC), ISO/IEC 11172-3 (MPEG audio frames), OpenType 1.9.1, the MAT-file format (MathWorks).
"""

from __future__ import annotations

_IMAGE_BRANDS = (b"avif", b"avis", b"heic", b"heix", b"heim", b"heis", b"hevc", b"mif1", b"msf1")
_PLAIN: tuple[tuple[str, bytes], ...] = (
    ("ds-store", b"\x00\x00\x00\x01Bud1"),
    ("media", b"\x1a\x45\xdf\xa3"),
    ("media", b"fLaC\x00\x00\x00"),
    ("media", b"OggS\x00"),
    ("media", b"ID3"),
    ("font", b"OTTO\x00"),
    ("font", b"wOFF"),
    ("font", b"wOF2"),
    ("font", b"ttcf\x00"),
    ("image", b"8BPS\x00"),
    ("image", b"\x00\x00\x00\x0cJXL \r\n\x87\n"),
    ("image", b"\x00\x00\x00\x0cjP  \r\n\x87\n"),
    ("matlab", b"MATLAB 5.0 MAT-file"),
)
_BITRATES = (32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320)  # of layer III, version 1, in kbit/s
_LOW_BITRATES = (8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160)  # of versions 2 and 2.5
_RATES = (44100, 48000, 32000)  # in Hz; halved for version 2, a quarter for version 2.5

MEDIA = [
    ".mp4",
    ".m4v",
    ".mov",
    ".m4a",
    ".3gp",
    ".webm",
    ".mkv",
    ".mp3",
    ".wav",
    ".avi",
    ".flac",
    ".ogg",
    ".oga",
    ".ogv",
    ".opus",
]
FONTS = [".ttf", ".otf", ".ttc", ".woff", ".woff2"]
MORE_IMAGES = [".avif", ".heic", ".heif", ".ico", ".psd", ".jxl", ".jp2", ".jfif"]
# Which content keeps the promise of an ending, and what is said of it.
PROMISED: dict[str, str] = {
    **dict.fromkeys(MEDIA, "media"),
    **dict.fromkeys(FONTS, "font"),
    ".ds_store": "ds-store",
    ".mat": "matlab",
}
SAID = {
    "media": "sound or film by its first bytes; decoders are not judged",
    "font": "a font by its first bytes; font engines are not judged",
    "ds-store": "a file manager's notes by its first bytes; nothing loads them",
    "matlab": "MATLAB arrays by their first bytes; their readers are not judged",
    "pdf": "a PDF by its first bytes; viewers are not judged",
}


def inert(head: bytes, size: int) -> str | None:
    """``image``, ``media``, ``font``, ``ds-store``, ``matlab``, or ``None``, by the first bytes of a file."""
    for kind, signature in _PLAIN:
        if head.startswith(signature):
            return kind
    if head[4:8] == b"ftyp":
        return "image" if head[8:12] in _IMAGE_BRANDS else "media"
    if head[4:8] in (b"moov", b"mdat", b"wide", b"free") and _box(head, size):
        return "media"
    if head[:4] == b"RIFF" and head[8:12] in (b"WAVE", b"AVI "):
        return "media"
    if _is_truetype(head):
        return "font"
    if _is_icon(head, size):
        return "image"
    return "media" if _is_mpeg_audio(head, size) else None


def _box(head: bytes, size: int) -> bool:
    """QuickTime without ``ftyp``: the first box ends inside the file."""
    return 8 <= int.from_bytes(head[:4], "big") <= size


def _is_truetype(head: bytes) -> bool:
    if head[:4] not in (b"\x00\x01\x00\x00", b"true") or len(head) < 28:
        return False
    return 4 <= int.from_bytes(head[4:6], "big") <= 64 and head[12:16].isascii() and head[12:15].isalnum()


def _is_icon(head: bytes, size: int) -> bool:
    count = int.from_bytes(head[4:6], "little")
    if head[:4] != b"\x00\x00\x01\x00" or not 1 <= count <= 64 or len(head) < 22 or head[9]:
        return False
    begin, length = int.from_bytes(head[18:22], "little"), int.from_bytes(head[14:18], "little")
    return begin >= 6 + 16 * count and begin + length <= size


def _is_mpeg_audio(head: bytes, size: int) -> bool:
    """Two frames of MPEG audio, layer III, one behind the other (or one that is the whole file)."""
    length = _frame(head)
    return bool(length) and (length == size or bool(_frame(head[length:])))


def _frame(head: bytes) -> int:
    """Bytes of the MPEG audio frame at the beginning, 0 if there is none."""
    if len(head) < 4 or head[0] != 0xFF or head[1] & 0xE6 != 0xE2:
        return 0
    version, bitrate, rate = head[1] >> 3 & 3, head[2] >> 4, head[2] >> 2 & 3
    if version == 1 or bitrate in (0, 15) or rate == 3:
        return 0
    first = version == 3
    kilobits = (_BITRATES if first else _LOW_BITRATES)[bitrate - 1]
    hertz = _RATES[rate] // {3: 1, 2: 2, 0: 4}[version]
    return (144_000 if first else 72_000) * kilobits // hertz + (head[2] >> 1 & 1)
