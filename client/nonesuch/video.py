"""Frames to a moving picture: mp4 and webm by PyAV, animated webp, gif and png by Pillow.

Or a folder of numbered PNGs. The name of the file says which; what a format cannot hold is refused
before the first frame is made. Every file is marked as synthetic.
"""

import importlib.util
import io
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from fractions import Fraction
from itertools import chain, pairwise
from numbers import Real
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from nonesuch import embedding, provenance
from nonesuch.contract import DEFAULT_QUALITY
from nonesuch.errors import InvalidRequest, OutputError
from nonesuch.files import aside
from nonesuch.images import Pixels, encode

FASTEST_HZ = 240.0

# By the file's suffix: PyAV's container with its options, and codec with those.
_CODECS = {
    ".mp4": ("mp4", {"movflags": "+faststart"}, "libx264", {"crf": "18"}),
    ".webm": ("webm", {}, "libvpx-vp9", {"crf": "24", "b": "0"}),
}
_TICK_MS = {".gif": 10, ".png": 1, ".webp": 1}  # Pillow's: unit of a frame's time
_GIF_FASTEST_HZ = 50.0  # browsers slow anything faster down to a tenth
# Of a video's colour, by ITU-T H.273: BT.709's matrix, primaries and curve; levels 16 to 235.
_BT709, _STUDIO = 1, 1
_LARGEST = 2**30  # bytes of frames that Pillow may hold


@dataclass(frozen=True, kw_only=True, slots=True)
class Video:
    """Where frames go, and how fast they run; a path without suffix is a folder of PNGs."""

    path: Path
    fps: float = 30.0  # frames per second

    def __post_init__(self) -> None:
        known = (*_CODECS, *_TICK_MS)
        if self.suffix not in {"", *known}:
            raise InvalidRequest(
                f"cannot tell the format of {self.path}, expected a name in "
                f"{', '.join(sorted(known))}, or a folder"
            )
        if not self.path.name:
            raise InvalidRequest(f"{self.path} is no name for a file or a new folder")
        fastest = _GIF_FASTEST_HZ if self.suffix == ".gif" else FASTEST_HZ
        if not (isinstance(self.fps, Real) and 1 <= self.fps <= fastest):
            what = "gif shows" if self.suffix == ".gif" else "expected"
            raise InvalidRequest(
                f"the rate is {self.fps!r}, {what} 1 to {fastest:g} frames per second"
            )

    @property
    def suffix(self) -> str:
        return self.path.suffix.lower()

    def check(self, shape: tuple[int, int, int], count: int) -> None:
        """Raise InvalidRequest or OutputError where `count` frames [H, W, C] cannot be kept so."""
        height, width, channels = shape
        self._check_place()
        if channels == 4 and self.suffix not in {"", ".png", ".webp"}:
            raise InvalidRequest(
                f"{self.suffix[1:]} has no transparency, choose .webp, .png or a folder"
            )
        if self.suffix in _CODECS:
            self._check_codec(height, width)
        elif self.suffix and math.prod(shape) * count > _LARGEST:
            raise InvalidRequest(
                f"{count} frames of {width}x{height} are too many for {self.suffix[1:]}, choose "
                ".mp4, .webm or a folder"
            )

    def _check_place(self) -> None:
        if self.path.is_dir() and (self.suffix or any(self.path.iterdir())):
            raise OutputError(f"{self.path} is a folder with files in it, choose another name")

    def _check_codec(self, height: int, width: int) -> None:
        if height % 2 or width % 2:  # colour is kept for squares of two by two pixels
            raise InvalidRequest(
                f"{self.suffix[1:]} takes even sizes only and this is {width}x{height}, choose "
                ".webp, .gif, .png or a folder"
            )
        if importlib.util.find_spec("av") is None:
            raise OutputError(
                f"{self.suffix[1:]} needs PyAV: pip install 'nonesuch[video]', or choose .webp, "
                ".gif, .png or a folder"
            )


def write(video: Video, frames: Iterable[Pixels], count: int, recipe: Mapping[str, Any]) -> None:
    """Write `count` frames [H, W, C] of one shape, marked as synthetic and with their recipe.

    The file, or the folder, is there whole or not at all. Frames are taken one by one, and only
    Pillow's formats keep them. Raises OutputError where the system refuses.
    """
    with aside(video.path) as place:
        if not video.suffix:
            _number(place, frames, recipe)
        elif video.suffix in _CODECS:
            _stream(video, place, frames, recipe)
        else:
            _animate(video, place, frames, count, recipe)


def _number(folder: Path, frames: Iterable[Pixels], recipe: Mapping[str, Any]) -> None:
    folder.mkdir()
    for i, pixels in enumerate(frames):
        file = encode(pixels, "png", [{**recipe, "frame": i}])
        (folder / f"{i:08d}.png").write_bytes(file)


def _stream(video: Video, place: Path, frames: Iterable[Pixels], recipe: Mapping[str, Any]) -> None:
    import av  # an extra, and slow to load

    kind, layout, codec, quality = _CODECS[video.suffix]
    packet = provenance.packet([recipe])
    rest = iter(frames)
    first = next(rest)
    # By its name: of a file object PyAV prints what goes wrong with it. No protocol may be read
    # into that name.
    with av.open(f"file:{place}", "w", format=kind, options=layout) as container:
        rate = Fraction(video.fps).limit_denominator(1001)
        if video.suffix == ".webm":
            container.metadata["comment"] = packet
        stream = container.add_stream(codec, rate, options=quality)
        assert isinstance(stream, av.VideoStream)
        stream.pix_fmt = "yuv420p"  # what every player takes
        stream.height, stream.width = first.shape[:2]
        coded = stream.codec_context
        coded.colorspace = coded.color_primaries = coded.color_trc = _BT709
        coded.color_range = _STUDIO
        for pixels in chain([first], rest):
            rgb = np.ascontiguousarray(np.broadcast_to(pixels, (*pixels.shape[:2], 3)))
            frame = av.VideoFrame.from_ndarray(rgb, format="rgb24")
            container.mux(stream.encode(frame.reformat(format="yuv420p", dst_colorspace=_BT709)))
        container.mux(stream.encode())
    if video.suffix == ".mp4":
        with place.open("ab") as file:
            file.write(embedding.mp4_box(packet))


def _animate(
    video: Video, place: Path, frames: Iterable[Pixels], count: int, recipe: Mapping[str, Any]
) -> None:
    images = [Image.fromarray(p[:, :, 0] if p.shape[2] == 1 else p) for p in frames]
    packet, file = provenance.packet([recipe]), io.BytesIO()
    images[0].save(
        file,
        video.suffix[1:],
        save_all=True,
        append_images=images[1:],
        loop=0,  # without end
        duration=_durations(count, video.fps, _TICK_MS[video.suffix]),
        **_marks(video.suffix, packet),
    )
    content = file.getvalue()
    place.write_bytes(embedding.into_gif(content, packet) if video.suffix == ".gif" else content)


def _durations(count: int, fps: float, tick_ms: int) -> list[int]:
    """Milliseconds of each frame, in whole ticks that keep the rate in the long run.

    >>> _durations(4, 30, 10)
    [30, 40, 30, 30]
    """
    ends = [round(i * 1000 / fps / tick_ms) * tick_ms for i in range(count + 1)]
    return [end - start for start, end in pairwise(ends)]


def _marks(suffix: str, packet: str) -> dict[str, Any]:
    if suffix == ".webp":
        return {"xmp": packet.encode(), "quality": DEFAULT_QUALITY}
    return {"pnginfo": embedding.xmp(packet)} if suffix == ".png" else {}
