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
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any
from xml.sax.saxutils import escape

import numpy as np
import triton_python_backend_utils as pb_utils
from numpy.typing import NDArray
from PIL import Image, PngImagePlugin

XMP = (
    '<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?>'
    '<x:xmpmeta xmlns:x="adobe:ns:meta/">'
    '<rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
    '<rdf:Description rdf:about="" '
    'xmlns:Iptc4xmpExt="http://iptc.org/std/Iptc4xmpExt/2008-02-29/" '
    'xmlns:nonesuch="urn:nonesuch:recipe:1">'
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
PNG_COMPRESSION = 3  # of 9; more gives little on photographs and costs several times as long

Made = dict[str, bytes]  # by output


class TritonPythonModel:
    """The model that Triton loads."""

    def initialize(self, _args: dict[str, str]) -> None:
        self.pool = ThreadPoolExecutor(os.cpu_count())  # Pillow encodes without holding the lock

    def execute(self, requests: list[Any]) -> list[Any]:
        # All pictures of the batch are begun before the first is waited for.
        begun = [self.begin(request) for request in requests]
        return [answer(*pair) for pair in zip(requests, begun)]  # noqa: B905 (runs on 3.9 too)

    def begin(self, request: Any) -> list["Future[Made]"]:
        names = request.requested_output_names()
        if not {"encoded", "recipe"} & set(names):
            return []
        pixels, recipes = received(request, "pixels"), received(request, "settings")
        wanted = "encoded" in names
        return [self.pool.submit(make, p, recipes[i, 0], wanted) for i, p in enumerate(pixels)]

    def finalize(self) -> None:
        self.pool.shutdown()


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
    return {"recipe": recipe, "encoded": encode(pixels, recipe) if wanted else b""}


def seam(pixels: NDArray[np.uint8], tile: str) -> float:
    """How far the seam of repeated pixels shows: the export's formula, which docs/tiles.md has."""
    return max(along(np.moveaxis(pixels, axis, 0)) for axis in AXES[tile])


def along(pixels: NDArray[Any]) -> float:
    """The seam between the last and the first line of [lines, places, C]."""
    lines, places, channels = pixels.shape
    run = min(RUN, places)
    whole = pixels[:, : places // run * run].reshape(lines, -1, run, channels)
    x = whole.mean(axis=2, dtype=np.float64)
    steps = np.abs(np.diff(x, axis=0)).mean(axis=(1, 2))
    beyond = np.abs(x[1] - 3 * x[0] + 3 * x[-1] - x[-2]).mean() / NOISE
    return float(beyond / max(np.quantile(steps, USUAL), 1.0))


def xmp(recipe: bytes, settings: dict[str, Any]) -> str:
    """The packet with the recipe, or, where that is too long, with all of it but latents."""
    packet = XMP.format(escape(recipe.decode()))
    if len(packet) <= LONGEST:
        return packet
    short = {n: v for n, v in settings.items() if len(str(v)) < 1000}
    short["recipe_sha256"] = hashlib.sha256(recipe).hexdigest()
    return XMP.format(escape(json.dumps(short)))


def encode(pixels: NDArray[np.uint8], recipe: bytes) -> bytes:
    """The file for pixels [H, W, C], C being 1, 3 or 4, in the format that the recipe names."""
    settings = json.loads(recipe)
    picture = Image.fromarray(pixels[:, :, 0] if pixels.shape[2] == 1 else pixels)
    packet = xmp(recipe, settings)
    stream = io.BytesIO()
    if settings["format"] == "png":
        texts = PngImagePlugin.PngInfo()
        texts.add_itxt("XML:com.adobe.xmp", packet)
        picture.save(stream, "PNG", pnginfo=texts, compress_level=PNG_COMPRESSION)
    else:
        kind = settings["format"].upper()
        picture.save(stream, kind, quality=settings["quality"], xmp=packet.encode())
    return stream.getvalue()
