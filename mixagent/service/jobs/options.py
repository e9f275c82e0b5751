"""The options of each kind of job as JSON, and as keywords of the library.

Here stand their names, types and examples; which values make sense is for `mixagent.options` to say.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Literal

from pydantic import AliasChoices, BaseModel, ConfigDict, Field

from mixagent.service.problems import Problem

Name = Annotated[str, Field(max_length=200)]
Names = Annotated[list[Name], Field(max_length=50)]
Number = Annotated[float, Field(allow_inf_nan=False)]
AudioFormat = Literal["wav", "flac", "mp3", "ogg"]
BitDepth = Literal["16", "24", "32f", 16, 24]
UploadId = Annotated[str, Field(pattern=r"^upl_[a-z2-9]{24}$", examples=["upl_5k2x7v9c4m8d3f6h2j5n7p9r"])]


def _named(name: str, library: str, **more: Any) -> Any:
    """A field that is called otherwise in the library, whose name for it is taken too."""
    return Field(default=None, validation_alias=AliasChoices(name, library), serialization_alias=name, **more)


class Options(BaseModel):
    """Base of all options: what is not known is refused."""

    model_config = ConfigDict(extra="forbid", populate_by_name=True, allow_inf_nan=False)


class JobFileName(Options):
    """A result of an earlier job."""

    job: str = Field(pattern=r"^job_[a-z2-9]{24}$")
    file: Name


Source = UploadId | JobFileName
"""A file to work on: an upload by its id, or a result of a job."""


class ReferenceName(Options):
    """Something to sound like, at a weight: an upload (a song or a profile), or a profile that ships."""

    upload: UploadId | None = None
    profile: Name | None = Field(default=None, examples=["genre:rock"])
    weight: Number = Field(default=1.0, gt=0, le=1e6)


References = Annotated[list[ReferenceName], Field(max_length=10)]


class Amounts(Options):
    """How much of the correction, in each of five respects, 0..1."""

    eq: Number | None = None
    dynamics: Number | None = None
    width: Number | None = None
    saturation: Number | None = None
    restore: Number | None = None


class _Engine(Options):
    separator: str | None = Field(default=None, pattern=r"^[A-Za-z0-9_-]{1,40}$")
    seed: int | None = Field(default=None, ge=0, lt=2**63)


class _Mastering(_Engine):
    target: Name | None = Field(default=None, description="A platform by name.", examples=["spotify"])
    target_lufs: Number | None = Field(default=None, description="-40 to -5 LUFS.", examples=[-14])
    true_peak_limit_db: Number | None = _named(
        "true_peak_limit_db", "ceiling", description="-20 to 0 dBTP.", examples=[-1]
    )
    sample_rate: Literal["keep", "44100", "48000", "96000", 44100, 48000, 96000] | None = None
    bit_depth: BitDepth | None = None
    amount: Number | None = Field(default=None, description="0..1")
    replaygain: bool | None = None
    policy: Literal["band", "rules", "neutral", "mix", "learned"] | None = None
    settings: dict[Name, Number] | None = Field(
        default=None,
        max_length=300,
        description="Parameters of the chain.",
        examples=[{"low_band.comp_ratio": 2}],
    )


class MasterOptions(_Mastering):
    """Options of a master."""

    preset: Literal["streaming", "loud", "reference"] | None = _named("preset", "intent")
    output_format: Annotated[list[AudioFormat], Field(max_length=4)] | AudioFormat | None = _named(
        "output_format", "format"
    )
    goal: str | None = Field(default=None, max_length=500, examples=["warm, wide, less harsh"])
    amounts: Amounts | None = None
    repairs: dict[Name, Number] | None = Field(default=None, max_length=50, examples=[{"declip": 0.5}])
    reference: References | None = None
    reference_tone: References | None = None
    reference_dynamics: References | None = None
    reference_width: References | None = None
    reference_method: Literal["profile", "matchering"] | None = None
    stems_in: Annotated[list[Source], Field(max_length=100)] | None = None
    roles: dict[Name, Name] | None = Field(default=None, max_length=100)
    align: bool | None = None
    balance: Literal["keep", "auto"] | None = None
    write_stems: bool | None = None
    fade_in: Number | None = None
    fade_out: Number | None = None
    trim_silence: bool | None = None
    dual_mono: bool | None = None
    check_codecs: bool | None = None
    codec_safe: bool | None = None
    codecs: Names | None = None
    renders: int | None = Field(default=None, ge=1, le=4)
    search: int | None = Field(default=None, ge=0, le=200)
    conductor: bool | None = Field(default=None, description="Agents hear renders and better the settings.")
    until: Number | None = Field(default=None, description="With conductor: 1 to 5, the voice's grade.")
    dry_run: bool | None = None
    preview: Number | None = None


class AnalyzeOptions(Options):
    """Options of an analysis."""

    dual_mono: bool | None = None


class _Splitting(_Engine):
    output_format: AudioFormat | None = _named("output_format", "format")
    sample_rate: Literal["keep", "44100", "48000", 44100, 48000] | None = None
    bit_depth: BitDepth | None = None
    normalize: bool | None = _named("normalize", "normalise")
    shifts: int | None = Field(default=None, ge=1, le=10)


class VocalsOptions(_Splitting):
    """Options of a split into vocals and instrumental."""


class SplitOptions(_Splitting):
    """Options of a split into stems."""

    stems: Literal[2, 4, 5, 6, "2", "4", "5", "6"] | None = None


class RestoreOptions(_Engine):
    """Options of the repairs alone."""

    output_format: AudioFormat | None = _named("output_format", "format")
    bit_depth: BitDepth | None = None
    only: Names | None = None
    without: Names | None = None
    amounts: dict[Name, Number] | None = Field(default=None, max_length=50, examples=[{"declick": 0.5}])
    dry_run: bool | None = None


class AlbumOptions(_Mastering):
    """Options of an album."""

    output_format: AudioFormat | None = _named("output_format", "format")
    within: Number | None = None
    tone: Number | None = None
    write_cue: bool | None = None
    gap: Number | None = None
    cue: UploadId | None = None


LIBRARY_NAMES: Mapping[str, str] = {
    "preset": "intent",
    "target_lufs": "target",
    "true_peak_limit_db": "ceiling",
    "output_format": "format",
    "normalize": "normalise",
}
"""Options that the library calls otherwise."""

_AGAIN = {library: name for name, library in LIBRARY_NAMES.items()}


def names_of(kind: str, options: Mapping[str, Any]) -> dict[str, str]:
    """The service's names of options by the library's, for sentences about them."""
    names = {**_AGAIN, "overrides": "repairs" if options.get("repairs") else "settings"}
    if "target" in options:
        del names["target"]
    if kind == "album":
        names["album_loudness"] = "target_lufs" if "target_lufs" in options else "target"
    return {**names, "stems": "write_stems"} if kind == "master" else names


def given(options: BaseModel) -> dict[str, Any]:
    """The options that were given, by the service's names, as JSON."""
    return options.model_dump(mode="json", by_alias=True, exclude_none=True)


