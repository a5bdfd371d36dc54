"""Youtube-8M: files written here in its format, byte by byte, and what is said of damaged ones; saha table1's tasks."""

import struct
import tracemalloc

import numpy as np
import pytest

from lessons.tables.taan.recipes import on_youtube8m
from lessons.tables.table import Run
from tinynet import optim
from tinynet.data.task_batches import TaskBatches
from tinynet.data.youtube8m import FEATURES, TASKS, example, masked_crc, records, verticals, video, youtube8m

rng = np.random.default_rng(0)


# %% A writer of the format, from its description
def varint(n):
    out = b""
    while n > 127:
        out, n = out + bytes([n & 127 | 128]), n >> 7
    return out + bytes([n])


def field(number, data):
    return varint(number << 3 | 2) + varint(len(data)) + data


def feature(value):
    if isinstance(value, bytes):
        return field(1, field(1, value))
    if value.dtype.kind == "f":
        return field(2, field(1, value.astype("<f4").tobytes()))
    return field(3, field(1, b"".join(varint(int(n)) for n in value)))


def message(**features):
    return field(1, b"".join(field(1, field(1, name.encode()) + field(2, feature(v))) for name, v in features.items()))


def record(data):
    length = struct.pack("<Q", len(data))
    return length + struct.pack("<I", masked_crc(length)) + data + struct.pack("<I", masked_crc(data))


def a_video(labels):
    rgb, audio = (rng.normal(size=n).astype(np.float32) for n in FEATURES.values())
    return rgb, audio, message(id=b"abcd", labels=np.array(labels), mean_rgb=rgb, mean_audio=audio)


@pytest.fixture
def folder(tmp_path):
    """32 labels, label i of vertical i % 16; three videos in two files: labels (0, 16, 300), (1), all of 0..15."""
    rows = [f'{i},"name, {i}",{TASKS[i % 16]}' for i in range(32)] + ["32,other,News"]
    (tmp_path / "vocabulary.csv").write_text("Index,Name,Vertical1\n" + "\n".join(rows))
    made = [a_video(labels)[2] for labels in ([0, 16, 300], [1], range(16))]
    (tmp_path / "train00.tfrecord").write_bytes(record(made[0]) + record(made[1]))
    (tmp_path / "train01.tfrecord").write_bytes(record(made[2]))
    return tmp_path


# %% What is read
def test_the_checksum_is_crc_32c():
    assert masked_crc(b"123456789") == ((0xE3069283 >> 15 | 0xE3069283 << 17) + 0xA282EAD8) & 0xFFFFFFFF
    # the head of a record of 0 bytes, as TensorFlow writes it
    assert masked_crc(struct.pack("<Q", 0)) == 0x07980329


def test_a_video_is_read_back_to_the_last_bit():
    rgb, audio, data = a_video([3, 3861])
    x, labels = video(data)
    np.testing.assert_array_equal(x, np.concatenate([rgb, audio]))
    assert x.dtype == np.float32
    assert labels.tolist() == [3, 3861]


def test_lists_that_are_not_packed_and_a_video_without_labels():
    one_by_one = field(3, b"".join(varint(1 << 3) + varint(n) for n in (5, 300)))
    floats = field(2, b"".join(varint(1 << 3 | 5) + struct.pack("<f", v) for v in (0.5, -2.0)))
    named = {b"n": one_by_one, b"f": floats}
    entries = b"".join(field(1, field(1, name) + field(2, value)) for name, value in named.items())
    found = example(field(1, entries))
    assert found["n"].tolist() == [5, 300]
    assert found["f"].tolist() == [0.5, -2.0]
    rgb, audio = (np.zeros(n, np.float32) for n in FEATURES.values())
    assert not len(video(message(mean_rgb=rgb, mean_audio=audio))[1])


def test_the_sixteen_tasks(folder, monkeypatch):
    monkeypatch.setenv("TINYNET_DATA", str(folder))
    tasks = youtube8m()
    assert [task.name for task in tasks] == list(TASKS)
    assert [len(task.X) for task in tasks] == [2, 2] + [1] * 14
    assert tasks[0].labels.tolist() == [0, 16]
    assert tasks[0].Y[:].tolist() == [[1, 1], [1, 0]]
    assert tasks[0].X.shape == (2, 1152)
    assert all((task.Y[:].sum(axis=1) > 0).all() for task in tasks)


