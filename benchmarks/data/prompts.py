"""Lists of prompts for protocols and trainings: the published ones, how a list is read, and how its sha256 is checked.

Some published lists are also spread with the outer blanks of every caption stripped; `read` restores them from COCO's
annotation if it is there, so that the sha256 agrees.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks import assets
from benchmarks.assets import DataFile
from benchmarks.data.open import open_dataset
from sid.fault import Fault, parsed

if TYPE_CHECKING:
    from benchmarks.suite.protocol import PromptSource


COCO_TERMS = "CC BY 4.0 (annotations of COCO)"
DMD2 = "main/coco_eval of the DMD2 code"
STYLES = ("anime", "concept-art", "paintings", "photo")


@dataclass(frozen=True)
class PromptList:
    """A list that several projects use; its bytes are known where `sha256` is set."""

    name: str
    file: DataFile
    count: int = 0  # of prompts; 0 if nobody states it
    sha256: str = ""  # of the lines as a text file with a line feed after each
    outer_blanks: int = 0  # prompts that begin or end with a blank, which is part of them
    by_image: bool = False  # its file may hold image ids of val2014 instead: the first caption of each is the prompt


LISTS = {
    prompts.name: prompts
    for prompts in (
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
                "5,000 captions of COCO, or as many image ids of val2014",
                ("coco-5k.txt",),
                COCO_TERMS,
                "whoever chooses them: no paper that was read says which they are",
            ),
            5_000,
            by_image=True,
        ),
        PromptList(
            "hpsv2",
            DataFile(
                "the HPSv2 benchmark, a list for each of four styles", ("hpsv2",), "Apache-2.0", "the HPSv2 code's data"
            ),
            3_200,
        ),
        *(
            PromptList(
                f"hpsv2-{style}",
                DataFile(
                    f"the prompts of HPSv2's style {style}",
                    (f"hpsv2/{style}.json",),
                    "Apache-2.0",
                    "the HPSv2 code's data",
                ),
                800,
            )
            for style in STYLES
        ),
        PromptList(
            "geneval",
            DataFile(
                "GenEval's prompts",
                ("generation_prompts.txt", "geneval.txt"),
                "the GenEval code's",
                "https://github.com/djghosh13/geneval, prompts/generation_prompts.txt",
            ),
            553,
            "55b6e3650e980c13daf30569eb666e000faf19bfc2b7b4cbe999fcdb7aa9d680",
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
        PromptList(
            "midjourney-v6-llava",
            DataFile(
                "SiD-DiT's training prompts: LLaVA's captions of Midjourney-v6 pictures",
                ("midjourney-v6-llava.txt",),
                "not stated in what was read",
                "the SiD-DiT code's README names the set",
            ),
        ),
    )
}


def list_named(name: str, file: str | None = None) -> PromptList:
    """The published list of that name; any other is the text file NAME.txt, or the given file."""
    names = (Path(file).name if file else f"{name}.txt",)
    unknown = DataFile(f"the prompts '{name}'", names, "licence unknown", "whoever made the list")
    return LISTS.get(name) or PromptList(name, unknown)


def read(name: str, given: Path | None = None, sha256: str = "", count: int = 0) -> list[str]:
    """The prompts in order, with their outer blanks.

    Args:
        name: of a published list, or any name.
        given: the file; without it, the list is looked for in the data folders.
        sha256: as a protocol states it, instead of the published list's.
        count: likewise.
    """
    known = list_named(name)
    path = given if given is not None else assets.locate_data("prompts", known.file)
    if not path.exists():
        raise assets.Missing.data("prompts", known.file, [path.parent])
    prompts = read_lines(path)
    if names_images(known, prompts):
        prompts = _captions_of(prompts, path)
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


def names_images(known: PromptList, lines: list[str]) -> bool:
    """Whether a list holds image ids where it may hold captions."""
    return known.by_image and all(line.strip().isdecimal() for line in lines)


def captions_behind(known: PromptList, path: Path) -> Path | None:
    """COCO's annotation, where the list at the path holds image ids, whose captions it decides; None without it."""
    from benchmarks.data.coco2014 import CAPTIONS, Coco2014

    try:
        return Coco2014().find(CAPTIONS) if known.by_image and names_images(known, read_lines(path)) else None
    except Fault:
        return None  # whoever reads the list reports its fault


