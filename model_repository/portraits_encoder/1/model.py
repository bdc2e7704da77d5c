"""Encoder: pixels become a JPEG, PNG or WebP file that says it is synthetic and how it was made.

A Triton Python model, self-contained. The file carries an XMP packet with IPTC's digital source
type `trainedAlgorithmicMedia` and the recipe. Pixels also pass through as they are, and the recipe
does, for requests that ask for them; where a model tiles, it gets the picture's seam score. Where
an instance is on a GPU and nvImageCodec is installed, JPEG files are made there.
"""

import hashlib
import io
import json
import math
import os
import zlib
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from xml.sax.saxutils import escape

import numpy as np
import simplejpeg
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

SHARE = 2**17  # pixels of JPEG that take longer than to wake another thread, several times
JFIF = b"\xff\xe0"  # what the segment begins with that names the kind of file
SEGMENT = b"http://ns.adobe.com/xap/1.0/\0"  # what the JPEG segment of an XMP packet begins with

Made = dict[str, bytes]  # by output
Settings = dict[str, Any]  # of a recipe


class TritonPythonModel:
    """The model that Triton loads."""

    def initialize(self, args: dict[str, str]) -> None:
        self.cores = len(os.sched_getaffinity(0))
        self.pool = ThreadPoolExecutor(self.cores)
        self.gpu: Gpu | None = None
        if args["model_instance_kind"] == "GPU":
            try:
                self.gpu = Gpu(int(args["model_instance_device_id"]))
            except (ImportError, RuntimeError) as exc:
                pb_utils.Logger.log_warn(f"encoder: the CPU makes JPEG files: {exc}")

    def execute(self, requests: list[Any]) -> list[Any]:
        begun = [begin(request) for request in requests]
        jobs = [job for each in begun for job in each]
        if self.gpu is not None:
            self.gpu.work(jobs)
        self.work(jobs)
        return [answer(*pair) for pair in zip(requests, begun)]  # noqa: B905 (runs on 3.9 too)

    def work(self, jobs: list["Job"]) -> None:
        """Do all jobs, in this thread and in as many more as have enough to do.

        The encoders hold no lock of the interpreter while they work.
        """
        large = sum(job.pixels.shape[0] * job.pixels.shape[1] for job in jobs) // SHARE
        count = max(1, min(self.cores, len(jobs), large))
        others = [self.pool.submit(run, jobs[i::count]) for i in range(1, count)]
        run(jobs[::count])
        for other in others:
            other.result()

    def finalize(self) -> None:
        self.pool.shutdown()


class Job:
    """A picture to be made."""

    def __init__(self, pixels: NDArray[np.uint8], recipe: bytes, wanted: bool) -> None:
        self.pixels, self.recipe, self.wanted = pixels, recipe, wanted
        self.drawn = b""  # the file without a packet, where a GPU has made it
        self.made: Made = {}
        self.failure: Exception | None = None


class Gpu:
    """JPEG files by nvImageCodec, on a GPU; the same formats and qualities as by libjpeg-turbo."""

    def __init__(self, device: int) -> None:
        """Raises ImportError without nvImageCodec, RuntimeError where it finds no such GPU."""
        from nvidia import nvimgcodec  # here: a machine without a GPU does without

        self.codec = nvimgcodec
        self.encoder = nvimgcodec.Encoder(device_id=device)

    def work(self, jobs: list[Job]) -> None:
        """Make the files of the jobs that want a JPEG; what fails is left for the CPU."""
        alike: dict[int, list[Job]] = {}  # by quality
        for job in jobs:
            if (quality := wanted_quality(job)) is not None:
                alike.setdefault(quality, []).append(job)
        for quality, group in alike.items():
            try:
                files = self.encode([job.pixels for job in group], quality)
            except RuntimeError as exc:
                pb_utils.Logger.log_error(f"encoder: nvImageCodec: {exc}")
                continue
            for job, file in zip(group, files):  # noqa: B905 (runs on 3.9 too)
                job.drawn = b"" if file is None else bytes(file)

    def encode(self, pictures: list[NDArray[np.uint8]], quality: int) -> list[Any]:
        """Their files, None where one fails; colour is at half the resolution, as it is usual."""
        kind = self.codec.QualityType.QUALITY
        params = self.codec.EncodeParams(quality_type=kind, quality_value=quality)
        images = [self.codec.as_image(np.ascontiguousarray(pixels)) for pixels in pictures]
        files: list[Any] = self.encoder.encode(images, "jpeg", params=params)
        return files


