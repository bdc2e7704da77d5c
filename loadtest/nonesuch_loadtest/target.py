"""What a load test calls: a served model, or an engine in this process."""

from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Protocol, Self

import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray

from nonesuch import Client, Format
from nonesuch.contract import GRAPH
from nonesuch.errors import SetupError
from nonesuch.latents import latent


class Target(Protocol):
    """Something that makes pictures of seeds, from any thread."""

    def generate(self, seeds: Sequence[int]) -> None:
        """Make the pictures of `seeds` and block until they are there."""


class Served:
    """A model behind a server, over gRPC; each call is one request."""

    def __init__(
        self, url: str, model: str, file_format: Format, *, timeout_s: float = 60.0
    ) -> None:
        self.model = model
        self._client = Client(url, timeout_s=timeout_s, in_flight=1)
        self._format = file_format
        self.card = self._client.info(model)

    def generate(self, seeds: Sequence[int]) -> None:
        for picture in self._client.generate(self.model, seeds, format=self._format):
            assert picture.recipe["model_hash"] == self.card.model_hash

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        exc: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._client.close()


class Bare:
    """An exported graph in this process, without server or encoder: the ceiling of a served one."""

    def __init__(self, path: Path) -> None:
        options = ort.SessionOptions()
        options.log_severity_level = 3
        # As served: a pool that spins between two runs would take the server's cores.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        try:
            self._session = ort.InferenceSession(path, options, providers=["CPUExecutionProvider"])
        except Exception as exc:  # its exceptions share no public class
            raise SetupError(f"{path} is no engine that runs here: {exc}") from exc

    def generate(self, seeds: Sequence[int]) -> None:
        self._session.run(None, self.feeds(seeds))

    def feeds(self, seeds: Sequence[int]) -> dict[str, NDArray[Any]]:
        """The graph's inputs for `seeds` with every control at rest."""
        neutral = {tensor.name: tensor.neutral for tensor in GRAPH}
        feeds: dict[str, NDArray[Any]] = {}
        for value in self._session.get_inputs():
            dtype = np.int32 if "int32" in value.type else np.float32
            shape = (len(seeds), *value.shape[1:])
            if value.name in {"z", "mix_z"}:
                feeds[value.name] = np.concatenate([latent(s, shape[1]) for s in seeds])
            else:
                feeds[value.name] = np.full(shape, neutral[value.name], dtype)
        return feeds
