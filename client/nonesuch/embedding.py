"""Where files keep an XMP packet: found again, and put where Pillow and PyAV put none.

JPEG, PNG and WebP hold it as XMP's specification says (part 3), and so do GIF and MP4. For WebM
that names no place: there it stands among the tags, as the comment.
"""

import io
import warnings
from collections.abc import Iterator
from pathlib import Path

from PIL import Image, PngImagePlugin, UnidentifiedImageError

from nonesuch.errors import ProvenanceError

KINDS = ("jpeg", "png", "webp", "gif", "mp4", "webm")
_LARGEST = 2**29  # bytes of a file that is read
_BOXES = 100_000  # of an MP4, which in pieces has two for each
_PIXELS = 2**30  # of all frames of a picture that are looked at; no film by Pillow has more

_GIF_HEAD = b"!\xff\x0bXMP DataXMP"
# A reader that takes the packet's letters for lengths of blocks comes out of it somewhere in this
# staircase, and is led to the end from wherever it enters.
_GIF_TAIL = b"\x01" + bytes(range(255, -1, -1)) + b"\0"
_MP4_UUID = bytes.fromhex("be7acfcb97a942e89c71999491e3afac")


def load(path: Path) -> bytes:
    """Read a file; raises ProvenanceError where that cannot be done within bounds."""
    try:
        if not path.is_file():
            raise ProvenanceError(f"{path} is no ordinary file")
        if (size := path.stat().st_size) > _LARGEST:
            raise ProvenanceError(f"{path} has {size} bytes, expected at most {_LARGEST}")
        return path.read_bytes()
    except OSError as exc:
        raise ProvenanceError(f"cannot read {path}: {exc.strerror}") from exc


def kind(content: bytes) -> str:
    """Which of `KINDS` a file is by its first bytes; raises ProvenanceError for any other."""
    beginnings = {
        "jpeg": content.startswith(b"\xff\xd8\xff"),
        "png": content.startswith(b"\x89PNG\r\n\x1a\n"),
        "webp": content.startswith(b"RIFF") and content[8:12] == b"WEBP",
        "gif": content.startswith((b"GIF87a", b"GIF89a")),
        "mp4": content[4:8] == b"ftyp",
        "webm": content.startswith(b"\x1a\x45\xdf\xa3"),
    }
    for name, found in beginnings.items():
        if found:
            return name
    raise ProvenanceError(f"it is no picture or film, expected one of {', '.join(KINDS)}")


def find(content: bytes) -> bytes | None:
    """The XMP packet of a file, None if it has none.

    Raises ProvenanceError where the file is no picture or film, or is not whole.
    """
    name = kind(content)
    if name == "mp4":
        return _in_mp4(content)
    if name == "webm":
        return _in_webm(content)
    packet = _in_picture(content, name)
    return _in_gif(content) if name == "gif" else packet


def xmp(packet: str) -> PngImagePlugin.PngInfo:
    """What a PNG says of itself, for Pillow."""
    texts = PngImagePlugin.PngInfo()
    texts.add_itxt("XML:com.adobe.xmp", packet)
    return texts


def into_gif(content: bytes, packet: str) -> bytes:
    """A GIF with a packet in front of its first frame."""
    flags = content[10]
    palette = 3 << (flags & 7) + 1 if flags & 0x80 else 0
    at = 13 + palette
    return b"GIF89a" + content[6:at] + _GIF_HEAD + packet.encode() + _GIF_TAIL + content[at:]


def mp4_box(packet: str) -> bytes:
    """The box that holds a packet, to stand behind the last of an MP4."""
    content = _MP4_UUID + packet.encode()
    return (8 + len(content)).to_bytes(4, "big") + b"uuid" + content


def _in_picture(content: bytes, name: str) -> bytes | None:
    """The packet as Pillow finds it, once all frames are seen to be whole."""
    try:
        with warnings.catch_warnings(), Image.open(io.BytesIO(content), formats=[name]) as image:
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            _to_the_last(image)
            image.load()
            packet = image.info.get("xmp")
    except ProvenanceError:
        raise
    except (Image.DecompressionBombWarning, Image.DecompressionBombError) as exc:
        raise ProvenanceError(f"it is too large a picture to look at: {exc}") from exc
    except UnidentifiedImageError as exc:
        raise ProvenanceError(f"it is no whole {name}: its head is damaged") from exc
    except Exception as exc:  # what is damaged may fail anywhere inside Pillow
        raise ProvenanceError(f"it is no whole {name}: {exc}") from exc
    return packet if isinstance(packet, bytes) else None


def _to_the_last(image: Image.Image) -> None:
    """Go through all frames of a picture, unless they are too many to be looked at."""
    frames: int = getattr(image, "n_frames", 1)
    if frames * image.width * image.height > _PIXELS:
        raise ProvenanceError(
            f"it has {frames} frames of {image.width}x{image.height}, too many to look at"
        )
    image.seek(frames - 1)


def _in_gif(content: bytes) -> bytes | None:
    start = content.find(_GIF_HEAD)
    end = content.find(_GIF_TAIL, start)
    return content[start + len(_GIF_HEAD) : end] if 0 <= start < end else None


def _in_mp4(content: bytes) -> bytes | None:
    for name, body in _boxes(content):
        if name == b"uuid" and body[:16] == _MP4_UUID:
            return body[16:]
    return None


def _boxes(content: bytes) -> Iterator[tuple[bytes, bytes]]:
    """The outermost boxes of an MP4, name and content (ISO 14496-12, section 4.2)."""
    at = 0
    for _ in range(_BOXES):
        if at == len(content):
            return
        size, name, head = int.from_bytes(content[at : at + 4], "big"), content[at + 4 : at + 8], 8
        if size == 1:  # the true one follows
            size, head = int.from_bytes(content[at + 8 : at + 16], "big"), 16
        if size == 0:  # the last box, as far as there is
            size = len(content) - at
        if not head <= size <= len(content) - at:
            raise ProvenanceError("it is no whole mp4: its last part is cut short")
        yield name, content[at + head : at + size]
        at += size
    raise ProvenanceError(f"it is no mp4 to be looked at: it has more than {_BOXES} parts")


def _in_webm(content: bytes) -> bytes | None:
    try:
        import av  # an extra, and slow to load
    except ModuleNotFoundError as exc:
        raise ProvenanceError("reading webm needs PyAV: pip install 'nonesuch[video]'") from exc

    end = _element(content, _element(content, 0)[1])[1]  # of the head, then of all that follows
    if end > len(content):
        raise ProvenanceError("it is no whole webm: its last part is cut short")
    try:
        # Of a file object and by its format's name: no other can be read into it, no other file.
        with av.open(io.BytesIO(content), format="matroska") as film:
            words = {key.lower(): value for key, value in film.metadata.items()}
    except (av.FFmpegError, ValueError) as exc:
        raise ProvenanceError(f"it is no whole webm: {exc}") from exc
    packet = words.get("comment")
    return None if packet is None else packet.encode()


def _element(content: bytes, at: int) -> tuple[int, int]:
    """Where the content of an element begins and ends (RFC 8794, section 4).

    A number's first byte has as many zeros in front as bytes follow; all ones mean no known size.
    """
    for _ in ("id", "size"):
        first = content[at] if at < len(content) else 0
        count = 9 - first.bit_length()
        value = int.from_bytes(content[at : at + count], "big") & (1 << 7 * count) - 1
        at += count
    unknown = value == (1 << 7 * count) - 1
    return at, len(content) if unknown else at + value
