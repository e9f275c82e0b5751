"""The cache of stage results: atomic, shared, verified, bounded."""

import errno
import multiprocessing
import os
import threading
from pathlib import Path

import pytest

from mixagent.pipeline.errors import OutputError
from mixagent.pipeline.graph.cache import Cache

KEY = "ab" + "0" * 62


def key(number):
    return f"{number:02x}" + "0" * 62


def filled(size=1000, **values):
    def fill(directory):
        (directory / "audio.raw").write_bytes(bytes(size))
        return values

    return fill


def must_not_run(directory):
    raise AssertionError("made again")


def files_under(root):
    """All but the lock that programs meet at."""
    return [path for path in root.rglob("*") if path.is_file() and path.name != "lock"]


def entries(root):
    return sorted(path.name for path in root.glob("stems/??/[!.]*"))


def test_a_result_is_found_again_by_another_cache_on_the_same_folder(tmp_path):
    with Cache(tmp_path, 1e9) as cache:
        _, cached = cache.obtain("stems", KEY, filled(number=7))
        assert not cached
    with Cache(tmp_path, 1e9) as cache:
        result, cached = cache.obtain("stems", KEY, must_not_run)
    assert cached
    assert result.values == {"number": 7}
    assert result.directory == tmp_path / "stems" / "ab" / KEY
    assert (result.directory / "audio.raw").stat().st_size == 1000


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt])
def test_an_exception_while_making_leaves_nothing(tmp_path, error):
    def fill(directory):
        (directory / "half.raw").write_bytes(b"half")
        raise error

    with Cache(tmp_path, 1e9) as cache, pytest.raises(error):
        cache.obtain("stems", KEY, fill)
    assert not files_under(tmp_path)


def damage_by_cutting(entry):
    os.truncate(entry / "audio.raw", 10)


def damage_by_removing(entry):
    (entry / "audio.raw").unlink()


def damage_by_removing_meta(entry):
    (entry / "meta.json").unlink()


def damage_meta(entry):
    (entry / "meta.json").write_text('{"values": ')


def damage_by_zeros(entry):
    with (entry / "audio.raw").open("r+b") as file:
        file.seek(500)
        file.write(bytes(8))


def damage_one_value(entry):
    text = (entry / "meta.json").read_text()
    (entry / "meta.json").write_text(text.replace('"number": 7', '"number": 8'))


def damage_meta_as(text):
    def damage(entry):
        (entry / "meta.json").write_text(text)

    return damage


@pytest.mark.parametrize(
    "damage",
    [
        damage_by_cutting,
        damage_by_zeros,
        damage_by_removing,
        damage_by_removing_meta,
        damage_meta,
        damage_one_value,
        *map(damage_meta_as, ("null", "[]", "7", "{}", '{"files": null, "values": {}, "skipped": 1}', "\0")),
    ],
)
def test_a_damaged_entry_is_made_again(tmp_path, damage):
    def fill(directory):
        (directory / "audio.raw").write_bytes(b"\x01" * 1000)
        return {"number": 7}

    with Cache(tmp_path, 1e9) as cache:
        result, _ = cache.obtain("stems", KEY, fill)
    damage(result.directory)
    with Cache(tmp_path, 1e9) as cache:
        result, cached = cache.obtain("stems", KEY, fill)
    assert not cached
    assert (result.directory / "audio.raw").read_bytes() == b"\x01" * 1000
    assert result.values == {"number": 7}
    assert entries(tmp_path) == [KEY]


def test_the_least_recently_used_go_first(tmp_path):
    with Cache(tmp_path, 1e9) as cache:
        for number in range(4):
            result, _ = cache.obtain("stems", key(number), filled())
            os.utime(result.directory / "meta.json", (number, number))
    with Cache(tmp_path, 1e9) as cache:
        cache.obtain("stems", key(0), must_not_run)
    with Cache(tmp_path, 2500):
        pass
    assert entries(tmp_path) == [key(0), key(3)]


def test_results_in_use_are_never_evicted_also_by_another_program(tmp_path):
    with Cache(tmp_path, 0) as cache:
        for number in range(3):
            cache.obtain("stems", key(number), filled())
        Cache(tmp_path, 0).evict()
        assert entries(tmp_path) == [key(0), key(1), key(2)]
    assert not files_under(tmp_path)


def _held_by_another_program(root, held, release):
    with Cache(root, 1e9) as cache:
        cache.obtain("stems", KEY, must_not_run)
        held.set()
        release.wait()