def wanted_quality(job: Job) -> int | None:
    """That of the JPEG file that a job is to make; None where it makes none, or is a wrong one."""
    try:
        settings = json.loads(job.recipe)
        return int(settings["quality"]) if job.wanted and settings["format"] == "jpeg" else None
    except (ValueError, TypeError, KeyError):
        return None


def run(jobs: list[Job]) -> None:
    """Do jobs one after the other; one that fails keeps why."""
    for job in jobs:
        try:
            job.made = make(job.pixels, job.recipe, job.wanted, job.drawn)
        except Exception as exc:  # noqa: BLE001 (one picture must not fail its whole batch)
            job.failure = exc


def begin(request: Any) -> list[Job]:
    """The pictures of a request; none where it wants the pixels alone."""
    names = request.requested_output_names()
    if not {"encoded", "recipe"} & set(names):
        return []
    pixels, recipes = received(request, "pixels"), received(request, "settings")
    return [Job(p, recipes[i, 0], "encoded" in names) for i, p in enumerate(pixels)]


def answer(request: Any, jobs: list[Job]) -> Any:
    """Triton's response to one request, an error where a picture could not be encoded."""
    failure = next((job.failure for job in jobs if job.failure is not None), None)
    if failure is not None:
        pb_utils.Logger.log_error(f"encoder: {type(failure).__name__}: {failure}")
        text = "the encoder failed on this picture"
        return pb_utils.InferenceResponse(error=pb_utils.TritonError(text))
    names = request.requested_output_names()
    return pb_utils.InferenceResponse([output(request, name, jobs) for name in names])


def output(request: Any, name: str, jobs: list[Job]) -> Any:
    if name == "image":
        return pb_utils.Tensor(name, received(request, "pixels"))
    values = [[job.made[name]] for job in jobs]
    return pb_utils.Tensor(name, np.array(values, dtype=np.object_))


def received(request: Any, name: str) -> NDArray[Any]:
    values: NDArray[Any] = pb_utils.get_input_tensor_by_name(request, name).as_numpy()
    return values


def make(pixels: NDArray[np.uint8], recipe: bytes, wanted: bool, drawn: bytes = b"") -> Made:
    """The recipe of pixels [H, W, C], with their seam if the model tiles; the file if wanted.

    `drawn` is the file without a packet, if there is one.
    """
    settings = json.loads(recipe)
    if "tile" in settings:
        settings["seam"] = round(seam(pixels, settings["tile"]), 3)
        recipe = json.dumps(settings).encode()
    if not wanted:
        return {"recipe": recipe, "encoded": b""}
    packet = xmp(recipe, settings)
    file = marked(drawn, packet) if drawn else FILES[settings["format"]](pixels, settings, packet)
    return {"recipe": recipe, "encoded": file}


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


def jpeg(pixels: NDArray[np.uint8], settings: Settings, packet: bytes) -> bytes:
    """A JPEG by libjpeg-turbo, with colour at half the resolution."""
    kinds = ("GRAY", "Gray") if pixels.shape[2] == 1 else ("RGB", "420")
    return marked(simplejpeg.encode_jpeg(pixels, settings["quality"], *kinds), packet)


def marked(file: bytes, packet: bytes) -> bytes:
    """A JPEG with the packet behind its head."""
    head = 2  # bytes
    if file[2:4] == JFIF:  # which stays the first
        head = 4 + int.from_bytes(file[4:6], "big")
    segment = SEGMENT + packet
    length = (2 + len(segment)).to_bytes(2, "big")
    return b"".join((file[:head], b"\xff\xe1", length, segment, file[head:]))


def png(pixels: NDArray[np.uint8], _settings: Settings, packet: bytes) -> bytes:
    texts = PngImagePlugin.PngInfo()
    texts.add_itxt("XML:com.adobe.xmp", packet.decode())
    return saved(pixels, "PNG", pnginfo=texts, compress_type=PNG_STRATEGY)


def webp(pixels: NDArray[np.uint8], settings: Settings, packet: bytes) -> bytes:
    method = WEBP_METHOD[pixels.shape[2] == 4]
    return saved(pixels, "WEBP", quality=settings["quality"], method=method, xmp=packet)


def saved(pixels: NDArray[np.uint8], name: str, **settings: Any) -> bytes:
    picture = Image.fromarray(pixels[:, :, 0] if pixels.shape[2] == 1 else pixels)
    stream = io.BytesIO()
    picture.save(stream, name, **settings)
    return stream.getvalue()


FILES = {"jpeg": jpeg, "png": png, "webp": webp}
