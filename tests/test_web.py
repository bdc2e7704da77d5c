"""The HTTP API over a real Triton: pictures, films, code to copy, and requests at random."""

import base64
import io
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import av
import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from PIL import Image
from schemathesis import Case
from schemathesis.checks import not_a_server_error
from schemathesis.core.result import Ok
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)
from tests.client.browse import Web, web
from tests.client.shell import python
from tests.conftest import ServedGolden

from nonesuch import Client, Format, Truncation, embedding
from nonesuch.provenance import parse
from nonesuch.web.headers import HEADERS

pytestmark = pytest.mark.triton

IMAGE = "/v1/models/faces/image?seed=5"
MODELS = ("faces", "classes", "cars", "progan", "stylegan3")


@pytest.fixture(scope="module")
def served_web(served: ServedGolden) -> Iterator[Web]:
    with web(served.url, "--model", "faces", "--client-rate", "100000") as running:
        yield running


def test_a_picture_is_the_file_that_the_server_made(served: ServedGolden, served_web: Web) -> None:
    with Client(served.url) as client:
        (picture,) = client.generate(
            "faces", [5], truncation=Truncation(psi=0.5), format=Format(name="png")
        )

    answer = served_web.get(f"{IMAGE}&psi=0.5&format=png")

    assert answer.body == picture.encoded
    assert answer.headers["content-type"] == "image/png"


@pytest.mark.parametrize(
    ("accept", "model", "kind"),
    [
        pytest.param("*/*", "faces", "jpeg", id="any"),
        pytest.param("image/avif,image/webp,image/*,*/*;q=0.8", "faces", "jpeg", id="browser"),
        pytest.param("image/png", "faces", "png", id="png"),
        pytest.param("image/jpeg;q=0.5, image/webp", "faces", "webp", id="webp"),
        pytest.param("image/*", "cars", "png", id="with transparency"),
    ],
)
def test_the_header_accept_chooses_the_format(
    served_web: Web, accept: str, model: str, kind: str
) -> None:
    answer = served_web.get(f"/v1/models/{model}/image?seed=5", accept=accept)

    assert answer.headers["content-type"] == f"image/{kind}"
    assert (Image.open(io.BytesIO(answer.body)).format or "").lower() == kind
    assert answer.headers["vary"] == "Accept"


@pytest.mark.parametrize(
    ("path", "status", "said"),
    [
        pytest.param(f"{IMAGE}&psi=11", 400, "psi is 11.0, expected -10 to 10", id="psi"),
        pytest.param(f"{IMAGE}&class=1", 400, "faces is unconditional", id="class"),
        pytest.param(f"{IMAGE}&rotate=9", 400, "takes no transform", id="lacks"),
        pytest.param(f"{IMAGE}&directions=smle%3D1", 400, "did you mean smile?", id="dial"),
        pytest.param("/v1/models/nobody/image?seed=5", 404, "it has: ", id="model"),
        pytest.param("/v1/models/faces/morph.avi?seeds=1,2", 404, "ask for mp4, webp", id="kind"),
        pytest.param("/v1/models/cars/morph.mp4?seeds=1,2", 400, "no transparency", id="alpha"),
        pytest.param("/v1/models/faces/code?seed=1&language=c", 400, "expected one of", id="code"),
        pytest.param("/v2", 404, "Not Found", id="nothing"),
    ],
)
def test_a_wrong_request_is_told_what_was_wrong(
    served_web: Web, path: str, status: int, said: str
) -> None:
    answer = served_web.get(path)

    assert (answer.status, answer.json["status"]) == (status, status)
    assert said in answer.json["detail"]
    assert answer.headers["content-type"] == "application/problem+json"


def test_http_that_does_not_fit_is_refused(served_web: Web) -> None:
    path = "/v1/models/faces/images"

    assert served_web.get(IMAGE, accept="text/html").status == 406
    assert served_web.get(path).status == 405
    assert served_web.ask("POST", path, "{}").status == 415
    large = served_web.ask("POST", path, " " * 70_000, content_type="application/json")
    assert (large.status, large.json["title"]) == (413, "Too much at once")


@pytest.mark.parametrize(
    "path", ["/", "/studio", "/static/face.js", "/v1/models", IMAGE, "/nothing", "/metrics"]
)
def test_every_answer_is_guarded(served_web: Web, path: str) -> None:
    headers = served_web.get(path).headers

    assert {name: headers[name.lower()] for name in HEADERS} == HEADERS
    assert "unsafe" not in headers["content-security-policy"]
    assert "http" not in headers["content-security-policy"]
    assert headers["x-content-type-options"] == "nosniff"


def test_the_pages_have_no_code_or_style_of_their_own(served_web: Web) -> None:
    for path in ("/", "/studio"):
        page = served_web.get(path).body.decode()
        assert "<style" not in page
        assert "style=" not in page
        assert "http" not in page
        assert page.count("<script") == page.count('<script type="module" src="static/')


