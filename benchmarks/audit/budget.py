"""The error budget of a score: how far it moves by things that nobody reports, each changed alone.

Batch, threads, precision and device are of the machine; JPEG and a resize are of the files; seed, number of samples and
choice of the reference are of the protocol. What a second decimal means is read off the seeds' row.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from benchmarks.audit.attribute import AuditRow
from benchmarks.audit.tables import AuditTable
from benchmarks.images.reading import Images, Subset, decode
from sid.fault import Fault

if TYPE_CHECKING:
    from PIL.Image import Image

BATCH = 32
BATCHES, QUALITIES, FILTERS = (1, 7), (95, 75), ("lanczos", "bicubic", "bilinear", "box")
PRECISIONS = ("float16", "bfloat16")
SHARES = {"half": 1 / 2, "a quarter": 1 / 4}  # of the samples
FEWER = 30_000 / 40_504  # of the reference: COCO's two counts


@dataclass(frozen=True)
class BudgetCase:
    """What is scored, and how; `measure` makes values of it."""

    images: Images
    captions: tuple[str, ...] = ()
    reference: Images | None = None
    batch: int = BATCH
    device: str = "cpu"
    precision: str = "float32"  # of the images' features

    def first(self, count: int) -> BudgetCase:
        """The same with fewer images."""
        return replace(self, images=self.images.first(count), captions=self.captions[:count])


Values = Mapping[str, float | str]  # label -> a score, or the reason why there is none
Measure = Callable[[BudgetCase], Values]


def budget(
    case: BudgetCase,
    measure: Measure,
    seeds: Sequence[Images] = (),
    label: str = "",
    progress: Callable[[str, float | None], None] = lambda what, left: None,
) -> list[AuditTable]:
    """A table for each score: its value, and by how much each change moves it.

    Args:
        case: what is scored.
        measure: makes the scores.
        seeds: samples of other seeds, as many as the images and with the same captions.
        label: of the rows.
        progress: called with every change.
    """
    progress("as it is", None)
    plain = measure(case)
    tables = {name: AuditTable(f"Error budget of {name}", "score; deviation by one change") for name in plain}
    for name, value in plain.items():
        tables[name].rows.append(_row("as it is", value, value, label))
    for words, changed, threads in _changes(case):
        progress(words, None)
        if isinstance(changed, str):
            values: Values = dict.fromkeys(plain, changed)
        else:
            with _threads(threads):
                values = measure(changed)
        for name, value in plain.items():
            tables[name].rows.append(_row(words, values.get(name, "not computed"), value, label))
    others: dict[str, list[float]] = {name: [] for name in plain}
    for number, images in enumerate(seeds, 1):
        if len(images) != len(case.images):
            raise Fault(f"{images.source} holds {len(images)} images of another seed, {len(case.images)} are needed")
        progress(f"samples of another seed, {number}", None)
        for name, value in measure(replace(case, images=images)).items():
            tables[name].rows.append(_row(f"samples of another seed, {number}", value, plain[name], label))
            others[name] += [] if isinstance(value, str) else [value]
    for name, value in plain.items():
        tables[name].rows[0].note = _meaning([*others[name], *([] if isinstance(value, str) else [value])])
    return list(tables.values())


def _meaning(values: list[float]) -> str:
    if len(values) < 2:
        return "samples of other seeds were not given: what a digit means is unknown"
    spread = float(np.std(values, ddof=1))
    return f"standard deviation over {len(values)} seeds {spread:.2g}: a difference under {2 * spread:.2g} says nothing"


def _row(words: str, value: float | str, start: float | str, label: str) -> AuditRow:
    if isinstance(value, str) or isinstance(start, str):
        reason = value if isinstance(value, str) else str(start)
        return AuditRow(words, None, verdict="unavailable", note=reason, label=label)
    return AuditRow(words, value, value - start, verdict="", label=label)


def _changes(case: BudgetCase) -> Iterator[tuple[str, BudgetCase | str, int]]:
    """(words, the changed case or why it can't be had here, threads or 0 for those that there are)."""
    import torch

    for size in BATCHES:
        yield f"batch: {size} instead of {case.batch}", replace(case, batch=size), 0
    most = torch.get_num_threads()
    yield "threads: 1", (case if most > 1 else "there is one thread here"), 1
    for precision in PRECISIONS:
        yield f"precision: features of the images in {precision}", replace(case, precision=precision), 0
    other = "cuda" if case.device == "cpu" else "cpu"
    there = other == "cpu" or torch.cuda.is_available()
    yield f"device: {other}", (replace(case, device=other) if there else "no GPU here"), 0
    for quality in QUALITIES:
        yield f"JPEG: quality {quality}", replace(case, images=Altered(case.images, _stored(quality))), 0
    for name in FILTERS:
        altered = Altered(case.images, _enlarged_and_back(name))
        yield f"resize: doubled and halved by {name}", replace(case, images=altered), 0
    for words, share in SHARES.items():
        count = int(len(case.images) * share)
        yield f"samples: {words}, {count}", (case.first(count) if count > 1 else "too few images"), 0
    if case.reference is not None:
        whole = len(case.reference)
        fewer, half = int(whole * FEWER), whole // 2
        yield f"reference: {fewer} of {whole}", replace(case, reference=case.reference.first(fewer)), 0
        second = Subset(case.reference, range(half, whole))
        yield f"reference: the last {whole - half} of {whole}", replace(case, reference=second), 0


@contextmanager
def _threads(count: int) -> Iterator[None]:
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(count or before)
    try:
        yield
    finally:
        torch.set_num_threads(before)


class Altered(Images):
    """Images whose decoded pixels a function changes."""

    def __init__(self, whole: Images, change: Callable[[Image], Image]):
        super().__init__(whole.source)
        self.whole, self.change, self.names = whole, change, whole.names

    def read(self, index: int) -> np.ndarray:
        from PIL import Image

        pixels = decode(self.whole.content(index), self.names[index])[0]
        array: Any = pixels[0] if len(pixels) == 1 else pixels.transpose(1, 2, 0)
        changed = np.asarray(self.change(Image.fromarray(np.ascontiguousarray(array))))
        return changed[None] if changed.ndim == 2 else np.ascontiguousarray(changed.transpose(2, 0, 1))


def _stored(quality: int) -> Callable[[Image], Image]:
    """Through a JPEG file of Pillow's."""

    def through(image: Image) -> Image:
        from PIL import Image as Opened

        buffer = io.BytesIO()
        image.save(buffer, "JPEG", quality=quality)
        return Opened.open(buffer)

    return through


def _enlarged_and_back(name: str) -> Callable[[Image], Image]:
    """To twice the size and back by one kernel: what storing at another resolution does."""

    def through(image: Image) -> Image:
        from PIL import Image as Opened

        kernel = Opened.Resampling[name.upper()]
        return image.resize((2 * image.width, 2 * image.height), kernel).resize(image.size, kernel)

    return through