def test_features_stay_in_the_files_until_their_rows_are_asked_for(tmp_path):
    (tmp_path / "vocabulary.csv").write_text("Index,Vertical1\n" + "\n".join(
        f"{i},{name}" for i, name in enumerate(reversed(TASKS * 2))))          # label i of vertical 15 - i % 16
    made = [a_video([i % 16, 16 + i % 5]) for i in range(400)]
    for k in range(4):
        (tmp_path / f"train{k}.tfrecord").write_bytes(b"".join(record(v[2]) for v in made[100 * k:100 * k + 100]))
    youtube8m(root=tmp_path, videos=16)                                        # compiles the checksum
    tracemalloc.start()
    tasks = youtube8m(root=tmp_path)
    kept, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert kept < peak < 0.2 * 400 * 1152 * 4                                  # the features are 1.8 MB
    its = [i for i in range(400) if i % 16 == 3 or (16 + i % 5) == 19]         # the labels 3 and 19 of vertical 12
    whole = np.array([np.concatenate(made[i][:2]) for i in its])
    of_task = np.array([[i % 16 == 3, i % 5 == 3] for i in its])
    rows = rng.permutation(len(its))[:50]
    assert tasks[12].labels.tolist() == [3, 19]
    assert tasks[12].X.shape == (len(its), 1152)
    for some in (slice(None), slice(90, 120), rows, of_task[:, 0]):
        np.testing.assert_array_equal(tasks[12].X[some], whole[some])
        np.testing.assert_array_equal(tasks[12].Y[some], of_task[some])
        np.testing.assert_array_equal(tasks[12].of(some).X[3:5], whole[some][3:5])
        np.testing.assert_array_equal(tasks[12].of(some).Y[3:5], of_task[some][3:5])


def test_a_file_that_is_damaged_after_it_was_found_whole_is_told_when_its_rows_are_read(folder):
    task = youtube8m(root=folder)[1]
    flip(-50)(folder)
    with pytest.raises(ValueError, match=r"the record at byte \d+ of train00\.tfrecord has \d+ bytes whose checksum"):
        task.X[:]
    assert task.X[1:].shape == (1, 1152)


def test_the_decks_numbers_of_labels_would_be_counted(tmp_path):
    """saha table1: 3,557 labels in 16 verticals."""
    counts = (525, 734, 466, 167, 278, 302, 259, 150, 132, 86, 116, 26, 120, 116, 48, 32)
    names = np.repeat(TASKS, counts)
    (tmp_path / "v.csv").write_text("Index,Vertical1\n" + "\n".join(f"{i},{name}" for i, name in enumerate(names)))
    assert tuple(len(its) for its in verticals(tmp_path / "v.csv")) == counts
    assert sum(counts) == 3557


def test_the_recipe_of_the_table_runs_on_such_files(folder, tmp_path, monkeypatch):
    """saha table1 with one call, for whoever has the files; a run that was stopped ends as it would have ended."""
    videos = [a_video(labels)[2] for labels in [*([i, i + 16] for i in range(16)), *([i] for i in range(16))] * 2]
    (folder / "train02.tfrecord").write_bytes(b"".join(map(record, videos)))
    (folder / "validate00.tfrecord").write_bytes(b"".join(map(record, videos * 3)))
    small = dict(method="TAAN + Lcos", epochs=3, widths=(6, 6), batch=3)
    measured = on_youtube8m(Run("youtube8m", 0, folder), **small)
    step, taken = optim.Adam.step, []

    def stops(self):
        taken.append(self)
        if len(taken) > 2 * steps:
            raise KeyboardInterrupt
        step(self)
    steps = len(TaskBatches([(task.X, task.Y) for task in youtube8m(root=folder)], 3))
    monkeypatch.setattr(optim.Adam, "step", stops)
    run = Run("youtube8m", 0, folder, tmp_path / "cell")
    run.folder.mkdir()
    with pytest.raises(KeyboardInterrupt):
        on_youtube8m(run, **small)
    monkeypatch.setattr(optim.Adam, "step", lambda self: (taken.append(self), step(self)))
    assert on_youtube8m(run, **small) == measured
    assert len(taken) == 3 * steps + 1                  # two epochs, the step that stopped, and the third epoch
    assert set(measured) == {*(f"task {t}" for t in range(1, 17)), "parameters", "mean mAP@10"}
    assert 0 < measured["mean mAP@10"] <= 1


