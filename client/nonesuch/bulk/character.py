"""Characters for games: a close crop beside each picture, and sheets of whole pictures."""

from pathlib import Path

from nonesuch.images import Picture, Pixels, encode, format_of

_SHARE = 0.75  # of the picture's shorter side; faces are aligned in the middle


def files(picture: Picture) -> dict[str, bytes]:
    """The crop of a picture, by suffix, in the picture's own format and with its alpha."""
    name = format_of(Path("face").with_suffix(picture.suffix))
    return {f".face{picture.suffix}": encode(crop(picture.array()), name, [picture.recipe])}


def crop(pixels: Pixels) -> Pixels:
    """The square in the middle of pixels [H, W, C], three quarters of the shorter side wide."""
    height, width = pixels.shape[:2]
    side = max(1, round(_SHARE * min(height, width)))
    top, left = (height - side) // 2, (width - side) // 2
    return pixels[top : top + side, left : left + side]
