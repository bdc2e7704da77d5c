"""What an address or a JSON body asks for: parameters to samples, in the words of `controls`."""

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any, get_args

from nonesuch.contract import FACTOR, FORMATS, QUALITY
from nonesuch.controls import (
    MIXING,
    SETTINGS,
    Control,
    parse_flag,
    parse_number,
    parse_whole,
    settings,
)
from nonesuch.errors import InvalidRequest
from nonesuch.images import default_format
from nonesuch.latents import Seeds, parse_seeds
from nonesuch.morph import Morph, Through
from nonesuch.options import Format, FormatName, Sample, Settings, Truncation
from nonesuch.video import FASTEST_HZ

Pairs = Iterable[tuple[str, str]]  # names and values, as they stand in an address
Choose = Callable[[], FormatName]  # a format where none is named

MOST_SAMPLES = 64  # of one request
MOST_FRAMES = 600  # of one film
MOST_PIXELS = 2**28  # of one film, all frames together

_AS = Morph()
_MIXED = next(each for each in MIXING if each.name == "mix_seed")

SEED = Control(
    name="seed", about="Of z.", read=parse_whole, schema=_MIXED.schema, needs="z", example="42"
)
TRUNCATION = (
    Control(
        name="psi",
        about="Truncation: 1 = off, 0 = the average picture.",
        read=parse_number,
        schema={"type": "number", "minimum": -FACTOR, "maximum": FACTOR},
        needs="psi",
        example="0.7",
    ),
    Control(
        name="cutoff",
        about="Truncate the first so many rows of ws only; goes with psi.",
        read=parse_whole,
        schema={"type": "integer", "minimum": 0},
        needs="psi",
        example="4",
    ),
)
FILE = (
    Control(
        name="format",
        about="Of the file; without it the header Accept decides.",
        schema={"type": "string", "enum": list(FORMATS)},
        example="png",
    ),
    Control(
        name="quality",
        about="Of jpeg and webp.",
        read=parse_whole,
        schema={"type": "integer", "minimum": QUALITY[0], "maximum": QUALITY[1]},
        example="80",
    ),
)
FILM = (
    Control(
        name="seeds",
        about=f"The keyframes, e.g. 1,5,9,2; the film has {MOST_FRAMES} frames at most.",
        read=parse_seeds,
        example="1,5,9",
    ),
    Control(
        name="frames",
        about="From one keyframe to the next.",
        read=parse_whole,
        schema={"type": "integer", "minimum": 1, "maximum": MOST_FRAMES, "default": _AS.frames},
        example="24",
    ),
    Control(
        name="through",
        about="Arcs in z, straight lines in w, or one smooth curve in w.",
        schema={"type": "string", "enum": list(get_args(Through)), "default": _AS.through},
        example="w",
    ),
    Control(
        name="ease",
        about="Leave and reach each keyframe slowly.",
        read=parse_flag,
        schema={"type": "boolean", "default": _AS.ease},
        example="true",
    ),
    Control(
        name="loop",
        about="Go back to the first keyframe at the end.",
        read=parse_flag,
        schema={"type": "boolean", "default": _AS.loop},
        example="true",
    ),
    Control(
        name="noise_loop",
        about="So many noises in turn, from noise_seed on and back to it at the end.",
        read=parse_whole,
        schema={"type": "integer", "minimum": 1, "default": _AS.noises},
        example="12",
    ),
    Control(
        name="fps",
        about="Frames per second.",
        read=parse_number,
        schema={"type": "number", "minimum": 1, "maximum": FASTEST_HZ, "default": 30.0},
        example="25",
    ),
)
SHARED = (*TRUNCATION, *SETTINGS, *MIXING)
SAMPLE = (SEED, *SHARED)
PICTURE = (*SAMPLE, *FILE)
MORPH = (*FILM, *SHARED)


@dataclass(frozen=True, kw_only=True, slots=True)
class Film:
    """A morph that was asked for."""

    keys: Seeds
    way: Morph
    fps: float
    settings: Settings


def read(pairs: Pairs, known: Iterable[Control]) -> dict[str, Any]:
    """Read parameters, by name; raises InvalidRequest for unknown, repeated and unreadable ones."""
    by_name = {each.name: each for each in known}
    values: dict[str, Any] = {}
    for name, text in pairs:
        if name not in by_name:
            raise _unknown(name, by_name)
        if name in values:
            raise InvalidRequest(f"{name} is given twice, give it once")
        values[name] = _value(by_name[name], text)
    return values


