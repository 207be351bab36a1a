"""Lists of prompts that protocols and trainings name: where they lie, how they are read, and what proves them."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks import assets
from benchmarks.assets import DataFile
from benchmarks.data.open import open_dataset
from sid.fault import Fault

if TYPE_CHECKING:
    from benchmarks.suite.protocol import PromptSource


COCO_TERMS = "CC BY 4.0 (annotations of COCO)"
DMD2 = "main/coco_eval of the DMD2 code"
STYLES = ("anime", "concept-art", "paintings", "photo")


@dataclass(frozen=True)
class PromptList:
    """A list that many use, so that its bytes can be known."""

    name: str
    file: DataFile
    count: int = 0  # lines; 0 where nobody states it
    sha256: str = ""  # of the lines as a text file with a line feed after each
    outer_blanks: int = 0  # lines that begin or end with a blank, which is part of them


LISTS = {
    one.name: one
    for one in (
        PromptList(
            "coco2014-30k",
            DataFile(
                "the 30,000 captions of COCO-2014",
                ("captions_coco14_test.txt", "captions_coco14_test.pkl", "captions.txt"),
                COCO_TERMS,
                f"{DMD2}, prompts/captions.txt of the SiD-LSG code",
            ),
            30_000,
            "edabd2a556026cbf5d36a5fffa35ad43d7ba71b72f6d640b727c1edefb7f1945",
            3_488,
        ),
        PromptList(
            "dmd2-coco10k",
            DataFile(
                "the 10,000 prompts of DMD2's SDXL scores", ("all_prompts.pkl", "all_prompts.txt"), COCO_TERMS, DMD2
            ),
            10_000,
        ),
        PromptList(
            "coco-5k",
            DataFile(
                "5,000 prompts of COCO", ("coco-5k.txt",), COCO_TERMS, "no paper that was read says which they are"
            ),
            5_000,
        ),
        PromptList(
            "hpsv2",
            DataFile(
                "the HPSv2 benchmark, a list for each of four styles", ("hpsv2",), "Apache-2.0", "the HPSv2 code's data"
            ),
            3_200,
        ),
        PromptList(
            "aesthetic",
            DataFile(
                "training prompts of LAION-Aesthetic",
                ("aesthetic.txt", "captions_laion_score6.25.pkl"),
                "CC BY 4.0 (LAION's metadata)",
                "the DMD2 code's README (6.25+) or the SiD-LSG code's README (6+)",
            ),
        ),
    )
}


def described(name: str, file: str | None = None) -> PromptList:
    """The list of that name; one that nobody else knows is a text file called as it is, or the given file."""
    names = (Path(file).name if file else f"{name}.txt",)
    unknown = DataFile(f"the prompts '{name}'", names, "licence unknown", "whoever made the list")
    return LISTS.get(name) or PromptList(name, unknown)


def read(name: str, given: Path | None = None, sha256: str = "", count: int = 0) -> list[str]:
    """The prompts in order, outer blanks kept. `sha256` and `count` are what a protocol states of them."""
    known = described(name)
    path = given if given is not None else assets.locate_data("prompts", known.file)
    if not path.exists():
        raise assets.MissingData("prompts", known.file, [path.parent])
    prompts = lines_of(path)
    sha256, count = sha256 or known.sha256, count or known.count
    if sha256 and digest(prompts) == sha256:
        return prompts
    restored = _restored(prompts, known) if sha256 and len(prompts) == count else None
    if restored is not None and digest(restored) == sha256:
        return restored
    if count and len(prompts) != count:
        less = f"{count - len(prompts):,} are missing" if len(prompts) < count else f"{len(prompts) - count:,} too many"
        raise Fault(f"{path} holds {len(prompts):,} prompts, {name} has {count:,}: {less}")
    if sha256:
        raise Fault(f"{path} is not {name}: {_difference(prompts, known, sha256)}")
    return prompts


def digest(prompts: list[str]) -> str:
    """sha256 of the list as a text file with a line feed after every prompt."""
    return hashlib.sha256("".join(f"{prompt}\n" for prompt in prompts).encode()).hexdigest()


def lines_of(path: Path) -> list[str]:
    """A text file line by line, a JSON list, a pickled list of texts (nothing in it runs), or a folder of styles."""
    if path.is_dir():
        lacking = [style for style in STYLES if not (path / f"{style}.json").is_file()]
        if lacking:
            raise Fault(
                f"{path} lacks {', '.join(f'{style}.json' for style in lacking)}: a list for each style is needed"
            )
        return [prompt for style in STYLES for prompt in lines_of(path / f"{style}.json")]
    try:
        if path.suffix == ".pkl":
            return _texts(_unpickled(path), path)
        text = path.read_text(encoding="utf-8")
        if path.suffix == ".json":
            return _texts(json.loads(text), path)
    except (UnicodeDecodeError, ValueError) as error:
        raise Fault(f"{path} can't be read as a list of prompts: {error}") from None
    # Only the line feed ends a line: a caption may hold any other blank.
    return _texts(text.removesuffix("\n").split("\n") if text else [], path)


def _texts(told: Any, path: Path) -> list[str]:
    if not isinstance(told, list) or not all(isinstance(prompt, str) for prompt in told):
        raise Fault(f"{path} is no list of texts")
    if not told:
        raise Fault(f"{path} holds no prompt")
    empty = [number for number, prompt in enumerate(told, 1) if not prompt.strip()]
    if empty:
        raise Fault(f"{path} has {len(empty)} empty prompts, the first in line {empty[0]}")
    return told


def _unpickled(path: Path) -> Any:
    import io

    from sid.teachers.pickles.inert_pickle import Policy, read

    try:
        return read(io.BytesIO(path.read_bytes()), Policy())
    except Fault as fault:
        raise Fault([f"{path} is no pickled list of texts: {sentence}" for sentence in fault.sentences]) from None


def _restored(prompts: list[str], known: PromptList) -> list[str] | None:
    """A stripped list with the blanks that the annotation has; None without it, or where that does not help."""
    from benchmarks.data.coco2014 import CAPTIONS, Coco2014
    from benchmarks.data.open import datasets
    from benchmarks.data.pairs import read_annotation

    coco = datasets()["coco2014"]
    path = coco.find(CAPTIONS) if isinstance(coco, Coco2014) and known.outer_blanks else None
    if path is None:
        return None
    written: dict[str, str] = {}
    try:
        captions = read_annotation(path).every
    except Fault:
        return None  # who needs the annotation says what is wrong with it; here the list's own fault is told
    for caption in captions:
        written.setdefault(caption.strip(), caption)
    return [written.get(prompt.strip(), prompt) for prompt in prompts]


def _difference(prompts: list[str], known: PromptList, sha256: str) -> str:
    blanks = sum(prompt != prompt.strip() for prompt in prompts)
    if known.outer_blanks and not blanks:
        return f"its lines were stripped, and {known.outer_blanks:,} of the captions begin or end with a blank"
    if known.outer_blanks and blanks != known.outer_blanks:
        return f"{blanks:,} of its lines begin or end with a blank, {known.outer_blanks:,} should: it was changed"
    return f"its sha256 is {digest(prompts)}, {sha256} is needed"


def prompt_list(asked: PromptSource) -> list[str]:
    """The prompts in order: a published list, a data set's captions each once, or a file's lines.

    A protocol's `count` takes the first ones of a longer list. A list whose bytes are stated is never cut or repeated.
    """
    count = getattr(asked, "count", None)
    if asked.data is not None:
        return list(dict.fromkeys(open_dataset(asked.data).captions(asked.split)))[:count]
    given = Path(asked.file) if asked.file is not None else None
    stated = asked.sha256 or described(asked.name or "").sha256
    return read(asked.name or "prompts", given, asked.sha256, (count or 0) if stated else 0)[:count]
