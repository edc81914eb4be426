"""Every sound format of data.path."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile

from zoo.data.read_sound import read_sound, read_sounds
from zoo.errors import ZooError


def sounds(folder: Path, count: int = 8) -> None:
    for index in range(count):
        soundfile.write(folder / f"{index}.wav", np.full((10 + index, 2), 0.5, np.float32), 8000)


def test_a_folder_with_metadata(tmp_path: Path) -> None:
    sounds(tmp_path)
    rows = "".join(f'{index}.wav,me,"folk, old",x,{index % 2}\n' for index in range(8))
    (tmp_path / "metadata.csv").write_text("\ufefffile,artist,genre,title,label\n" + rows, encoding="utf-8")
    records = read_sounds(str(tmp_path))
    assert (len(records), list(records.held_out), records.label_names) == (8, [6], ("0", "1"))
    sound = records[3]
    assert (sound.samples.shape, sound.samples.dtype, sound.rate) == ((13, 2), np.float32, 8000)
    assert (sound.artist, sound.genre, sound.lyrics) == ("me", "folk, old", "")
    assert np.allclose(sound.samples, 0.5, atol=1e-4)


def test_class_folders_and_single_files(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        sounds(tmp_path / name, 5)
    assert list(read_sounds(str(tmp_path)).labels) == ["a"] * 5 + ["b"] * 5
    assert len(read_sounds(str(tmp_path / "a" / "0.wav"))) == 1


def test_data_sets_that_torchaudio_fetches_are_read_as_they_lie(tmp_path: Path) -> None:
    from torchaudio.datasets import GTZAN, SPEECHCOMMANDS

    commands = tmp_path / "SpeechCommands" / "speech_commands_v0.02"
    for folder, name in ((tmp_path / "genres", "{}.{:05}.wav"), (commands, "{}{}_nohash_0.wav")):
        for label in ("rock", "yes", "blues", "no"):
            (folder / label).mkdir(parents=True)
            for number in range(4):
                soundfile.write(folder / label / name.format(label, number), np.full(10, 0.5, np.float32), 8000)
    for name in ("README.md", "LICENSE", "testing_list.txt"):
        (commands / name).write_text("no sound\n")
    theirs = [Path(path).relative_to(commands).as_posix() for path in SPEECHCOMMANDS(tmp_path)._walker]
    records = read_sounds(str(commands))
    assert list(records.names) == theirs
    assert records.label_names == ("blues", "no", "rock", "yes")
    names = [Path(name).stem for name in read_sounds(str(tmp_path / "genres")).names]
    assert [name for name in names if name.startswith(("rock", "blues"))] == GTZAN(tmp_path)._walker


@pytest.mark.parametrize(
    ("metadata", "message"),
    [
        ("name,artist\n0.wav,me\n", r"metadata\.csv: no column 'file'"),
        ("file,Artist\n0.wav,me\n", r"metadata\.csv: call the column 'Artist' artist"),
        ("file,artist, genre\n0.wav,me,pop\n", r"metadata\.csv: call the column ' genre' genre"),
        ("file,artist\n0.wav,me\n0.wav,you\n", r"metadata\.csv line 3: a second row for '0\.wav'"),
        ("file,artist\n../0.wav,me\n", r"line 2: no sound file '\.\./0\.wav' here"),
        ("file,artist\n/etc/passwd,me\n", "line 2: no sound file '/etc/passwd' here"),
        ("file,artist\n9.wav,me\n", "no sound file '9.wav' here; did you mean"),
        ("file,artist\n0.wav\n", "line 2: not as many columns"),
        ("file,artist\n0.wav,me,you\n", "line 2: not as many columns"),
        ("file,label\n0.wav,me\n", "'1.wav' has no label in metadata.csv"),
    ],
)
def test_bad_metadata(tmp_path: Path, metadata: str, message: str) -> None:
    sounds(tmp_path)
    (tmp_path / "metadata.csv").write_text(metadata)
    with pytest.raises(ZooError, match=message):
        read_sounds(str(tmp_path))


def test_not_a_sound(tmp_path: Path) -> None:
    (tmp_path / "a.wav").write_bytes(b"RIFF nonsense")
    with pytest.raises(ZooError, match=r"a\.wav: not a readable sound file") as caught:
        read_sound(tmp_path / "a.wav")
    assert "\n" not in str(caught.value)
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "a.txt").write_text("x")
    with pytest.raises(ZooError, match="no sounds there"):
        read_sounds(str(tmp_path / "b"))


def test_real_sounds(shared_data: Path) -> None:
    songs = read_sounds(str(shared_data / "audio" / "songs"))
    first = songs[0]
    assert (len(songs), first.rate, first.samples.shape, first.genre) == (13, 22050, (899_639, 1), "folk song")
    assert first.lyrics.startswith("Should auld acquaint")
    chorales = read_sounds(str(shared_data / "audio" / "chorales"))
    assert (len(chorales), len(chorales.held_out), chorales[0].samples.shape) == (108, 10, (529_200, 1))
    spoken = read_sounds(str(shared_data / "audio" / "fsdd"))
    assert (len(spoken), spoken[0].rate, spoken.labels) == (2000, 8000, [])