def picture(pairs: Pairs, choose: Choose) -> tuple[Sample, Format]:
    """Read the sample and the format of one picture."""
    values = read(pairs, PICTURE)
    return sample(values), file_format(values, choose)


def sample(values: Mapping[str, Any]) -> Sample:
    """Build a sample from values as read."""
    if "seed" not in values:
        raise InvalidRequest("there is no seed, give one as in seed=42")
    return Sample(seed=values["seed"], **_settings(values))


def file_format(values: Mapping[str, Any], choose: Choose) -> Format:
    """Build a format from values as read, by `choose` where none is named."""
    return Format(name=values.get("format") or choose(), quality=values.get("quality"))


def film(pairs: Pairs) -> Film:
    """Read a morph; raises InvalidRequest for one of more frames than are drawn at once."""
    values = read(pairs, MORPH)
    if "seeds" not in values:
        raise InvalidRequest("there are no seeds, give the keyframes as in seeds=1,5,9")
    names = {"frames": "frames", "through": "through", "ease": "ease", "loop": "loop"}
    given = {ours: values[name] for name, ours in names.items() if name in values}
    way = Morph(**given, noises=values.get("noise_loop", _AS.noises))
    frames = way.length(len(values["seeds"]))
    if frames > MOST_FRAMES:
        raise InvalidRequest(f"this film has {frames} frames, ask for at most {MOST_FRAMES}")
    fps = values.get("fps", 30.0)
    return Film(keys=values["seeds"], way=way, fps=fps, settings=_settings(values))


def body(text: bytes, channels: int) -> tuple[list[Sample], Format]:
    """Read a JSON object: `samples`, each an object of parameters, and `format` and `quality`."""
    try:
        asked = json.loads(text)
    except (ValueError, RecursionError) as exc:
        raise InvalidRequest(f"the body is no JSON: {exc}") from exc
    if not isinstance(asked, dict) or not isinstance(asked.get("samples"), list):
        raise InvalidRequest('the body is no object with samples, as in {"samples": [{"seed": 1}]}')
    objects = asked.pop("samples")
    if not 1 <= len(objects) <= MOST_SAMPLES:
        raise InvalidRequest(f"there are {len(objects)} samples, expected 1 to {MOST_SAMPLES}")
    wanted = file_format(read(_pairs(asked), FILE), lambda: default_format(channels))
    return [_sample_of(number, one) for number, one in enumerate(objects)], wanted


def _sample_of(number: int, one: object) -> Sample:
    try:
        if not isinstance(one, dict):
            raise InvalidRequest('expected an object, as in {"seed": 1}')
        return sample(read(_pairs(one), SAMPLE))
    except InvalidRequest as exc:
        raise InvalidRequest(f"sample {number}: {exc}") from exc


def _pairs(values: Mapping[str, Any]) -> Pairs:
    """The members of a JSON object as they would stand in an address."""
    for name, value in values.items():
        if isinstance(value, dict):
            yield name, ",".join(f"{key}={_text(name, one)}" for key, one in value.items())
        elif isinstance(value, list):
            yield name, ",".join(_text(name, one) for one in value)
        else:
            yield name, _text(name, value)


def _text(name: str, value: object) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, bool | int | float):
        return json.dumps(value)
    raise InvalidRequest(f"{name} holds {json.dumps(value)[:40]}, expected a number or a text")


def _settings(values: Mapping[str, Any]) -> Settings:
    truncation = None
    if "psi" in values:
        truncation = Truncation(psi=values["psi"], cutoff=values.get("cutoff"))
    elif "cutoff" in values:
        raise InvalidRequest("a cutoff goes with a truncation, give its psi")
    return settings(values, truncation)


def _value(control: Control, text: str) -> Any:
    choices = control.schema.get("enum", (text,))
    if text not in choices:
        expected = ", ".join(choices)
        raise InvalidRequest(f"{control.name} is {text[:40]!r}, expected one of {expected}")
    try:
        return control.read(text)
    except InvalidRequest as exc:
        raise InvalidRequest(f"{control.name}: {exc}") from exc


def _unknown(name: str, known: Iterable[str]) -> InvalidRequest:
    near = get_close_matches(name, known, n=1)
    mend = f"did you mean {near[0]}?" if near else f"there are {', '.join(known)}"
    return InvalidRequest(f"there is no parameter {name[:40]!r}: {mend}")