def test_a_vocabulary_with_a_byte_order_mark_is_read(folder):
    before = verticals(folder / "vocabulary.csv")
    change("vocabulary.csv", lambda d: b"\xef\xbb\xbf" + d)(folder)
    for its, had in zip(verticals(folder / "vocabulary.csv"), before, strict=True):
        assert its.tolist() == had.tolist()


# %% What is refused
def change(name, function):
    def damage(folder):
        data = bytearray((folder / name).read_bytes())
        (folder / name).write_bytes(bytes(function(data)))
    return damage


def flip(at):
    def flipped(data):
        data[at] ^= 1
        return data
    return change("train00.tfrecord", flipped)


def longer(data):
    """The first record says that it has 1,000,000 bytes, with the right checksum of that."""
    length = struct.pack("<Q", 1_000_000)
    return length + struct.pack("<I", masked_crc(length)) + data[12:]


@pytest.mark.parametrize(("damage", "said"), [
    (flip(0), r"the record at byte 0 of train00\.tfrecord has a length whose checksum differs"),
    (flip(9), r"the record at byte 0 of train00\.tfrecord has a length whose checksum differs"),
    (flip(50), r"the record at byte 0 of train00\.tfrecord has \d+ bytes whose checksum differs"),
    (flip(-1), r"at byte \d{4} of train00\.tfrecord has \d+ bytes whose checksum differs"),
    (change("train00.tfrecord", longer), r"at byte 0 of .* it has 1000000 bytes, but the file ends after \d"),
    (change("train00.tfrecord", lambda d: d[:-1]), r"at byte \d{4} .* its \d+ bytes, but ends within its"),
    (change("train00.tfrecord", lambda d: d[:-4]), r"at byte \d{4} .* its \d+ bytes, but ends within its"),
    (change("train00.tfrecord", lambda d: d[:-5]), r"at byte \d{4} .* that it has \d+ bytes, but the file ends after"),
    (change("train01.tfrecord", lambda d: record(a_video([2**63])[2])), r"a record is no tf\.train\.Example"),
    (change("vocabulary.csv", lambda d: d.replace(b"\n3,", b"\nthree,")), r"the Index 'three', which is no whole"),
    (change("train01.tfrecord", lambda d: d + b"abc"), r"at byte \d{4} .* ends after 3 bytes of a length"),
    (change("train01.tfrecord", lambda d: record(b"\x0a\xff")), r"a record is no tf\.train\.Example"),
    (change("train01.tfrecord", lambda d: record(message(mean_rgb=np.zeros(3)))),
     r"a video has 3 numbers of mean_rgb, but needs 1024"),
    (change("vocabulary.csv", lambda d: d.replace(b"Travel", b"Trips")), r"no label of the vertical 'Travel'"),
    (change("vocabulary.csv", lambda d: d.replace(b"Vertical1", b"Topic")), r"lacks the columns Index and Vertical1"),
])
def test_damaged_files(folder, damage, said):
    damage(folder)
    with pytest.raises(ValueError, match=rf"^youtube8m: .*{said}.* https://research"):
        youtube8m(root=folder)


def test_missing_files_and_tasks_without_videos(folder, monkeypatch):
    with pytest.raises(ValueError, match="none of 1 videos has a label of Games; read more of them"):
        youtube8m(root=folder, videos=1)
    (folder / "vocabulary.csv").unlink()
    with pytest.raises(FileNotFoundError, match=r"youtube8m: there is no .*vocabulary\.csv; get it from https"):
        youtube8m(root=folder)
    with pytest.raises(FileNotFoundError, match=r"youtube8m: .* has no files validate\*\.tfrecord; get them"):
        youtube8m("validate", root=folder)
    monkeypatch.delenv("TINYNET_DATA", raising=False)
    with pytest.raises(FileNotFoundError, match="youtube8m: no folder is given; pass root="):
        youtube8m()


def test_empty_file_has_no_records(tmp_path):
    (tmp_path / "empty.tfrecord").write_bytes(b"")
    assert list(records(tmp_path / "empty.tfrecord")) == []
