"""Encoder: pixels become a JPEG, PNG or WebP file that says it is synthetic and how it was made.

A Triton Python model, self-contained. The file carries an XMP packet with IPTC's digital source
type `trainedAlgorithmicMedia` and the recipe. Pixels also pass through as they are, and the recipe
does, for requests that ask for them; where a model tiles, it gets the picture's seam score.
"""

import hashlib
import io
import json
import math
import os
import zlib
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any
from xml.sax.saxutils import escape

import numpy as np
import triton_python_backend_utils as pb_utils
from numpy.typing import NDArray
from PIL import Image, PngImagePlugin

VERSION = "0.1.0"  # of nonesuch
XMP = (
    '<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?>'
    '<x:xmpmeta xmlns:x="adobe:ns:meta/">'
    '<rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
    '<rdf:Description rdf:about="" '
    'xmlns:xmp="http://ns.adobe.com/xap/1.0/" '
    'xmlns:Iptc4xmpExt="http://iptc.org/std/Iptc4xmpExt/2008-02-29/" '
    'xmlns:nonesuch="urn:nonesuch:recipe:1">'
    "<xmp:CreatorTool>nonesuch {}</xmp:CreatorTool>"
    "<Iptc4xmpExt:DigitalSourceType>"
    "http://cv.iptc.org/newscodes/digitalsourcetype/trainedAlgorithmicMedia"
    "</Iptc4xmpExt:DigitalSourceType>"
    "<nonesuch:recipe>{}</nonesuch:recipe>"
    '</rdf:Description></rdf:RDF></x:xmpmeta><?xpacket end="r"?>'
)
LONGEST = 60_000  # bytes of an XMP packet; a JPEG segment holds 65,502
AXES = {"x": (1,), "y": (0,), "both": (0, 1)}  # of pixels [H, W, C], by the model's `tile`
RUN = 4  # pixels of a line that are seen as one
USUAL = 0.8  # share of the steps inside that are smaller than what a seam is held against
NOISE = math.sqrt(10)  # how many steps pure noise has beyond the trend
# How hard the formats try: what costs little time for its bytes on photographs. Those seldom
# repeat themselves, so PNG looks for runs alone, which is faster than any level's search for more,
# and smaller than the fast ones, as no codes are spent on chance matches.
PNG_STRATEGY = zlib.Z_RLE
WEBP_METHOD = {True: 0, False: 2}  # of 6, with and without alpha, whose search takes the longest
LONG = 1000  # characters of a setting that is left out of a packet too long

Made = dict[str, bytes]  # by output
Settings = dict[str, Any]  # of a recipe
Submit = Callable[..., "Future[Made]"]


class TritonPythonModel:
    """The model that Triton loads."""

    def initialize(self, _args: dict[str, str]) -> None:
        # Pillow encodes without holding the interpreter's lock: a thread for each core.
        self.pool = ThreadPoolExecutor(len(os.sched_getaffinity(0)))

    def execute(self, requests: list[Any]) -> list[Any]:
        # All pictures of the batch are begun before the first is waited for; a single one is
        # made in this thread, as waking another would take as long as a small picture does.
        submit = self.pool.submit if pictures(requests) > 1 else at_once
        begun = [begin(request, submit) for request in requests]
        return [answer(*pair) for pair in zip(requests, begun)]  # noqa: B905 (runs on 3.9 too)

    def finalize(self) -> None:
        self.pool.shutdown()


def pictures(requests: list[Any]) -> int:
    """How many pictures a batch has."""
    return sum(len(received(request, "pixels")) for request in requests)


def at_once(work: Callable[..., Made], *given: Any) -> "Future[Made]":
    """What a pool's `submit` gives, with the work done in this thread."""
    done: Future[Made] = Future()
    try:
        done.set_result(work(*given))
    except Exception as exc:  # noqa: BLE001 (raised where the result is asked for)
        done.set_exception(exc)
    return done


def begin(request: Any, submit: Submit) -> list["Future[Made]"]:
    """Submit the pictures of a request; none where it wants the pixels alone."""
    names = request.requested_output_names()
    if not {"encoded", "recipe"} & set(names):
        return []
    pixels, recipes = received(request, "pixels"), received(request, "settings")
    wanted = "encoded" in names
    return [submit(make, p, recipes[i, 0], wanted) for i, p in enumerate(pixels)]


