"""The house stays habitable: who may import whom, and documents that are true."""

import ast
import importlib
import re
import shlex
import subprocess
import sys
import tomllib
import types
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
from tests.commands import PROGRAMS, page

from nonesuch import provenance

ROOT = Path(__file__).parent.parent
HOMES = {
    "nonesuch": ROOT / "client",
    "nonesuch_export": ROOT / "export",
    "nonesuch_server": ROOT / "server",
    "nonesuch_loadtest": ROOT / "loadtest",
}
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]


def modules(package: str) -> Iterator[tuple[str, set[str]]]:
    """Dotted name of each module with the dotted names that it imports."""
    for path in sorted((HOMES[package] / package).rglob("*.py")):
        name = ".".join(path.relative_to(HOMES[package]).with_suffix("").parts)
        tree = ast.parse(path.read_text(encoding="utf-8"))
        found = {a.name for n in ast.walk(tree) if isinstance(n, ast.Import) for a in n.names}
        for node in ast.walk(tree):
            if isinstance(node, ast.ImportFrom) and node.module:
                found |= {node.module, *(f"{node.module}.{a.name}" for a in node.names)}
        yield name, found


@pytest.mark.parametrize("package", HOMES)
def test_packages_import_the_client_at_most(package: str) -> None:
    others = set(HOMES) - {package, "nonesuch"} if package != "nonesuch" else set(HOMES) - {package}

    for name, imported in modules(package):
        assert not {i.split(".")[0] for i in imported} & others, name


def test_export_imports_run_one_way() -> None:
    order = ["checkpoint", "network", "graph", "engine", "parity", "card", "repository", "cli"]

    for name, imported in modules("nonesuch_export"):
        parts = name.split(".")
        if len(parts) > 1 and parts[1] in order:
            above = order[order.index(parts[1]) + 1 :]
            used = {i.split(".")[1] for i in imported if i.startswith("nonesuch_export.")}
            assert not used & set(above), name


def test_checkpoints_are_read_without_torch() -> None:
    for name, imported in modules("nonesuch_export"):
        if ".checkpoint" in name:
            assert not {i.split(".")[0] for i in imported} & {"torch", "onnx", "pickle"}, name


@pytest.mark.parametrize("package", HOMES)
def test_all_lists_what_is_public(package: str) -> None:
    module = importlib.import_module(package)
    assert all(hasattr(module, name) for name in module.__all__)  # some come on first use

    public = {
        name
        for name, value in vars(module).items()
        if not name.startswith("_") and not isinstance(value, types.ModuleType)
    }
    assert set(module.__all__) - {"__version__"} == public
    assert list(module.__all__) == sorted(module.__all__)
    assert len(module.__all__) <= 16


def test_the_changelog_begins_with_this_version() -> None:
    text = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")

    found = re.search(r"^## \[(.+?)\]", text, re.MULTILINE)
    assert found
    assert found[1] == PROJECT["version"]


def test_the_page_of_commands_is_current() -> None:
    assert (ROOT / "docs" / "commands.md").read_text(encoding="utf-8") == page()


def _shown() -> Iterator[str]:
    """Commands of ours in the code blocks of README and docs."""
    for path in [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]:
        if path.name == "commands.md":
            continue
        for block in re.findall(r"```sh\n(.*?)```", path.read_text(encoding="utf-8"), re.DOTALL):
            joined = block.replace("\\\n", " ")
            yield from (line for line in joined.splitlines() if line.startswith("nonesuch"))


def test_the_commands_in_the_documents_exist_with_their_options() -> None:
    shown = list(_shown())
    assert shown

    for line in shown:
        program, *rest = shlex.split(line.split("|")[0], comments=True)
        command: click.Command = PROGRAMS[program]
        while isinstance(command, click.Group):
            command = command.commands[rest.pop(0)]
        parser = command.make_parser(click.Context(command))
        parser.parse_args(rest)  # raises for what does not exist


def test_the_makefile_has_the_targets_that_the_readme_names() -> None:
    targets = set(re.findall(r"^(\w+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.M))

    named = set(re.findall(r"make (\w+)`", (ROOT / "README.md").read_text(encoding="utf-8")))
    assert {"demo", "test", "bench"} <= named <= targets


def test_tracked_files_are_small_and_name_no_machine() -> None:
    listed = subprocess.run(
        ["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    if listed.returncode:  # an unpacked source archive has no history
        pytest.skip("not a git checkout")
    for name in filter(None, listed.stdout.split("\0")):
        path = ROOT / name
        assert path.stat().st_size < 10_000_000, name
        if path.suffix in {".py", ".md", ".txt", ".toml", ".json", ".pbtxt"}:
            text = path.read_text(encoding="utf-8")
            assert not re.search(r"(^|[^\w./-])/(root|home)/", text), name


def constants(stage: str) -> dict[str, ast.expr]:
    """What a stage, which imports none of us, assigns at its top."""
    source = (ROOT / f"export/nonesuch_export/stages/{stage}.py").read_text(encoding="utf-8")
    return {
        node.targets[0].id: node.value
        for node in ast.parse(source).body
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name)
    }


@pytest.mark.parametrize("stage", ["sampler", "encoder"])
def test_the_stages_are_of_this_version(stage: str) -> None:
    assert ast.literal_eval(constants(stage)["VERSION"]) == PROJECT["version"]


def test_server_and_client_mark_pictures_alike() -> None:
    """The encoder is self-contained, so the packet stands in both; here they are compared."""
    named = constants("encoder")
    xmp, version = ast.literal_eval(named["XMP"]), ast.literal_eval(named["VERSION"])

    assert xmp.format(version, '{"seed": 5}') == provenance.packet([{"seed": 5}])


def test_the_client_alone_needs_no_extra() -> None:
    """Import every module of the light package with the heavy libraries out of reach."""
    names = [name.removesuffix(".__init__") for name, _ in modules("nonesuch")]
    code = (
        "import sys\n"
        "for heavy in ('torch', 'onnx', 'onnxruntime', 'safetensors', 'c2pa', 'cryptography'):\n"
        "    sys.modules[heavy] = None\n"
        f"import {', '.join(names)}\n"
    )

    env = {"PYTHONPATH": str(HOMES["nonesuch"])}
    done = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, check=False)

    assert done.returncode == 0, done.stderr.decode()
