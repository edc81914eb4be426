"""Sounds written as wav files, whole or not at all."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from zoo.errors import ZooError
from zoo.tokenizers.audio.waveform import Waveform, check_finite, check_rate, to_int16


def write_wav(path: Path | str, audio: Waveform) -> None:
    """Write a sound as a wav file of 16 bits; what is there is replaced at once, when all is written.

    Args:
        path: of the file, in a folder that exists.
        audio: samples (time,) or (time, channels) in [-1, 1]; louder ones are clipped. None at all are written too.

    Raises:
        ZooError: samples that are no numbers, or a place that cannot be written.
    """
    import soundfile

    target = Path(path)
    check_rate(audio.rate)
    check_finite(audio.samples)
    partial: str | None = None
    try:
        handle, partial = tempfile.mkstemp(dir=target.parent, prefix=".writing-")
        with os.fdopen(handle, "w+b") as stream:
            soundfile.write(stream, to_int16(audio.samples), audio.rate, subtype="PCM_16", format="WAV")
            stream.flush()
            os.fsync(stream.fileno())
        os.chmod(partial, 0o644)
        os.replace(partial, target)
    except (OSError, soundfile.SoundFileError) as error:
        reason = getattr(error, "strerror", None) or " ".join(str(error).split())
        raise ZooError(f"{target}: cannot be written ({reason})") from None
    finally:
        if partial is not None:
            Path(partial).unlink(missing_ok=True)
