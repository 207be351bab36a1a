"""The keys of a protocol file: what must be equal for two numbers to be comparable."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field, field_validator, model_validator

from benchmarks.suite.strict import Count, Name, Number, Strict, Whole, numbers
from sid.discovery import unknown


class GeometrySection(Strict):
    """Crop and resize before the network's own; see `benchmarks.images.geometry.Geometry`."""

    crop: Literal["none", "centre"] = Field("none", description="centre: to the short side")
    side: Whole = Field(0, description="pixels of the square it is resized to; 0: as it is")
    filter: Literal["lanczos", "bicubic", "bilinear", "box"] = "lanczos"
    rounding: Literal["floor", "half-even"] = Field(
        "floor", description="of the crop's margin, where it is no whole pixel; half-even: as torchvision's center_crop"
    )


class Rules(Strict):
    """How noise, pixels and files are made, where a published number depends on it."""

    size: Count | None = Field(None, description="pixels a side of the models' images; others are refused")
    seeding: Literal["image", "batch"] = Field(
        "image",
        description="how the source draws noise; here it is drawn by sample index, which the table notes",
    )
    quantiser: Literal["round", "truncate"] = Field("round", description="float to uint8, see sid.sampling.to_uint8")
    file: Literal["lossless", "jpeg-75"] = Field(
        "lossless", description="what the images are stored as before they are scored"
    )


class PromptSource(Strict):
    """Where prompts come from: exactly one of `name`, `data` and `file`."""

    name: Name | None = Field(None, description="a published list of `sidbench data`")
    data: str | None = Field(None, description="a data set, whose captions are taken once each")
    split: str = Field("train", description="of that data set")
    file: str | None = Field(None, description="a text file, one prompt a line")
    sha256: str = Field("", pattern=r"^([0-9a-f]{64})?$", description="of the text file; empty if it is not known")

    @model_validator(mode="after")
    def _one(self) -> PromptSource:
        if sum(part is not None for part in (self.name, self.data, self.file)) != 1:
            raise ValueError("must name exactly one of name, data and file")
        return self


class Prompts(PromptSource):
    """Captions, one per image, in this order; outer blanks are part of them. A shorter list is repeated."""

    count: Count


class Selection(Strict):
    """How the published number comes from several trials."""

    trials: Count = 1
    rule: Literal["single", "mean", "minimum"] = "single"


class Reference(Strict):
    """The images that a metric compares with."""

    data: str
    split: str


class Column(Strict):
    """One column of the table: a metric on features against a reference."""

    metric: str = Field(description="a metric of `sidbench list metrics`")
    features: str = Field(pattern=r"^.+\.[^.]+$", description="<extractor>.<output>; an extractor's name may have dots")
    reference: Reference | None = None
    decimals: Whole = Field(2, le=10, description="digits after the point in the table")
    tolerance: Number = Field(0.0, ge=0, description="relative deviation that still counts as reproduced")
    options: dict[str, Any] = Field({}, description="of the metric")
    geometry: GeometrySection = Field(
        GeometrySection(), description="before the extractor's own resize, of images and reference"
    )
    seed: Whole = Field(0, description="of an extractor that is trained here")
    only: PromptSource | None = Field(None, description="score the images of these prompts alone")
    note: str = Field("", description="what a reader of the number must know; printed under the table")

    _numbers = field_validator("options")(numbers)

    @property
    def extractor(self) -> str:
        return self.features.rpartition(".")[0]

    @property
    def output(self) -> str:
        return self.features.rpartition(".")[2]


class FrontAxes(Strict):
    """Two columns that are plotted against each other, such as FID against CLIP."""

    x: Name = Field(description="a column of this protocol")
    y: Name = Field(description="another one")


class Protocol(Strict):
    """Samples, their seed and the columns that are computed from them."""

    name: Name
    title: str = ""
    source: str = Field("", description="where the rules are stated")
    extends: str | None = None
    samples: Count = Field(description="images that are generated and scored")
    batch: Count = Field(1000, description="images at a time; changes no number")
    shard: Count | None = Field(
        None, description="images whose features are stored together: a killed run resumes there"
    )
    keep_images: bool = Field(False, description="stores the shards' images too, as lossless zips beside the state")
    seed: Whole = Field(0, description="of the samples' noise, the same for every entry")
    rules: Rules = Rules()
    prompts: Prompts | None = None
    selection: Selection = Selection()
    alternatives: dict[Name, Selection] = Field({}, description="other published rules, reported under their label")
    metrics: dict[Name, Column] = Field(min_length=1)
    front: FrontAxes | None = Field(None, description="plotted by series of entries; decides no score")

    @property
    def in_shards(self) -> bool:
        """Whether its samples are made in several shards, which several processes can share."""
        return self.shard is not None and self.shard < self.samples

    @model_validator(mode="after")
    def _front_of_two_columns(self) -> Protocol:
        if self.front is None:
            return self
        for name in (self.front.x, self.front.y):
            if name not in self.metrics:
                raise ValueError(f"front: {unknown('column', name, self.metrics)}")
        if self.front.x == self.front.y:
            raise ValueError(f"front: x and y must be two columns (got '{self.front.x}' twice)")
        return self
