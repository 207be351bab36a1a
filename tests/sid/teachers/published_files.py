"""Whole files of the published layouts: what the tests of the importer are fed."""

import io
import zipfile

from tests.sid.teachers.pickle_opcodes import Call, Global, PersistentId, module_state, persistent, pickled

TINY = {
    "img_resolution": 16,
    "img_channels": 3,
    "label_dim": 10,
    "model_type": "SongUNet",
    "model_channels": 8,
    "channel_mult": [1, 2],
    "num_blocks": 1,
    "augment_dim": 9,
    "dropout": 0.13,
    "resample_filter": [1, 1],
}


def archive_of(value, members: dict[str, bytes], root: str = "training-state") -> bytes:
    """A training-state .pt: torch's archive of one pickle and its storages."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr(f"{root}/data.pkl", pickled(value, 2))
        archive.writestr(f"{root}/byteorder", "little")
        for name, content in members.items():
            archive.writestr(name if "/" in name else f"{root}/data/{name}", content)
    return file.getvalue()


def archived(key: str, elements: int, shape: tuple) -> Call:
    storage = PersistentId(("storage", Global("torch", "FloatStorage"), key, "cuda:0", elements))
    hooks = Call(Global("collections", "OrderedDict"))
    return Call(Global("torch._utils", "_rebuild_tensor_v2"), (storage, 0, shape, (1,) * len(shape), True, hooks))


def one_weight(weight, source: str = "") -> Call:
    return persistent("EDMPrecond", module_state({"weight": weight}, {}, {}, _init_kwargs=TINY), source)
