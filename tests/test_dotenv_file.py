"""The `.env` file: what is added is read back as it was, and nothing else in it changes."""

import stat
from pathlib import Path

import pytest
from dotenv import dotenv_values

from bot import dotenv_file
from bot.dotenv_file import AlreadySet, NotWritten

_NAMES = frozenset({"ID", "SECRET"})


def add(path: Path, values: dict[str, str], *, replace: bool = False) -> None:
    dotenv_file.add(path, values, heading="The app\nX=1", replaced=_NAMES, replace=replace)


@pytest.mark.parametrize(
    "value",
    ["710001", "a b", "it's", 'say "x"', "a#b #c", "$HOME", "-----BEGIN KEY-----\\nMII+/=\\n-----END KEY-----", "\\"],
)
def test_what_is_written_is_read_back(value: str, tmp_path: Path) -> None:
    path = tmp_path / ".env"
    add(path, {"SECRET": value, "ID": "1"})
    assert dotenv_values(path, interpolate=False) == {"SECRET": value, "ID": "1"}


def test_a_key_needs_no_quotes_which_docker_would_keep() -> None:
    key = "-----BEGIN RSA PRIVATE KEY-----\\nMII+/=\\n-----END RSA PRIVATE KEY-----"
    assert dotenv_file.lines({"KEY": key}) == f"KEY={key}\n"


def test_only_its_owner_may_read_it(tmp_path: Path) -> None:
    path = tmp_path / ".env"
    path.write_text("A=1\n")
    path.chmod(0o644)
    add(path, {"ID": "1"})
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_the_rest_stays_as_it_was(tmp_path: Path) -> None:
    path = tmp_path / ".env"
    path.write_text("# ours\nexport A='1'\nID=\n\nB=\"two\nlines\"")
    add(path, {"ID": "1"})
    assert path.read_text() == "# ours\nexport A='1'\n\nB=\"two\nlines\"\n\n# The app X=1\nID=1\n"


def test_a_value_is_replaced_when_that_is_wished_only(tmp_path: Path) -> None:
    path = tmp_path / ".env"
    path.write_text("ID=1\nSECRET=old\n")
    with pytest.raises(AlreadySet) as caught:
        add(path, {"ID": "2"})
    assert caught.value.names == ("ID", "SECRET")
    assert path.read_text() == "ID=1\nSECRET=old\n"
    add(path, {"ID": "2"}, replace=True)
    assert dotenv_values(path) == {"ID": "2"}


def test_a_link_stays_one(tmp_path: Path) -> None:
    target, path = tmp_path / "real.env", tmp_path / ".env"
    path.symlink_to(target)
    add(path, {"ID": "1"})
    assert path.is_symlink()
    assert dotenv_values(target) == {"ID": "1"}


@pytest.mark.parametrize("content", [b"\xff\xfe", None], ids=["not text", "a folder"])
def test_a_file_that_cannot_be_read_is_left_alone(content: bytes | None, tmp_path: Path) -> None:
    path = tmp_path / ".env"
    if content is None:
        path.mkdir()
    else:
        path.write_bytes(content)
    with pytest.raises(NotWritten):
        add(path, {"ID": "1"})
    assert [one.name for one in tmp_path.iterdir()] == [".env"]
