"""XMP packets: what is written is read, in all of RDF's ways, and what is no packet is refused."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nonesuch import __version__
from nonesuch.errors import ProvenanceError
from nonesuch.provenance import SOURCE_TYPE, Mark, packet, parse

WORDS = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
VALUES = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | WORDS
RECIPES = st.dictionaries(WORDS, VALUES | st.lists(VALUES, max_size=3), max_size=5)
HEAD = (
    '<x:xmpmeta xmlns:x="adobe:ns:meta/">'
    '<rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
)
TAIL = "</rdf:RDF></x:xmpmeta>"
IPTC = 'xmlns:iptc="http://iptc.org/std/Iptc4xmpExt/2008-02-29/"'
OURS = 'xmlns:n="urn:nonesuch:recipe:1"'


@given(st.lists(RECIPES, max_size=3))
def test_what_is_written_is_read(recipes: list[dict[str, Any]]) -> None:
    mark = parse(packet(recipes).encode())

    tool = f"nonesuch {__version__}"
    assert mark == Mark(source_type=SOURCE_TYPE, tool=tool, recipes=tuple(recipes))
    assert mark.synthetic


@pytest.mark.parametrize(
    "rdf",
    [
        pytest.param(
            f"<rdf:Description {IPTC}><iptc:DigitalSourceType>\n {SOURCE_TYPE} "
            "</iptc:DigitalSourceType></rdf:Description>",
            id="element",
        ),
        pytest.param(
            f'<rdf:Description {IPTC} iptc:DigitalSourceType="{SOURCE_TYPE}"/>', id="attribute"
        ),
        pytest.param(
            f"<rdf:Description/><rdf:Description {IPTC}>"
            f'<iptc:DigitalSourceType rdf:resource="{SOURCE_TYPE}"/></rdf:Description>',
            id="resource, in the second description",
        ),
    ],
)
def test_the_source_type_is_read_however_rdf_writes_it(rdf: str) -> None:
    mark = parse(f"{HEAD}{rdf}{TAIL}\0\0 ".encode())

    assert mark == Mark(source_type=SOURCE_TYPE)


def described(recipe: str) -> bytes:
    element = f"<n:recipe>{recipe}</n:recipe>"
    return f"{HEAD}<rdf:Description {OURS}>{element}</rdf:Description>{TAIL}".encode()


BOMB = """<!DOCTYPE x [<!ENTITY a "ha"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;&a;&a;">]><x>&b;</x>"""


@pytest.mark.parametrize(
    ("text", "said"),
    [
        pytest.param(b"", "is no XML", id="nothing"),
        pytest.param(b"<a><b></a>", "is no XML", id="unbalanced"),
        pytest.param(b'<?xml version="1.0" encoding="utf-99"?><a/>', "is no XML", id="encoding"),
        pytest.param(BOMB.encode(), "declares a document type", id="entities"),
        pytest.param(b"<a>" + b" " * 300_000 + b"</a>", "has 300007 bytes", id="too long"),
        pytest.param(described("{"), "recipe is no JSON", id="half a recipe"),
        pytest.param(described("[" * 9999), "recipe is no JSON", id="deep recipe"),
        pytest.param(described("1" * 9999), "recipe is no JSON", id="long number"),
        pytest.param(described("[3]"), "recipe is '3', expected a JSON object", id="number"),
        pytest.param(described('"\\u001b[2J"'), r"recipe is '\\x1b\[2J'", id="steers a terminal"),
    ],
)
def test_what_is_no_packet_is_refused(text: bytes, said: str) -> None:
    with pytest.raises(ProvenanceError, match=said):
        parse(text)


@given(st.binary(max_size=60) | st.text(alphabet="<>/&;!?[]ab='\" ", max_size=60).map(str.encode))
def test_any_bytes_are_a_packet_or_refused(text: bytes) -> None:
    try:
        mark = parse(text)
    except ProvenanceError:
        return
    assert mark == Mark()


def test_elements_within_elements_within_bounds_do_no_harm() -> None:
    assert parse(b"<a>" * 30_000 + b"</a>" * 30_000) == Mark()


@pytest.mark.parametrize(
    ("recipes", "said"),
    [
        pytest.param((), "no recipes", id="none"),
        pytest.param(({"seed": 1}, {"seed": 2}), "2 recipes", id="two"),
        pytest.param(({"seed": 1, "morph": {}},), "that of a film", id="film"),
        pytest.param(({"seed": 1, "recipe_sha256": "a"},), "had to leave out", id="too long"),
        pytest.param(({"psi": 1},), "no latent", id="no latent"),
    ],
)
def test_what_does_not_make_one_picture_is_no_recipe(
    recipes: tuple[dict[str, Any], ...], said: str
) -> None:
    with pytest.raises(ProvenanceError, match=said):
        _ = Mark(recipes=recipes).recipe
