"""Whatever else goes wrong is one line, a log and exit code 70."""

import pytest

import mixagent.session.analyse as session


@pytest.mark.parametrize(
    "error", [KeyError("phase"), ZeroDivisionError(), MemoryError(), RecursionError("deep")]
)
def test_a_fault_of_the_program_is_one_line_and_a_log(mixagent, monkeypatch, song, cache_folder, error):
    def broken(*arguments):
        raise error

    monkeypatch.setattr(session, "measured_song", broken)
    ran = mixagent("analyze", song)
    assert (ran.code, ran.out, len(ran.err.splitlines())) == (70, "", 1)
    (log,) = (cache_folder / "logs").glob("*.log")
    assert str(log) in ran.err
    text = log.read_text()
    assert type(error).__name__ in text
    assert "in broken" in text
    assert str(song) in text


def test_old_logs_go(mixagent, monkeypatch, song, cache_folder):
    folder = cache_folder / "logs"
    folder.mkdir()
    for day in range(30):
        (folder / f"202001{day:02d}.log").touch()
    monkeypatch.setattr(session, "measured_song", None)
    assert mixagent("analyze", song).code == 70
    assert len(list(folder.iterdir())) == 20


def test_where_no_log_can_be_written_the_line_is_said_all_the_same(mixagent, monkeypatch, song, tmp_path):
    (tmp_path / "file").touch()
    monkeypatch.setenv("MIXAGENT_CACHE", str(tmp_path / "file"))
    monkeypatch.setattr("tempfile.gettempdir", lambda: str(tmp_path / "file"))
    monkeypatch.setattr(session, "measured_song", None)
    ran = mixagent("analyze", song)
    assert (ran.code, len(ran.err.splitlines())) == (70, 1)
    assert ".log" not in ran.err
