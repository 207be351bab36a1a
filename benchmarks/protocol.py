"""How a score is taken: what a protocol file fixes, so that two numbers can be compared."""

from __future__ import annotations

from typing import Any

from pydantic import Field, field_validator

from benchmarks.strict import Count, Name, Number, Strict, Whole, numbers


class Reference(Strict):
    """The images that a metric compares with."""

    data: str
    split: str


class Column(Strict):
    """One column of the table: a metric on features against a reference."""

    metric: str = Field(description="a metric of `sidbench list metrics`")
    features: str = Field(pattern=r"^[^.]+\.[^.]+$", description="<extractor>.<output>")
    reference: Reference | None = None
    decimals: Whole = Field(2, le=10, description="digits after the point, as the table prints them")
    tolerance: Number = Field(0.0, ge=0, description="relative deviation that still counts as reproduced")
    options: dict[str, Any] = Field({}, description="of the metric")

    _numbers = field_validator("options")(numbers)

    @property
    def extractor(self) -> str:
        return self.features.partition(".")[0]

    @property
    def output(self) -> str:
        return self.features.partition(".")[2]


class Protocol(Strict):
    """Samples, their seed and the columns that are computed from them."""

    name: Name
    extends: str | None = None
    samples: Count = Field(description="images that are generated and scored")
    batch: Count = Field(1000, description="images at a time; changes no number")
    seed: Whole = Field(0, description="of the samples' noise, the same for every entry")
    metrics: dict[Name, Column] = Field(min_length=1)
