"""The base of every family of teachers: how its network is built and loaded, sampled, and exported as a student."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from sid.discovery import Component, discover, pick, unknown

if TYPE_CHECKING:
    from torch import Tensor

    from sid.condition import Condition
    from sid.denoiser import Denoiser
    from sid.generator import Generator


# The samplers of a teacher at full steps, by its process; the first is the default.
SAMPLERS = {"edm": ("heun",), "vp": ("ddim", "dpm++", "pndm"), "flow": ("euler", "dpm++")}


class Teacher(Component, ABC):
    """A family of teachers, one file in `sid/teachers/` that imports no torch at module level.

    A family defines `build` and `load`. One whose samplers or exported files are those of another library overrides
    `sample` and `write_student` too.
    """

    process: ClassVar[str]  # "edm" | "vp" | "flow"
    text: ClassVar[bool] = False
    augment: ClassVar[bool] = False  # its network takes the labels of the non-leaking augmentation
    features: ClassVar[bool] = False  # offers encoder features for an adversarial term
    licence: ClassVar[str] = ""
    given: ClassVar[tuple[str, ...]] = ()  # settings of a published model that none of its files holds
    library: ClassVar[str] = "safetensors"  # that opens an exported student: "safetensors" | "diffusers"

    def licence_of(self, settings: Mapping[str, Any]) -> str:
        """The licence of the weights with these settings: a family may have published several."""
        return self.licence

    def setting_faults(self, settings: Mapping[str, Any]) -> dict[str, str]:
        """What is wrong with settings that stand beside a published model's files: a sentence for each such setting."""
        return {key: unknown(f"setting of {self.name}", key, self.given) for key in settings if key not in self.given}

    @abstractmethod
    def build(self, settings: dict[str, Any]) -> Denoiser:
        """A freshly initialised denoiser from its settings (the network's init arguments)."""

    @abstractmethod
    def load(self, folder: Path) -> Denoiser:
        """The denoiser whose files are in the folder; a Fault when they are no model of this family."""

    def sample(
        self, denoiser: Denoiser, z: Tensor, condition: Condition, steps: int, kappa: float, sampler: str
    ) -> Tensor:
        """The image of unit noise by a sampler of the family's own library; `sid.sampling` has EDM's.

        Args:
            denoiser: A denoiser of this family.
            z: Unit noise [B, C, H, W].
            condition: One condition per row of z.
            steps: Steps of the sampler.
            kappa: The scale of classifier-free guidance.
            sampler: One of SAMPLERS for the process.
        """
        raise AssertionError(f"{self.name} has no sampler {sampler}")

    def write_student(
        self,
        generator: Generator,
        folder: Path,
        title: str,
        facts: dict[str, Any],
        source: Path | str | None,
        half: bool,
    ) -> str:
        """Writes a student's files into an empty folder and returns the Python lines that sample it.

        Args:
            generator: The student, of this family.
            folder: Where the files go; it is renamed to `title` later.
            title: The folder's final name, for the lines.
            facts: Method and digest, for generator.json.
            source: The teacher's pipeline, where a library's format needs its other components.
            half: Stores the network in float16, where the format allows it.
        """
        from sid import generator as generators

        generators.save(generator, folder, facts)
        lines = [
            "from sidbench import load_student  # pip install sidbench",
            "",
            f"generator = load_student({title!r})",
            "images = generator([noise])  # unit noise [B, C, H, W]",
        ]
        return "\n".join(lines)


def family_of(name: str) -> Teacher:
    """The family of that name; a Fault with the nearest one where there is none."""
    return pick("family of teachers", discover(Teacher, ["sid.teachers"]), name)
