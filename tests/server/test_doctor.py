"""What the doctor finds on this machine."""

from pathlib import Path

import pytest

from nonesuch_server import Check, Listen, Runtime, examine

pytestmark = pytest.mark.triton


def _found(cache: Path, python: Path | None = None) -> dict[str, Check]:
    listen = Listen(grpc_port=0, http_port=0, metrics_port=0)
    return {check.name: check for check in examine(cache, python, listen)}


def test_nothing_is_lacking_beside_a_prepared_runtime(runtime: Runtime) -> None:
    checks = _found(runtime.cache)

    assert [check for check in checks.values() if not check.ok] == []
    assert checks["numpy"].found == "1.26.4"
    assert checks["libraries"].found == "all found"
    assert {"system", "glibc", "interpreter", "runtime", "shared memory"} <= set(checks)


def test_a_runtime_that_is_not_prepared_is_lacking(tmp_path: Path) -> None:
    checks = _found(tmp_path / "cache")

    assert checks["runtime"].mend == "run `nonesuch-server prepare`"
    assert not checks["runtime"].ok
    assert checks["disk"].ok
    assert not (tmp_path / "cache").exists()


def test_an_interpreter_that_does_not_fit_is_named(tmp_path: Path) -> None:
    checks = _found(tmp_path, Path("/bin/false"))

    assert not checks["interpreter"].ok
    assert "/bin/false does not run" in checks["interpreter"].found
    assert "--python" in checks["interpreter"].mend
