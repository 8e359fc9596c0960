"""The release that a merchant acknowledged and did not fit its heads to yet: one file, whole or absent."""

import json
import threading
from pathlib import Path

import torch

from shared_model.errors import ProtocolError, StateError
from shared_model.files import read_tensors, write_tensors
from shared_model.protocol import Instruction, SharedArrays


class Inbox:
    """At most one release, on the disk, so that one that was acknowledged survives a restart.

    Methods may be called from any thread: what `forget` removes is what it looked at.
    """

    def __init__(self, path: Path) -> None:
        """Keep it in the file at `path`."""
        self._path = path
        self._changing = threading.Lock()

    def put(self, instruction: Instruction, arrays: SharedArrays) -> None:
        """Keep a release in the place of the one before.

        Raises:
            OSError: The disk is full or not writable; the one before is still there.
        """
        tensors = {name: torch.from_numpy(array) for name, array in arrays.items()}
        with self._changing:
            write_tensors(self._path, tensors, {"instruction": json.dumps(instruction.to_mapping())})

    def waiting(self) -> tuple[Instruction, SharedArrays] | None:
        """Return the release that is kept, if there is one.

        Raises:
            StateError: The file is damaged.
        """
        try:
            tensors, metadata = read_tensors(self._path)
            instruction = Instruction.from_mapping(json.loads(metadata["instruction"]))
        except FileNotFoundError:
            return None
        except (KeyError, ValueError, ProtocolError) as error:
            raise StateError(f"{self._path} is damaged, remove it: {error}") from error
        return instruction, {name: tensor.numpy() for name, tensor in tensors.items()}

    def forget(self, instruction: Instruction) -> None:
        """Remove a release, unless another one is kept by now (errors as in `waiting`)."""
        with self._changing:
            kept = self.waiting()
            if kept is not None and kept[0] == instruction:
                self._path.unlink(missing_ok=True)
