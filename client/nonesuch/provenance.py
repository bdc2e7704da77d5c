"""What a picture says of itself: that it is synthetic, and the recipe that makes it again.

Both stand in an XMP packet: IPTC's digital source type `trainedAlgorithmicMedia`, and the recipe
as JSON. The server marks the files that it encodes; this marks those that a client composes, and
reads either.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from xml.etree.ElementTree import Element, ParseError
from xml.sax.saxutils import escape

from nonesuch import __version__
from nonesuch.errors import ProvenanceError

_TYPES = "http://cv.iptc.org/newscodes/digitalsourcetype/"
SOURCE_TYPE = f"{_TYPES}trainedAlgorithmicMedia"
CHART_TYPE = f"{_TYPES}dataDrivenMedia"  # drawn from figures, not by a generator

_PACKET = (
    '<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?>'
    '<x:xmpmeta xmlns:x="adobe:ns:meta/">'
    '<rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
    '<rdf:Description rdf:about="" '
    'xmlns:xmp="http://ns.adobe.com/xap/1.0/" '
    'xmlns:Iptc4xmpExt="http://iptc.org/std/Iptc4xmpExt/2008-02-29/" '
    'xmlns:nonesuch="urn:nonesuch:recipe:1">'
    "<xmp:CreatorTool>nonesuch {version}</xmp:CreatorTool>"
    "<Iptc4xmpExt:DigitalSourceType>{source}</Iptc4xmpExt:DigitalSourceType>"
    "<nonesuch:recipe>{recipe}</nonesuch:recipe>"
    '</rdf:Description></rdf:RDF></x:xmpmeta><?xpacket end="r"?>'
)
_RDF = "{http://www.w3.org/1999/02/22-rdf-syntax-ns#}"
_TOOL = "{http://ns.adobe.com/xap/1.0/}CreatorTool"
_SOURCE = "{http://iptc.org/std/Iptc4xmpExt/2008-02-29/}DigitalSourceType"
_RECIPE = "{urn:nonesuch:recipe:1}recipe"

_LONGEST = 60_000  # bytes that are written; a JPEG holds 65,502 in one segment
_READ = 262_144  # bytes that are read: other programs pad packets and add their own


@dataclass(frozen=True, kw_only=True, slots=True)
class Mark:
    """What a file says of itself in its XMP packet."""

    source_type: str | None = None  # IPTC's digital source type, an address
    tool: str | None = None  # the program that first made it
    recipes: tuple[Mapping[str, Any], ...] = ()  # nonesuch's, of all pictures that it shows

    @property
    def synthetic(self) -> bool:
        """Whether it says that a trained generator made it."""
        return self.source_type == SOURCE_TYPE

    @property
    def recipe(self) -> Mapping[str, Any]:
        """What makes this one picture again, as `Client.remake` takes it.

        Raises ProvenanceError for no recipe, for those of several pictures, for a film's, and for
        one that left out its latents, which were too long for a file.
        """
        if len(self.recipes) != 1:
            count = len(self.recipes) or "no"
            raise ProvenanceError(f"it holds {count} recipes, expected that of one picture")
        (recipe,) = self.recipes
        if "morph" in recipe:
            raise ProvenanceError("its recipe is that of a film, not of one picture")
        if "recipe_sha256" in recipe:
            raise ProvenanceError("its recipe had to leave out latents too long for the file")
        if not {"seed", "z", "ws"} & recipe.keys():
            raise ProvenanceError("its recipe has no latent: neither seed nor z nor ws")
        return recipe


def packet(recipes: Sequence[Mapping[str, Any]], source_type: str = SOURCE_TYPE) -> str:
    """The XMP packet of a picture composed of generated ones.

    Recipes that would not fit into a JPEG are summed up by their number and model.
    """
    text = json.dumps(recipes if len(recipes) != 1 else recipes[0])
    if len(text) > _LONGEST:
        models = sorted({str(recipe.get("model")) for recipe in recipes})
        text = json.dumps({"models": models, "pictures": len(recipes)})
    return _PACKET.format(version=__version__, source=source_type, recipe=escape(text))


def parse(packet: bytes) -> Mark:
    """Read an XMP packet, whoever wrote it; what it does not say is None, or no recipe.

    Raises ProvenanceError for what is no XML, is too long, or declares a document type, as
    entities in there can grow without bound; and for a recipe that is none.
    """
    if len(packet) > _READ:
        raise ProvenanceError(f"its XMP packet has {len(packet)} bytes, expected at most {_READ}")
    tree = _tree(packet.strip(b"\0 "))
    recipe = _property(tree, _RECIPE)
    return Mark(
        source_type=_property(tree, _SOURCE),
        tool=_property(tree, _TOOL),
        recipes=() if recipe is None else tuple(_recipes(recipe)),
    )


def _tree(text: bytes) -> Element:
    # Slow to load for those who only write, and from a library that knows the traps of XML.
    from defusedxml.common import DefusedXmlException
    from defusedxml.ElementTree import fromstring

    try:
        tree: Element = fromstring(text, forbid_dtd=True)
    except DefusedXmlException as exc:
        raise ProvenanceError("its XMP packet declares a document type, which XMP has not") from exc
    except (ParseError, ValueError, LookupError) as exc:  # LookupError: an unknown encoding
        raise ProvenanceError(f"its XMP packet is no XML: {exc}") from exc
    return tree


def _property(tree: Element, name: str) -> str | None:
    """A property of the picture in any of the ways that RDF writes one; None if there is none."""
    for about in tree.iter(f"{_RDF}Description"):
        if name in about.attrib:
            return about.attrib[name]
        for child in about.iterfind(name):
            return child.get(f"{_RDF}resource", child.text or "").strip()
    return None


def _recipes(text: str) -> Iterator[Mapping[str, Any]]:
    try:
        found = json.loads(text)
    except (ValueError, RecursionError) as exc:
        raise ProvenanceError(f"its recipe is no JSON: {exc}") from exc
    for recipe in found if isinstance(found, list) else [found]:
        if not isinstance(recipe, dict):
            raise ProvenanceError(f"its recipe is {str(recipe)[:40]!r}, expected a JSON object")
        yield recipe
