"""Whether a file is a picture of ours: what it says, what its signature is worth, and a remake."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from nonesuch import embedding, provenance, remake, signature
from nonesuch.errors import InvalidRequest, ModelNotFound, ProvenanceError, RemoteError
from nonesuch.images import decode
from nonesuch.provenance import Mark
from nonesuch.remake import Likeness
from nonesuch.signature import Signature

Again = Callable[[Mapping[str, Any]], bytes]  # the file that a recipe makes now


@dataclass(frozen=True, kw_only=True, slots=True)
class Finding:
    """What was found out about a file."""

    mark: Mark | None = None  # None where it says nothing
    signature: Signature | None = None  # None where it is no picture
    remade: Likeness | None = None  # None where that was not asked, or came to nothing
    problem: str = ""  # why it is not accepted as ours, in one sentence

    @property
    def ours(self) -> bool:
        """Whether all that was looked at speaks for a picture by nonesuch, as it was made."""
        return not self.problem

    @property
    def backed(self) -> bool:
        """Whether more than the mark speaks for it, which can be copied to any picture."""
        whole = self.signature is not None and self.signature.state in {"trusted", "untrusted"}
        return self.remade is not None or whole


def examine(content: bytes, *, anchors: str | None = None, again: Again | None = None) -> Finding:
    """Look at a file's marks and signature, and with `again` at the picture of its recipe.

    With `anchors`, trusted certificates in PEM, a signature must go back to one of them; none is
    no fault. Raises as `signature.check` does for anchors that cannot be used, and ServerError as
    `again` does where the server does not answer.
    """
    try:
        packet = embedding.find(content)
        mark = None if packet is None else provenance.parse(packet)
        signed = signature.check(content, anchors)
    except ProvenanceError as exc:
        return Finding(problem=str(exc))
    problem = _unmarked(mark) or _unsigned(signed, trusted_only=anchors is not None)
    if problem or mark is None or again is None:
        return Finding(mark=mark, signature=signed, problem=problem)
    likeness, problem = _remade(content, mark, again)
    return Finding(mark=mark, signature=signed, remade=likeness, problem=problem)


def _unmarked(mark: Mark | None) -> str:
    if mark is None or mark == Mark():
        return "it does not say what made it"
    if not mark.synthetic:
        return f"it does not say that it is synthetic, but {mark.source_type or 'nothing'}"
    return "" if mark.recipes else "it says that it is synthetic, but has no recipe of nonesuch"


def _unsigned(signed: Signature, *, trusted_only: bool) -> str:
    if signed.state == "broken":
        return f"its signature is broken: {signed.why}"
    if signed.signer and not signed.generator.startswith("nonesuch "):
        return f"it was signed after it was made, by {signed.generator or 'a program unnamed'}"
    if signed.state == "untrusted" and trusted_only:
        return "its signature does not go back to a trusted certificate"
    return ""


def _remade(content: bytes, mark: Mark, again: Again) -> tuple[Likeness | None, str]:
    try:
        compared = _picture if len(mark.recipes) == 1 else _sheet
        likeness = compared(content, mark, again)
    except (InvalidRequest, ModelNotFound, ProvenanceError, RemoteError) as exc:
        return None, f"it cannot be made again: {exc}"
    return likeness, "" if likeness.same else f"it is not what its recipe makes: {likeness.how}"


def _picture(content: bytes, mark: Mark, again: Again) -> Likeness:
    recipe = mark.recipe
    return remake.compare(content, again(recipe), lossless=recipe.get("format") == "png")


def _sheet(content: bytes, mark: Mark, again: Again) -> Likeness:
    """Whether each of the pictures that a sheet is said to show is on it, wherever that is."""
    if (name := embedding.kind(content)) != "png":
        raise ProvenanceError(f"{name} blurs the pictures of a sheet, only png is compared")
    sheet, count = decode(content), len(mark.recipes)
    for number, recipe in enumerate(mark.recipes, start=1):
        whole = Mark(recipes=(recipe,)).recipe
        lossless = {key: value for key, value in whole.items() if key != "quality"}
        if not remake.shows(sheet, decode(again({**lossless, "format": "png"}))):
            return Likeness(same=False, how=f"picture {number} of {count} is not on it")
    return Likeness(same=True, how=f"all {count} pictures are on it")