def plain_keywords(kind: str, options: Mapping[str, Any]) -> dict[str, Any]:
    """The options as the library's keywords, but for those that name files.

    Raises:
        Problem: two that exclude each other, or a setting that is none of the chain.
    """
    if "target" in options and "target_lufs" in options:
        raise Problem(
            "usage", "target and target_lufs name the loudness twice: give one", field="target_lufs"
        )
    keywords: dict[str, Any] = {}
    for name, value in options.items():
        if name in _OF_FILES:
            continue
        if name in ("settings", "repairs"):
            keywords.setdefault("overrides", {}).update(_overrides(name, value))
        elif name == "amounts" and kind == "master":
            keywords.update(value)
        else:
            keywords[LIBRARY_NAMES.get(name, name)] = value
    if kind == "album" and "target" in keywords:
        keywords["album_loudness"] = keywords.pop("target")
    if kind == "restore":
        keywords.pop("format", None)
    return keywords


_OF_FILES = frozenset(
    (
        "reference",
        "reference_tone",
        "reference_dynamics",
        "reference_width",
        "stems_in",
        "cue",
        "write_stems",
    )
)
REFERENCES = ("reference", "reference_tone", "reference_dynamics", "reference_width")


def uploads_named(options: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """The files that options name, each with its option's name: an upload's id, or a file of a job."""
    for name in REFERENCES:
        for row in options.get(name, ()):
            if "upload" in row:
                yield name, row["upload"]
    for source in options.get("stems_in", ()):
        yield "stems_in", source
    if "cue" in options:
        yield "cue", options["cue"]


def _overrides(name: str, values: Mapping[str, float]) -> dict[str, float]:
    """Parameters of the chain alone: what else `overrides` reach is the service's to set."""
    from mixagent.pipeline.chain.parameters import REPAIR, STEM_NAMES, ParameterSpace

    begin = f"{REPAIR}." if name == "repairs" else ""
    table = ParameterSpace.for_stems(STEM_NAMES)
    for parameter in values:
        if f"{begin}{parameter}" not in table:
            what = "repair" if begin else "parameter of the chain"
            raise Problem("usage", f"{parameter!r} is no {what}", field=name)
    return {f"{begin}{parameter}": value for parameter, value in values.items()}
