"""Files: any delimiter, a zip, an odd row; what is no such file is refused in a sentence."""

import zipfile
from pathlib import Path

import pytest

from services.replay.mapping import UnusableMapping, with_options
from services.replay.source import Unreadable, header_of, lines_of

KEYED = with_options(None, ["external_ref=Key", "at=When", "title=What"])


def rows_of(path: Path) -> list[dict[str, str]]:
    return [line.row for line in lines_of(path, KEYED)]


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
def test_the_delimiter_is_found_in_the_header(tmp_path: Path, delimiter: str):
    path = tmp_path / "log.csv"
    cells = [["Key", "Other", "When", "What"], ["1", "x", "2020-01-01", '"a, b"']]
    path.write_text("\n".join(delimiter.join(row) for row in cells))
    assert rows_of(path) == [{"Key": "1", "When": "2020-01-01", "What": "a, b"}]


def test_a_byte_order_mark_quotes_and_blank_lines_are_no_data(tmp_path: Path):
    path = tmp_path / "log.csv"
    path.write_bytes(b'\xef\xbb\xbfKey,When,What\r\n\r\n1,T,"two\nlines, ""so"""\r\n')
    (line,) = lines_of(path, KEYED)
    assert line.row["What"] == 'two\nlines, "so"'
    assert line.number == 4


def test_a_row_cut_short_lacks_its_last_cells(tmp_path: Path):
    path = tmp_path / "log.csv"
    path.write_text("Key,When,What\n1,T,x\n2,T")
    assert rows_of(path)[1] == {"Key": "2", "When": "T"}


def test_a_zip_with_one_csv_is_read_like_the_csv(tmp_path: Path):
    plain, packed = tmp_path / "log.csv", tmp_path / "log.zip"
    plain.write_text("Key,When,What\n1,T,x\n")
    with zipfile.ZipFile(packed, "w") as archive:
        archive.write(plain, "deep/log.CSV")
        archive.writestr("README.md", "not data")
        archive.writestr("__MACOSX/._log.csv", "not data either")
    assert rows_of(packed) == rows_of(plain)
    assert header_of(packed) == ["Key", "When", "What"]


@pytest.mark.parametrize("count", [0, 2])
def test_a_zip_must_hold_one_csv(tmp_path: Path, count: int):
    path = tmp_path / "log.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("README.md", "")
        for number in range(count):
            archive.writestr(f"{number}.csv", "Key\n")
    with pytest.raises(Unreadable, match=f"holds {count} CSV files"):
        header_of(path)


def test_a_damaged_zip_is_refused(tmp_path: Path):
    path = tmp_path / "log.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("log.csv", "Key,When,What\n" + "1,T,x\n" * 10_000)
    content = bytearray(path.read_bytes())
    content[60:80] = bytes(20)
    path.write_bytes(content)
    with pytest.raises(Unreadable, match="can't be read"):
        rows_of(path)


@pytest.mark.parametrize("content", [b"", b"\n", b",,\n"])
def test_a_file_without_a_header_is_refused(tmp_path: Path, content: bytes):
    path = tmp_path / "log.csv"
    path.write_bytes(content)
    with pytest.raises(Unreadable, match="header"):
        header_of(path)


@pytest.mark.parametrize("content", [b"K\xffy,When\n", b"Key,When,What\n1,\xff,x\n"])
def test_what_is_not_utf8_is_refused(tmp_path: Path, content: bytes):
    path = tmp_path / "log.csv"
    path.write_bytes(content)
    with pytest.raises(Unreadable):
        rows_of(path)


def test_a_missing_file_and_a_missing_column_are_named(tmp_path: Path):
    with pytest.raises(Unreadable, match=r"none\.csv"):
        header_of(tmp_path / "none.csv")
    path = tmp_path / "log.csv"
    path.write_text("Key,What\n1,x\n")
    with pytest.raises(UnusableMapping, match=r"no column 'When'; it has Key, What"):
        rows_of(path)
