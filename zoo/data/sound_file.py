"""Sound files, opened with care: what a header promises is believed only where the samples are there."""

from __future__ import annotations

import os
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from zoo.errors import ZooError
from zoo.tokenizers.audio.waveform import Samples, check_finite, check_rate

if TYPE_CHECKING:
    from soundfile import SoundFile

BLOCK = 1 << 16
"""Samples (of all channels together) that are read at once."""
LOUDEST = 16.0
"""Largest sample of a file of floats that is taken for a loud one (and clipped to 1) and not for another scale."""
CONTAINERS = (b"RIFF", b"RIFX", b"RF64", b"riff", b"FORM", b"fLaC", b"OggS", b"caff", b".snd")
"""First bytes of what is read: wav (RF64 and Wave64 too), AIFF, FLAC, Ogg (Vorbis, Opus), CAF, AU; and MP3."""
SHORT = re.compile(r"^\s*(?:data|SSND|riff|Riff size|Data Size)\s*:\s*(\d+) \(should be (\d+)\)", re.MULTILINE)
"""What libsndfile notes of a header that promises more bytes than there are."""
ENDLESS = 0x7FFF_0000
"""Bytes promised by programs that write into a pipe and cannot know: this many or more."""
TAIL = 4
"""Seconds at the end of an Ogg file that are not sought in: where its last page is cut, libsndfile misses the place."""

_silence = threading.Lock()


class OpenSound:
    """A sound file that is open for reading.

    Attributes:
        rate: samples per second.
        channels: number of channels.
        frames: samples of each channel that the header promises; what is read may be fewer.
    """

    def __init__(self, path: Path, file: SoundFile) -> None:
        self.rate, self.channels, self.frames = int(file.samplerate), int(file.channels), int(file.frames)
        self._path, self._file = path, file
        self._noisy = file.format == "MP3"  # mpg123 writes notes of its own to standard error
        self._stream = file.format in ("MP3", "OGG")  # what has no length of its own is as long as it is
        self._sought = self.frames - TAIL * self.rate if file.format == "OGG" else self.frames
        try:
            check_rate(self.rate)
        except ZooError as error:
            raise ZooError(f"{path}: {error}; its header is damaged") from None
        for promised, there in SHORT.findall(file.extra_info):
            if int(there) < int(promised) < ENDLESS:
                raise ZooError(f"{path}: is cut short, {there} of {promised} bytes are there; fetch it again")

    def blocks(self) -> Iterator[Samples]:
        """Yield all samples (time, channels), float32 in [-1, 1], some at a time; louder ones are clipped.

        Raises:
            ZooError: no samples, fewer than promised, or some that are no numbers.
        """
        done = 0
        while len(block := self._read(max(1, BLOCK // self.channels), done)):
            yield block
            done += len(block)
        if not done:
            raise ZooError(f"{self._path}: holds no samples: it is empty or cut off")
        if done < self.frames and not self._stream:
            raise ZooError(f"{self._path}: is cut short, {done} of {self.frames} samples are there; fetch it again")

    def part(self, start: int, count: int) -> Samples:
        """Return samples (time, channels) from ``start`` on, fewer than ``count`` where the file ends before.

        Raises:
            ZooError: a damaged place.
        """
        sought = max(0, min(start, self._sought))
        with self._errors():
            self._file.seek(sought)
        blocks, place = [np.empty((0, self.channels), np.float32)], sought
        largest = max(1, BLOCK // self.channels)
        while place < start + count and len(block := self._read(min(start + count - place, largest), place)):
            blocks.append(block)
            place += len(block)
        return np.concatenate(blocks)[start - sought :]

    def _read(self, count: int, first: int) -> Samples:
        with self._errors():
            block: Samples = self._file.read(count, dtype="float32", always_2d=True)
        try:
            check_finite(block, first)
        except ZooError as error:
            raise ZooError(f"{self._path}: {error}") from None
        if len(block) and max(-block.min(), block.max()) > LOUDEST:
            raise ZooError(f"{self._path}: a sample is {np.abs(block).max():g}, but full scale is 1; scale it down")
        return np.clip(block, -1, 1, out=block)

    @contextmanager
    def _errors(self) -> Iterator[None]:
        with _quiet() if self._noisy else nullcontext(), _one_line(self._path):
            yield


@contextmanager
def open_sound(path: Path) -> Iterator[OpenSound]:
    """Open a sound file: wav of any width, FLAC, Ogg (Vorbis and Opus), MP3, AIFF, CAF or AU, whatever its name says.

    Raises:
        ZooError: not such a file, damaged, or cut short where its header says how long it is.
    """
    import soundfile

    known = _is_container(path)
    with _one_line(path), nullcontext() if known else _quiet():
        file = soundfile.SoundFile(path)
    with file:
        yield OpenSound(path, file)


def _is_container(path: Path) -> bool:
    """Return whether the first bytes are those of a container, False for an MP3.

    Raises:
        ZooError: they are of neither, or there are none.
    """
    try:
        if not path.is_file():  # a pipe would be waited for
            raise ZooError(f"{path}: not a file; give a sound file")
        with path.open("rb") as stream:
            head = stream.read(12)
    except OSError as error:
        raise ZooError(f"{path}: cannot be read ({error.strerror or error})") from None
    if path.suffix.lower() == ".raw":
        raise ZooError(f"{path}: numbers without a header are no readable sound file; give wav, flac, ogg or mp3")
    frame = len(head) > 2 and head[0] == 0xFF and head[1] >> 5 == 7 and head[1] >> 1 & 3 != 0 and head[2] >> 4 != 15
    if len(head) == 12 and (head.startswith(CONTAINERS) or head.startswith(b"ID3") or frame):
        return head.startswith(CONTAINERS)
    kind = "is gzipped; unpack it" if head.startswith(b"\x1f\x8b") else "give wav, flac, ogg or mp3"
    raise ZooError(f"{path}: not a readable sound file ({'it is empty' if not head else kind})")


@contextmanager
def _one_line(path: Path) -> Iterator[None]:
    import soundfile

    try:
        yield
    except (soundfile.SoundFileError, OSError, ValueError) as error:
        if isinstance(error, ZooError):
            raise
        said: Any = getattr(error, "error_string", None) or error
        raise ZooError(f"{path}: not a readable sound file ({' '.join(str(said).split()).rstrip('.')})") from None


@contextmanager
def _quiet() -> Iterator[None]:
    """Drop what C code writes to standard error meanwhile: mpg123 comments on every odd MP3, past libsndfile."""
    with _silence:
        try:
            kept, nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY)
        except OSError:  # standard error is closed: nothing to be seen
            yield
            return
        try:
            os.dup2(nowhere, 2)
            yield
        finally:
            os.dup2(kept, 2)
            os.close(kept)
            os.close(nowhere)