def test_several_pictures_come_with_their_recipes(served_web: Web) -> None:
    samples = [{"seed": 1, "psi": 0.5}, {"seed": 2, "directions": {"smile": 1}}]

    answer = served_web.post("/v1/models/faces/images", {"samples": samples, "format": "webp"})

    images = answer.json["images"]
    assert [image["recipe"]["seed"] for image in images] == [1, 2]
    assert images[1]["recipe"]["directions"] == {"smile": 1.0}
    first = served_web.get("/v1/models/faces/image?seed=1&psi=0.5&format=webp")
    assert base64.b64decode(images[0]["data"]) == first.body


@pytest.mark.parametrize("through", ["z", "w"])
def test_a_film_has_its_frames(served_web: Web, through: str) -> None:
    path = f"/v1/models/faces/morph.mp4?seeds=1,5&frames=9&fps=20&through={through}"

    answer = served_web.get(path)

    assert answer.headers["content-type"] == "video/mp4"
    with av.open(io.BytesIO(answer.body), "r") as film:
        assert len(list(film.decode(film.streams.video[0]))) == 10
    assert parse(embedding.find(answer.body) or b"").synthetic


def test_a_film_with_transparency_is_an_animated_picture(served_web: Web) -> None:
    answer = served_web.get("/v1/models/cars/morph.webp?seeds=1,5&frames=3")

    film = Image.open(io.BytesIO(answer.body))
    assert (film.format, getattr(film, "n_frames", 1), film.mode) == ("WEBP", 4, "RGBA")


SETTINGS = "&psi=0.6&cutoff=4&mix_seed=7&mix_layers=coarse&directions=smile%3D1.5&noise_scale=2"


def copied(served_web: Web, language: str) -> str:
    path = f"/v1/models/faces/code?seed=5&language={language}&format=png{SETTINGS}"
    return served_web.get(path).body.decode()


@pytest.mark.parametrize("language", ["python", "curl", "grpcurl"])
def test_code_to_copy_makes_the_same_picture(
    served_web: Web, language: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    text = copied(served_web, language)

    if language == "python":
        done = python(text)
    else:
        for tool in {"curl", language} | ({"jq"} if language == "grpcurl" else set()):
            if shutil.which(tool) is None:
                pytest.skip(f"{tool} is not installed")
        done = subprocess.run(
            ["bash", "-eo", "pipefail", "-c", text], capture_output=True, text=True, check=False
        )

    assert done.returncode == 0, done.stderr
    expected = served_web.get(f"{IMAGE}&format=png{SETTINGS}").body
    assert Path("faces-5.png").read_bytes() == expected


def test_the_message_for_grpcurl_is_one_that_triton_takes(
    served: ServedGolden, served_web: Web
) -> None:
    """Without grpcurl: its JSON, read by protobuf's own rules, and the description beside it."""
    import grpc
    from google.protobuf import descriptor_pb2, descriptor_pool, json_format, message_factory
    from tritonclient.grpc import service_pb2_grpc

    text = copied(served_web, "grpcurl").split("-d '")[1].split("' \\")[0]
    files = descriptor_pb2.FileDescriptorSet()
    files.ParseFromString(served_web.get("/v1/service.protoset").body)
    pool = descriptor_pool.DescriptorPool()
    for file in files.file:
        pool.Add(file)
    kind: Any = message_factory.GetMessageClass(
        pool.FindMessageTypeByName("inference.ModelInferRequest")
    )

    message = json_format.Parse(text, kind())

    with grpc.insecure_channel(served.url) as channel:
        answer = service_pb2_grpc.GRPCInferenceServiceStub(channel).ModelInfer(message)
    expected = served_web.get(f"{IMAGE}&format=png{SETTINGS}").body
    assert answer.raw_output_contents[0][4:] == expected


def test_the_models_are_listed_with_the_pages_own_first(served_web: Web) -> None:
    models = served_web.get("/v1/models").json["models"]

    assert models[0] == {
        "name": "faces",
        "family": "stylegan2",
        "width": 64,
        "height": 64,
        "c_dim": 0,
    }
    names = [model["name"] for model in models[1:]]
    assert names == sorted(names)
    assert set(MODELS) - {"faces"} <= set(names)
    assert served_web.get("/healthz").json["status"] == "ready"


CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_schema_conformance,
]


def attack(web: Web, examples: int) -> int:
    """Send requests at random, to models that there are; judge the answers by the description."""
    described = schemathesis.openapi.from_url(f"{web.url}/openapi.json")
    sent = 0

    def asked(case: "Case[Any]") -> None:
        nonlocal sent
        sent += 1
        if "model" in (case.path_parameters or {}):
            case.path_parameters["model"] = MODELS[sent % len(MODELS)]
        case.call_and_validate(checks=CHECKS)

    for operation in described.get_all_operations():
        assert isinstance(operation, Ok)
        cases = operation.ok().as_strategy()
        limits = settings(
            max_examples=examples,
            deadline=None,
            database=None,
            phases=[Phase.generate],
            suppress_health_check=list(HealthCheck),
        )
        limits(given(cases)(asked))()
    return sent


def test_no_request_breaks_the_api(served_web: Web) -> None:
    assert attack(served_web, examples=15) >= 80


@pytest.mark.slow
def test_no_request_of_a_thousand_breaks_the_api(served_web: Web) -> None:
    assert attack(served_web, examples=170) >= 1000