def answer(request: Any, begun: list["Future[Made]"]) -> Any:
    """Triton's response to one request, an error where a picture could not be encoded."""
    try:
        names = request.requested_output_names()
        return pb_utils.InferenceResponse([output(request, name, begun) for name in names])
    except Exception as exc:  # noqa: BLE001 (one picture must not fail its whole batch)
        pb_utils.Logger.log_error(f"encoder: {type(exc).__name__}: {exc}")
        text = "the encoder failed on this picture"
        return pb_utils.InferenceResponse(error=pb_utils.TritonError(text))


def output(request: Any, name: str, begun: list["Future[Made]"]) -> Any:
    if name == "image":
        return pb_utils.Tensor(name, received(request, "pixels"))
    values = [[future.result()[name]] for future in begun]
    return pb_utils.Tensor(name, np.array(values, dtype=np.object_))


def received(request: Any, name: str) -> NDArray[Any]:
    values: NDArray[Any] = pb_utils.get_input_tensor_by_name(request, name).as_numpy()
    return values


def make(pixels: NDArray[np.uint8], recipe: bytes, wanted: bool) -> Made:
    """The recipe of pixels [H, W, C], with their seam if the model tiles; the file if wanted."""
    settings = json.loads(recipe)
    if "tile" in settings:
        settings["seam"] = round(seam(pixels, settings["tile"]), 3)
        recipe = json.dumps(settings).encode()
    return {"recipe": recipe, "encoded": encode(pixels, recipe, settings) if wanted else b""}


def seam(pixels: NDArray[np.uint8], tile: str) -> float:
    """How far the seam of repeated pixels shows: the export's formula, which docs/tiles.md has."""
    return max(along(np.moveaxis(pixels, axis, 0)) for axis in AXES[tile])


def along(pixels: NDArray[Any]) -> float:
    """The seam between the last and the first line of [lines, places, C]."""
    lines, places, channels = pixels.shape
    run = min(RUN, places)
    whole = pixels[:, : places // run * run].reshape(lines, -1, run, channels)
    x = whole[:, :, 0].astype(np.int16)  # sums: of whole numbers, as these are quick
    for i in range(1, run):
        x += whole[:, :, i]
    steps = np.abs(np.diff(x, axis=0)).mean(axis=(1, 2)) / run
    beyond = np.abs(x[1] - 3 * x[0] + 3 * x[-1] - x[-2]).mean() / run / NOISE
    return float(beyond / max(np.quantile(steps, USUAL), 1.0))


def xmp(recipe: bytes, settings: Settings) -> bytes:
    """The packet with the recipe, or, where that is too long, with all of it but latents."""
    if len(recipe) <= LONGEST:  # else no need to look: the packet is longer
        packet = XMP.format(VERSION, escape(recipe.decode())).encode()
        if len(packet) <= LONGEST:
            return packet
    short = {name: value for name, value in settings.items() if length(value) < LONG}
    short["recipe_sha256"] = hashlib.sha256(recipe).hexdigest()
    return XMP.format(VERSION, escape(json.dumps(short))).encode()


def length(value: Any) -> int:
    """How many characters a setting has in JSON, counted until they are too many for a packet."""
    count = 0
    for part in json.JSONEncoder().iterencode(value):
        count += len(part)
        if count >= LONG:
            break
    return count


def encode(pixels: NDArray[np.uint8], recipe: bytes, settings: Settings) -> bytes:
    """The file for pixels [H, W, C], C being 1, 3 or 4, in the format that the recipe names."""
    picture = Image.fromarray(pixels[:, :, 0] if pixels.shape[2] == 1 else pixels)
    stream = io.BytesIO()
    SAVE[settings["format"]](picture, stream, settings, xmp(recipe, settings))
    return stream.getvalue()


def jpeg(picture: Image.Image, stream: io.BytesIO, settings: Settings, packet: bytes) -> None:
    """Pillow's JPEG is libjpeg-turbo's, with colour at half the resolution."""
    picture.save(stream, "JPEG", quality=settings["quality"], xmp=packet)


def png(picture: Image.Image, stream: io.BytesIO, _settings: Settings, packet: bytes) -> None:
    texts = PngImagePlugin.PngInfo()
    texts.add_itxt("XML:com.adobe.xmp", packet.decode())
    picture.save(stream, "PNG", pnginfo=texts, compress_type=PNG_STRATEGY)


def webp(picture: Image.Image, stream: io.BytesIO, settings: Settings, packet: bytes) -> None:
    method = WEBP_METHOD[picture.mode == "RGBA"]
    picture.save(stream, "WEBP", quality=settings["quality"], method=method, xmp=packet)


SAVE = {"jpeg": jpeg, "png": png, "webp": webp}