def test_what_another_living_program_found_is_never_evicted_and_goes_when_it_ended(tmp_path):
    with Cache(tmp_path, 1e9) as cache:
        cache.obtain("stems", KEY, filled())
    context = multiprocessing.get_context("spawn")
    held, release = context.Event(), context.Event()
    program = context.Process(target=_held_by_another_program, args=(tmp_path, held, release))
    program.start()
    assert held.wait(60)
    Cache(tmp_path, 0).evict()
    assert entries(tmp_path) == [KEY]
    program.kill()
    program.join()
    Cache(tmp_path, 0).evict()
    assert not files_under(tmp_path)


def test_what_is_being_made_by_a_living_program_is_left_alone(tmp_path):
    def fill(directory):
        (directory / "half.raw").write_bytes(b"half")
        Cache(tmp_path, 0).evict()
        assert (directory / "half.raw").exists()
        return {}

    with Cache(tmp_path, 1e9) as cache:
        cache.obtain("stems", KEY, fill)


def test_two_threads_make_a_result_once(tmp_path):
    made, results = [], []

    def fill(directory):
        made.append(directory)
        return {"number": 1}

    with Cache(tmp_path, 1e9) as cache:
        threads = [
            threading.Thread(target=lambda: results.append(cache.obtain("stems", KEY, fill)[0]))
            for _ in range(4)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert len(made) == 1
    assert len(results) == 4
    assert all(result == results[0] for result in results)


def test_two_programs_that_make_one_result_at_the_same_time_both_get_it(tmp_path):
    first, second = Cache(tmp_path, 1e9), Cache(tmp_path, 1e9)

    def fill_while_the_other_does(directory):
        second.obtain("stems", KEY, filled(who="second"))
        return filled(who="first")(directory)

    result, _ = first.obtain("stems", KEY, fill_while_the_other_does)
    assert result.values == {"who": "second"}
    first.close()
    second.close()
    assert entries(tmp_path) == [KEY]
    assert not list(tmp_path.glob("*/*/.*"))


def _killed_while_making(root):
    def fill(directory):
        (directory / "half.raw").write_bytes(b"half")
        os._exit(9)

    Cache(root, 1e9).obtain("stems", KEY, fill)


def test_a_kill_leaves_no_result_and_its_remains_go_with_the_next_run(tmp_path):
    process = multiprocessing.get_context("spawn").Process(target=_killed_while_making, args=(tmp_path,))
    process.start()
    process.join()
    assert entries(tmp_path) == []
    (remains,) = tmp_path.glob("stems/??/.*")
    (lease,) = tmp_path.glob(".leases/*.lease")
    with Cache(tmp_path, 1e9) as cache:
        _, cached = cache.obtain("stems", KEY, filled())
    assert not cached
    assert not remains.exists()
    assert not lease.exists()


def test_a_full_disk_is_one_line(tmp_path):
    def fill(directory):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with Cache(tmp_path, 1e9) as cache, pytest.raises(OutputError, match="no space left") as caught:
        cache.obtain("stems", KEY, fill)
    assert "\n" not in str(caught.value)
    assert not files_under(tmp_path)


def test_a_cache_folder_that_cannot_be_is_one_line(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="cache folder"):
        Cache(tmp_path / "file" / "cache", 1e9)


def test_a_temporary_cache_is_gone_afterwards(tmp_path):
    with Cache.temporary(tmp_path) as cache:
        result, _ = cache.obtain("stems", KEY, filled())
        assert result.directory.exists()
    assert not list(tmp_path.iterdir())


def test_scratch_folders_of_others_are_not_looked_into(tmp_path):
    others = tmp_path / ".mixagent-00ff" / "aa" / "aakey"
    others.mkdir(parents=True)
    (others / "meta.json").write_text("{}")
    with Cache(tmp_path, 0.0) as cache:
        cache.evict()
    assert others.is_dir()


def test_what_vanishes_while_it_is_looked_at_is_passed_over(tmp_path, monkeypatch):
    with Cache(tmp_path, 1e9) as cache:
        cache.obtain("stage", "aakey", lambda folder: {})
        cache.obtain("stage", "bbkey", lambda folder: {})
        listed = Path.iterdir

        def vanishing(folder):
            if folder.name == "aa":
                raise FileNotFoundError(folder)
            return listed(folder)

        monkeypatch.setattr(Path, "iterdir", vanishing)
        cache.evict()
        assert cache.has("stage", "bbkey")
