"""The encoder's files: what they hold of the pixels, what they say, and who shares whose fate."""

import json
import queue
from collections.abc import Iterator
from functools import partial
from io import BytesIO
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from nvidia import nvimgcodec
from PIL import Image, JpegImagePlugin
from tests import xmp
from tests.conftest import ServedGolden
from tests.export.stage import loaded
from tritonclient.grpc import InferenceServerClient, InferInput, InferRequestedOutput

from nonesuch import __version__
from nonesuch.provenance import SOURCE_TYPE
from nonesuch_server import gpu

ENCODER = loaded("encoder")
HALVED = 2  # Pillow's word for 4:2:0
FORMATS = ("jpeg", "png", "webp")
DEEP = [(name, depth) for name in FORMATS for depth in (1, 3, 4) if (name, depth) != ("jpeg", 4)]


def photograph(channels: int, size: int = 48, seed: int = 0) -> NDArray[np.uint8]:
    """Soft shapes with grain, as photographs have them: [size, size, channels]."""
    random = np.random.default_rng(seed)
    coarse = random.integers(0, 256, (6, 6, channels), np.uint8)
    layers = [Image.fromarray(coarse[:, :, i]).resize((size, size)) for i in range(channels)]
    noisy = np.stack([np.asarray(layer) for layer in layers], 2) + random.normal(
        0, 2, (size, size, channels)
    )
    return noisy.clip(0, 255).astype(np.uint8)


def recipe(name: str = "png", quality: Any = 90, **more: Any) -> bytes:
    """As the sampler writes it: what has no quality carries none."""
    settings = {"model": "dots", "format": name, "quality": quality, **more}
    if name == "png":
        del settings["quality"]
    return json.dumps(settings).encode()


def encoded(pixels: NDArray[np.uint8], settings: bytes) -> bytes:
    file: bytes = ENCODER.make(pixels, settings, True)["encoded"]
    return file


def opened(file: bytes) -> Image.Image:
    picture = Image.open(BytesIO(file))
    picture.load()
    return picture


def said(picture: Image.Image) -> str:
    """The picture's XMP packet, wherever its format keeps it."""
    packet = picture.info.get("xmp") or picture.info["XML:com.adobe.xmp"].encode()
    return str(packet.decode())


def psnr(a: NDArray[Any], b: NDArray[Any]) -> float:
    error = np.square(a.astype(float) - b).mean()
    return float(10 * np.log10(255**2 / max(error, 1e-9)))


@pytest.mark.parametrize(("name", "channels"), DEEP)
def test_every_file_holds_the_picture_and_its_mark(name: str, channels: int) -> None:
    pixels = photograph(channels)
    settings = recipe(name, 95, seed=7)

    picture = opened(encoded(pixels, settings))

    modes = {1: "L", 3: "RGB", 4: "RGBA"}
    assert picture.format == name.upper()
    found = np.asarray(picture.convert(modes[channels])).reshape(pixels.shape)
    assert psnr(found, pixels) >= (30 if name != "png" else 130)
    assert "trainedAlgorithmicMedia" in said(picture)
    assert settings.decode() in said(picture)


@pytest.mark.parametrize("name", FORMATS)
def test_other_programs_read_that_it_is_synthetic_and_how_it_was_made(
    tmp_path: Path, name: str
) -> None:
    settings = recipe(name, seed=7, mix_layers="<&>", directions={"smile": -1.5})
    (tmp_path / "file").write_bytes(encoded(photograph(3), settings))

    told = xmp.told(tmp_path / "file")

    assert told["DigitalSourceType"] == SOURCE_TYPE
    assert told["CreatorTool"] == f"nonesuch {__version__}"
    assert json.loads(told["Recipe"]) == json.loads(settings)


# Below 96 the encoder has libjpeg-turbo's faster transform, which rounds a little more.
@pytest.mark.parametrize(
    ("quality", "loss_db"), [(1, 0.05), (50, 0.05), (90, 0.2), (96, 0.0), (100, 0.0)]
)
def test_jpeg_quality_means_what_it_means_to_libjpeg(quality: int, loss_db: float) -> None:
    pixels, usual = photograph(3, 256), BytesIO()
    Image.fromarray(pixels).save(usual, "JPEG", quality=quality, subsampling="4:2:0")

    picture = opened(encoded(pixels, recipe("jpeg", quality)))

    assert isinstance(picture, JpegImagePlugin.JpegImageFile)
    wanted = opened(usual.getvalue())
    assert isinstance(wanted, JpegImagePlugin.JpegImageFile)
    assert picture.quantization == wanted.quantization
    assert JpegImagePlugin.get_sampling(picture) == HALVED
    if not loss_db:
        np.testing.assert_array_equal(np.asarray(picture), np.asarray(wanted))
    assert psnr(np.asarray(picture), pixels) >= psnr(np.asarray(wanted), pixels) - loss_db


