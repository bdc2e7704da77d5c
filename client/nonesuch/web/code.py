"""A request as code to copy: for Python, for curl, and for grpcurl on the server itself."""

import base64
import json
import shlex
from collections.abc import Callable, Iterator, Mapping
from dataclasses import MISSING, dataclass, fields, is_dataclass
from typing import Any

import numpy as np
from google.protobuf import descriptor_pb2
from tritonclient.grpc import service_pb2

from nonesuch import wire
from nonesuch.card import Card
from nonesuch.contract import ENCODED, REQUEST, DType
from nonesuch.images import SUFFIXES
from nonesuch.options import JPEG, Format, Sample

_CONTENTS: dict[DType, str] = {  # of the protocol's InferTensorContents
    "FP32": "fp32Contents",
    "INT32": "intContents",
    "INT64": "int64Contents",
    "BYTES": "bytesContents",
}
_LARGEST = 2**28  # bytes of an answer that grpcurl is to take


@dataclass(frozen=True, kw_only=True, slots=True)
class Asked:
    """A picture that was asked for: what, of which model, and at which addresses."""

    card: Card
    sample: Sample
    format: Format
    grpc: str  # HOST:PORT of the server
    http: str  # address of the picture here
    protoset: str  # address of the protocol's description here

    @property
    def file(self) -> str:
        """A name for the picture."""
        return f"{self.card.name}-{self.sample.seed}{SUFFIXES[self.format.name]}"


def python(asked: Asked) -> str:
    """A program that keeps the picture, with our own client."""
    options = list(_options(asked))
    names = sorted({"Client", *(type(value).__name__ for _, value in options if _ours(value))})
    said = "".join(f"        {name}={_literal(value)},\n" for name, value in options)
    return (
        "from pathlib import Path\n\n"
        f"from nonesuch import {', '.join(names)}\n\n"
        f"with Client({_literal(asked.grpc)}) as client:\n"
        "    (picture,) = client.generate(\n"
        f"        {_literal(asked.card.name)},\n"
        f"        [{asked.sample.seed}],\n{said}"
        "    )\n"
        f"Path({_literal(asked.file)}).write_bytes(picture.encoded)\n"
    )


def curl(asked: Asked) -> str:
    """A line for the shell that keeps the picture, by way of this HTTP server."""
    return f"curl -fsSo {shlex.quote(asked.file)} {shlex.quote(asked.http)}\n"


def grpcurl(asked: Asked) -> str:
    """Lines for the shell that keep the picture, from Triton itself; jq takes it apart."""
    message = {
        "modelName": asked.card.name,
        "inputs": list(_inputs(wire.settings(asked.sample, asked.format, asked.card))),
        "outputs": [{"name": ENCODED.name}],
    }
    return (
        f"curl -fsSo service.protoset {shlex.quote(asked.protoset)}\n"
        f"grpcurl -plaintext -protoset service.protoset -max-msg-sz {_LARGEST} \\\n"
        f"  -d {shlex.quote(json.dumps(message, ensure_ascii=False))} \\\n"
        f"  {asked.grpc} inference.GRPCInferenceService/ModelInfer |\n"
        "  jq -r '.rawOutputContents[0]' | base64 -d |\n"
        f"  tail -c +5 > {shlex.quote(asked.file)}\n"  # behind the length of the string
    )


LANGUAGES: Mapping[str, Callable[[Asked], str]] = {
    "python": python,
    "curl": curl,
    "grpcurl": grpcurl,
}


def protoset() -> bytes:
    """The protocol's description, as `grpcurl -protoset` reads it."""
    found: dict[str, Any] = {}
    _collect(service_pb2.DESCRIPTOR, found)
    described = descriptor_pb2.FileDescriptorSet()
    for file in found.values():
        file.CopyToProto(described.file.add())
    content: bytes = described.SerializeToString()
    return content


def _collect(file: Any, found: dict[str, Any]) -> None:
    for needed in file.dependencies:  # come first
        _collect(needed, found)
    found[file.name] = file


def _options(asked: Asked) -> Iterator[tuple[str, Any]]:
    for each in fields(Sample):
        value = getattr(asked.sample, each.name)
        if each.name != "seed" and value is not None and value != each.default:
            yield each.name, value
    if asked.format != JPEG:
        yield "format", asked.format


def _ours(value: object) -> bool:
    return is_dataclass(value)


def _literal(value: Any) -> str:
    """What makes a value again; a data class without the fields that are as by default."""
    if isinstance(value, str | dict):
        return json.dumps(value, ensure_ascii=False)  # as Python would have it, in double quotes
    if not _ours(value):
        return repr(value)
    kept = [(each, getattr(value, each.name)) for each in fields(value)]
    said = (
        f"{each.name}={_literal(one)}"
        for each, one in kept
        if each.default is MISSING or one != each.default
    )
    return f"{type(value).__name__}({', '.join(said)})"


def _inputs(values: wire.Settings) -> Iterator[dict[str, Any]]:
    for tensor in REQUEST:
        if tensor.name in values:
            rows = np.array([values[tensor.name]])
            flat: list[Any] = rows.ravel().tolist()
            if tensor.dtype == "BYTES":
                flat = [base64.b64encode(word.encode()).decode() for word in flat]
            yield {
                "name": tensor.name,
                "datatype": tensor.dtype,
                "shape": list(rows.shape),
                "contents": {_CONTENTS[tensor.dtype]: flat},
            }
