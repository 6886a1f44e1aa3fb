"""Hugging Face data sets on disk: bytes or paths, parquet or Arrow, any number of row groups."""

from pathlib import Path
from typing import Any

import pytest

from data.config import ClipConfig, ColumnNames, FilesConfig
from data.sources.files import FilesSource
from src.streaming.schema.bucket import DataError
from src.streaming.schema.part_writer import Rejection
from tests.fixtures.video_files import write_image, write_video

pa = pytest.importorskip("pyarrow")
pq = pytest.importorskip("pyarrow.parquet")
MEDIA = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
CLIP = ClipConfig(size=32, multiple=8, lengths=(8,))


@pytest.fixture(scope="module")
def media(tmp_path_factory: pytest.TempPathFactory) -> tuple[bytes, bytes]:
    folder = tmp_path_factory.mktemp("media")
    return write_video(folder / "v.mp4", 9).read_bytes(), write_image(folder / "i.png").read_bytes()


def read(path: Path, **options: Any) -> tuple[dict[str, tuple[str, ...]], dict[str, str], list[str]]:
    """Captions by id, reasons of rejections, notes."""
    source = FilesSource(FilesConfig(path=str(path), clip=CLIP, **options))
    found = [each for item in source.splits()["train"] for each in source.records(item)]
    captions = {each.id: each.captions for each in found if not isinstance(each, Rejection)}
    return captions, {r.source: r.reason for r in found if isinstance(r, Rejection)}, source.notes()


def table(rows: list[Any], captions: list[Any], name: str = "video") -> Any:
    return pa.table({name: pa.array(rows, MEDIA), "text": captions, "id": list(range(len(rows)))})


@pytest.mark.parametrize("row_group_size", [1, 2, 100])
@pytest.mark.parametrize("statistics", [True, False])
def test_bytes_in_parquet(
    tmp_path: Path, media: tuple[bytes, bytes], row_group_size: int, statistics: bool
) -> None:
    video, image = media
    rows = [{"bytes": video, "path": "x.mp4"}, {"bytes": image, "path": None}, {"bytes": video, "path": None}]
    rows += [{"bytes": b"broken", "path": "y.mp4"}]
    (tmp_path / "data").mkdir()
    file = tmp_path / "data" / "train-00000-of-00001.parquet"
    written = table(rows, ["one", "two", None, "four"])
    pq.write_table(written, file, row_group_size=row_group_size, write_statistics=statistics)
    captions, reasons, notes = read(tmp_path, columns=ColumnNames(caption="text"))
    name = "data/train-00000-of-00001.parquet"
    assert captions == {f"{name}/0#0": ("one",), f"{name}/1": ("two",), f"{name}/2#0": ()}
    assert reasons == {f"{name}/3": "unreadable"}
    assert notes == ["parquet: columns that are not read: id"]
    assert read(tmp_path)[2] == [
        "parquet: columns that are not read: text (did you mean caption? "
        "files.columns.caption=text reads it), id"
    ]


def test_paths_in_parquet_stay_inside_the_folder(tmp_path: Path, media: tuple[bytes, bytes]) -> None:
    (tmp_path / "set").mkdir()
    (tmp_path / "set" / "a.mp4").write_bytes(media[0])
    rows = [{"bytes": None, "path": p} for p in ("a.mp4", "../b.mp4", "gone.mp4", None)]
    pq.write_table(table(rows, ["one"] * 4), tmp_path / "set" / "a.parquet")
    with pytest.raises(DataError, match=r"holds parquet and a\.mp4; choose files.format=parquet or folder"):
        read(tmp_path / "set")
    columns = ColumnNames(caption="text")
    captions, reasons, _ = read(tmp_path / "set", columns=columns, format="parquet")
    assert captions == {"a.mp4#0": ("one",)}
    assert reasons == {
        "a.parquet/1": "outside the folder",
        "gone.mp4": "missing file",
        "a.parquet/3": "no path",
    }
    pq.write_table(
        pa.table({"file_name": ["a.mp4"], "caption": [["one", "two"]]}), tmp_path / "set" / "a.parquet"
    )
    assert read(tmp_path / "set", format="parquet")[0] == {"a.mp4#0": ("one", "two")}


def test_arrow_files_of_save_to_disk(tmp_path: Path, media: tuple[bytes, bytes]) -> None:
    written = table([{"bytes": media[0], "path": None}, {"bytes": media[1], "path": None}], ["a", "b"])
    file = str(tmp_path / "data-00000-of-00001.arrow")
    with pa.OSFile(file, "wb") as sink, pa.ipc.new_stream(sink, written.schema) as writer:
        for batch in written.to_batches(max_chunksize=1):
            writer.write_batch(batch)
    for name in ("state.json", "dataset_info.json"):
        (tmp_path / name).write_text("{}")
    captions, reasons, _ = read(tmp_path, columns=ColumnNames(caption="text"))
    name = "data-00000-of-00001.arrow"
    assert (captions, reasons) == ({f"{name}/0#0": ("a",), f"{name}/1": ("b",)}, {})


def test_several_columns_of_media_must_be_chosen_from(tmp_path: Path, media: tuple[bytes, bytes]) -> None:
    columns = {"before": pa.array([{"bytes": media[1], "path": None}], MEDIA)}
    columns["after"] = columns["before"]
    pq.write_table(pa.table(columns), tmp_path / "a.parquet")
    with pytest.raises(DataError, match="several columns of media among before, after; name it with files"):
        read(tmp_path)
    assert read(tmp_path, columns=ColumnNames(path="after"))[0] == {"a.parquet/0": ()}


def test_a_broken_file_costs_only_its_rows(tmp_path: Path, media: tuple[bytes, bytes]) -> None:
    (tmp_path / "a.parquet").write_bytes(b"PAR1 cut")
    pq.write_table(table([{"bytes": media[1], "path": "i.png"}], ["x"]), tmp_path / "b.parquet")
    captions, reasons, _ = read(tmp_path)
    assert (captions, reasons) == ({"b.parquet/0": ()}, {"a.parquet": "unreadable"})