def test_alpha_survives_webp_exactly() -> None:
    pixels = photograph(4)

    picture = opened(encoded(pixels, recipe("webp", 50)))

    assert np.array_equal(np.asarray(picture)[:, :, 3], pixels[:, :, 3])


def test_png_is_no_larger_than_at_a_level_that_searches() -> None:
    pixels, level = photograph(3, size=128), BytesIO()
    Image.fromarray(pixels).save(level, "PNG", compress_level=3)

    assert len(encoded(pixels, recipe())) <= len(level.getvalue()) + len(ENCODER.XMP) + 200


@pytest.mark.parametrize("name", FORMATS)
def test_latents_too_long_for_a_packet_leave_the_rest_and_a_hash(name: str) -> None:
    settings = recipe(name, seed=3, ws=np.random.default_rng(0).random((14, 512)).tolist())

    packet = said(opened(encoded(photograph(3), settings)))

    assert len(packet) <= ENCODER.LONGEST
    assert '"seed": 3' in packet
    assert '"recipe_sha256"' in packet
    assert '"ws"' not in packet


@pytest.mark.parametrize("count", range(0, 80, 8))
def test_lengths_are_counted_as_far_as_they_matter(count: int) -> None:
    value = {"ws": [[i / 7, "é\n"] for i in range(count)], "w": None, "mix": {"layers": [3, -4]}}
    exact = len(json.dumps(value))

    counted = ENCODER.length(value)

    assert counted == exact or (counted >= ENCODER.LONG and exact >= ENCODER.LONG)


def test_threads_share_what_is_large_and_each_picture_keeps_its_own_fate() -> None:
    model = ENCODER.TritonPythonModel()
    model.initialize({"model_instance_kind": "CPU"})
    model.cores = 3
    settings = [recipe("jpeg", seed=seed) for seed in range(7)]
    settings[4] = b"{"
    jobs = [ENCODER.Job(photograph(3, 512, i), each, True) for i, each in enumerate(settings)]

    model.work(jobs)
    model.finalize()

    assert [job.failure is None for job in jobs] == [i != 4 for i in range(7)]
    files = [encoded(photograph(3, 512, i), settings[i]) for i in range(7) if i != 4]
    assert [job.made["encoded"] for job in jobs if job.failure is None] == files


def test_a_jpeg_without_the_usual_head_is_marked_too() -> None:
    file = ENCODER.simplejpeg.encode_jpeg(photograph(3), 90, "RGB", "420")
    bare = file[:2] + file[4 + int.from_bytes(file[4:6], "big") :]

    made = ENCODER.make(photograph(3), recipe("jpeg", seed=7), True, bare)["encoded"]

    assert "jfif" not in opened(made).info
    assert '"seed": 7' in said(opened(made))


