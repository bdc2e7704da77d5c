"""What a picture says of itself: that it is synthetic, and the recipe that makes it again.

Both stand in an XMP packet: IPTC's digital source type `trainedAlgorithmicMedia`, and the recipe
as JSON. The server marks the files that it encodes; this marks those that a client composes.
"""

import json
from collections.abc import Mapping, Sequence
from typing import Any
from xml.sax.saxutils import escape

SOURCE_TYPE = "http://cv.iptc.org/newscodes/digitalsourcetype/trainedAlgorithmicMedia"

_PACKET = (
    '<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?>'
    '<x:xmpmeta xmlns:x="adobe:ns:meta/">'
    '<rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
    '<rdf:Description rdf:about="" '
    'xmlns:Iptc4xmpExt="http://iptc.org/std/Iptc4xmpExt/2008-02-29/" '
    'xmlns:nonesuch="urn:nonesuch:recipe:1">'
    "<Iptc4xmpExt:DigitalSourceType>{source}</Iptc4xmpExt:DigitalSourceType>"
    "<nonesuch:recipe>{recipe}</nonesuch:recipe>"
    '</rdf:Description></rdf:RDF></x:xmpmeta><?xpacket end="r"?>'
)
_LONGEST = 60_000  # bytes; a JPEG holds 65,502 in one segment


def packet(recipes: Sequence[Mapping[str, Any]]) -> str:
    """The XMP packet of a picture composed of generated ones.

    Recipes that would not fit into a JPEG are summed up by their number and model.
    """
    text = json.dumps(recipes if len(recipes) != 1 else recipes[0])
    if len(text) > _LONGEST:
        models = sorted({str(recipe.get("model")) for recipe in recipes})
        text = json.dumps({"models": models, "pictures": len(recipes)})
    return _PACKET.format(source=SOURCE_TYPE, recipe=escape(text))