def _captions_of(ids: list[str], path: Path) -> list[str]:
    """The first caption of each image, from COCO's annotation of val2014."""
    from benchmarks.data.coco2014 import CAPTIONS, Coco2014, read_annotation

    coco = Coco2014()
    captions = read_annotation(coco.locate(CAPTIONS)).captions
    by_id = {int(Path(name).stem.rpartition("_")[2]): texts[0] for name, texts in captions.items()}
    unknown = [image for image in ids if int(image) not in by_id]
    if unknown:
        raise Fault(f"{path}: {len(unknown):,} of its image ids are not of val2014, the first is {unknown[0].strip()}")
    return [by_id[int(image)] for image in ids]


def digest(prompts: list[str]) -> str:
    """sha256 of the list as a text file with a line feed after every prompt."""
    return hashlib.sha256("".join(f"{prompt}\n" for prompt in prompts).encode()).hexdigest()


def read_lines(path: Path) -> list[str]:
    """The prompts of a text file (one a line), a JSON or pickled list (no code in it runs), or a folder of styles."""
    if path.is_dir():
        lacking = [style for style in STYLES if not (path / f"{style}.json").is_file()]
        if lacking:
            raise Fault(
                f"{path} lacks {', '.join(f'{style}.json' for style in lacking)}: a list for each style is needed"
            )
        return [prompt for style in STYLES for prompt in read_lines(path / f"{style}.json")]
    try:
        if path.suffix == ".pkl":
            return _texts(_unpickled(path), path)
        text = path.read_text(encoding="utf-8")
        if path.suffix == ".json":
            return _texts(parsed(text), path)
    except (UnicodeDecodeError, ValueError) as error:
        raise Fault(f"{path} can't be read as a list of prompts: {error}") from None
    # Only a line feed ends a line: a caption may contain any other blank.
    return _texts(text.removesuffix("\n").split("\n") if text else [], path)


def _texts(prompts: Any, path: Path) -> list[str]:
    if not isinstance(prompts, list) or not all(isinstance(prompt, str) for prompt in prompts):
        raise Fault(f"{path} is no list of texts")
    if not prompts:
        raise Fault(f"{path} holds no prompt")
    empty = [number for number, prompt in enumerate(prompts, 1) if not prompt.strip()]
    if empty:
        raise Fault(f"{path} has {len(empty)} empty prompts, the first in line {empty[0]}")
    return prompts


def _unpickled(path: Path) -> Any:
    import io

    from sid.teachers.pickles.inert_pickle import Policy, read

    try:
        return read(io.BytesIO(path.read_bytes()), Policy())
    except Fault as fault:
        raise Fault([f"{path} is no pickled list of texts: {sentence}" for sentence in fault.sentences]) from None


def _restored(prompts: list[str], known: PromptList) -> list[str] | None:
    """A stripped list with the blanks of COCO's annotation; None without the annotation."""
    from benchmarks.data.coco2014 import CAPTIONS, Coco2014, read_annotation
    from benchmarks.data.open import datasets

    coco = datasets()["coco2014"]
    path = coco.find(CAPTIONS) if isinstance(coco, Coco2014) and known.outer_blanks else None
    if path is None:
        return None
    written: dict[str, str] = {}
    try:
        captions = read_annotation(path).all_captions
    except Fault:
        return None  # whoever needs the annotation reports its fault; here the list's own fault is reported
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


def prompt_list(section: PromptSource) -> list[str]:
    """The prompts of a suite's section in order: a published list, a data set's distinct captions, or a file's lines.

    A protocol's `count` takes the first ones of a longer list. A list whose sha256 is stated must have exactly `count`.
    """
    count = getattr(section, "count", None)
    if section.data is not None:
        return list(dict.fromkeys(open_dataset(section.data).captions(section.split)))[:count]
    given = Path(section.file) if section.file is not None else None
    stated = section.sha256 or list_named(section.name or "").sha256
    return read(section.name or "prompts", given, section.sha256, (count or 0) if stated else 0)[:count]