@pytest.fixture
def log(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What the encoder writes into the server's log."""
    lines: list[str] = []
    logger = SimpleNamespace(log_warn=lines.append, log_error=lines.append)
    monkeypatch.setattr(ENCODER.pb_utils, "Logger", logger, raising=False)
    return lines


@pytest.fixture(scope="module")
def by_nvimagecodec() -> Any:
    """The encoder of a GPU, by nvImageCodec on the CPU."""
    return ENCODER.Gpu(nvimgcodec.NVIMGCODEC_DEVICE_CPU_ONLY)


def test_nvimagecodec_makes_jpeg_files_of_the_same_kind_and_quality(by_nvimagecodec: Any) -> None:
    wanted = [("jpeg", 95, 3), ("png", 90, 3), ("jpeg", 60, 1), ("jpeg", 95, 3), ("jpeg", 60, 3)]
    pixels = [photograph(channels, 64, i) for i, (_, _, channels) in enumerate(wanted)]
    recipes = [recipe(name, quality, seed=i) for i, (name, quality, _) in enumerate(wanted)]
    jobs = [ENCODER.Job(p, r, True) for p, r in zip(pixels, recipes, strict=True)]

    by_nvimagecodec.work(jobs)
    assert [bool(job.drawn) for job in jobs] == [name == "jpeg" for name, _, _ in wanted]
    ENCODER.run(jobs)

    for i, job in enumerate(jobs):
        made, usual = opened(job.made["encoded"]), opened(encoded(pixels[i], recipes[i]))
        assert (made.format, made.mode, made.size) == (usual.format, usual.mode, usual.size)
        assert psnr(np.asarray(made), np.asarray(usual)) >= 40
        assert f'"seed": {i}' in said(made)
        if isinstance(made, JpegImagePlugin.JpegImageFile):
            assert isinstance(usual, JpegImagePlugin.JpegImageFile)
            assert made.quantization == usual.quantization
            assert made.info["jfif"] == usual.info["jfif"]
            halved = HALVED if made.mode == "RGB" else -1
            assert JpegImagePlugin.get_sampling(made) == halved


def test_what_nvimagecodec_cannot_do_the_cpu_does_or_tells(
    by_nvimagecodec: Any, monkeypatch: pytest.MonkeyPatch, log: list[str]
) -> None:
    def jobs() -> list[Any]:
        recipes = [recipe("jpeg", seed=1), b"{", b"[]", recipe("jpeg", "fine")]
        return [ENCODER.Job(photograph(3), each, True) for each in recipes]

    def fail(*_: Any, **__: Any) -> None:
        raise RuntimeError("CUDA Runtime failure: '#2'")

    some, none, broken = jobs(), jobs(), jobs()
    by_nvimagecodec.work(some)
    monkeypatch.setattr(by_nvimagecodec, "encode", lambda pictures, _: [None] * len(pictures))
    by_nvimagecodec.work(none)
    monkeypatch.setattr(by_nvimagecodec, "encode", fail)
    by_nvimagecodec.work(broken)

    for group in (some, none, broken):
        ENCODER.run(group)
        assert [job.failure is None for job in group] == [True, False, False, False]
    usual = encoded(photograph(3), recipe("jpeg", seed=1))
    assert some[0].made["encoded"] != usual
    assert none[0].made["encoded"] == broken[0].made["encoded"] == usual
    assert log == ["encoder: nvImageCodec: CUDA Runtime failure: '#2'"]


@pytest.mark.skipif(gpu.count() > 0, reason="this machine has a GPU")
def test_an_instance_on_a_gpu_that_cannot_be_used_makes_its_files_on_the_cpu(
    log: list[str],
) -> None:
    model = ENCODER.TritonPythonModel()
    model.initialize({"model_instance_kind": "GPU", "model_instance_device_id": "0"})
    model.finalize()

    assert model.gpu is None
    assert log[0].startswith("encoder: the CPU makes JPEG files: ")


@pytest.fixture
def triton(served: ServedGolden) -> Iterator[InferenceServerClient]:
    with InferenceServerClient(served.url) as connected:
        yield connected


def asked(triton: InferenceServerClient, batches: list[list[bytes]]) -> list[Any]:
    """The files, or the error, of requests that arrive together; each has pictures by recipe."""
    pixels = np.stack([photograph(3, 64, seed) for seed in range(8)])
    answers: queue.Queue[tuple[int, Any, Any]] = queue.Queue()
    for i, batch in enumerate(batches):
        inputs = []
        values = (("pixels", pixels[: len(batch)], "UINT8"), ("settings", batch, "BYTES"))
        for name, value, dtype in values:
            array = np.array(value, object)[:, None] if dtype == "BYTES" else np.asarray(value)
            inputs.append(InferInput(name, array.shape, dtype).set_data_from_numpy(array))
        triton.async_infer(
            "faces_encoder",
            inputs,
            partial(lambda i, result, error: answers.put((i, result, error)), i),
            outputs=[InferRequestedOutput("encoded")],
        )
    found = sorted((answers.get(timeout=60) for _ in batches), key=lambda answer: answer[0])
    return [error or result.as_numpy("encoded")[:, 0].tolist() for _, result, error in found]


@pytest.mark.triton
@pytest.mark.parametrize("name", FORMATS)
def test_alone_or_among_others_a_picture_gives_the_same_file(
    triton: InferenceServerClient, name: str
) -> None:
    recipes = [recipe(name, seed=seed) for seed in range(8)]

    (together,) = asked(triton, [recipes])
    (alone,) = asked(triton, [recipes[:1]])

    assert alone == together[:1]
    wanted = [photograph(3, 64, seed) for seed in range(8)]
    assert together == [encoded(*pair) for pair in zip(wanted, recipes, strict=True)]


@pytest.mark.triton
@pytest.mark.parametrize("broken", [b"{", b"[]", recipe("bmp"), recipe("jpeg", "fine")])
def test_a_broken_picture_fails_alone(triton: InferenceServerClient, broken: bytes) -> None:
    good = [recipe("jpeg", seed=seed) for seed in range(8)]

    answers = asked(triton, [[settings] for settings in (*good[:3], broken, *good[3:])])

    assert "the encoder failed on this picture" in str(answers.pop(3))
    files = [file for (file,) in answers]
    assert [said(opened(file)).count('"seed": ') for file in files] == [1] * 8
    assert [f'"seed": {i}' in said(opened(file)) for i, file in enumerate(files)] == [True] * 8
