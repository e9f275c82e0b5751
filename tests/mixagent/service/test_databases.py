"""Two databases, one behaviour: texts, sizes, many who claim at once, connections that are dropped."""

import threading
from pathlib import Path

import pytest
from services import called
from sqlalchemy import text
from test_queue import of_user

from mixagent.pipeline.errors import UsageError
from mixagent.service.limits import check_uploads
from mixagent.service.problems import Problem
from mixagent.service.settings import Limits
from mixagent.service.store.database import Database, insist
from mixagent.service.store.tables import Job, Upload

pytestmark = pytest.mark.usefixtures("database")


def test_the_tables_are_those_that_the_program_knows(api):
    from alembic.autogenerate import compare_metadata
    from alembic.migration import MigrationContext

    from mixagent.service.store.tables import Base

    with api.service.database._engine.connect() as connection:
        found = compare_metadata(MigrationContext.configure(connection), Base.metadata)
    assert found == []


def test_several_programs_that_open_a_new_database_at_once_make_it_once(database, tmp_path):
    opened = []

    def open_it():
        opened.append(Database(database or tmp_path / "new.sqlite"))

    threads = [threading.Thread(target=open_it) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for each in opened:
        each.close()
    assert len(opened) == 4


def test_many_who_claim_at_once_get_each_job_once_and_hold_the_limit_of_a_user(tmp_path, short_song):
    with called(tmp_path, limits=Limits(running=2)) as api:
        song = api.upload(short_song)["id"]
        jobs = [of_user(api, user, song, seed=n) for n, user in enumerate(["anna", "bert", "carl"] * 4)]
        claimed, start = [], threading.Barrier(8)

        def claim():
            start.wait()
            while (found := api.service.queue.claim(worker=threading.current_thread().name)) is not None:
                claimed.append(found)

        threads = [threading.Thread(target=claim) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        users = sorted(found.user for found in claimed)
        assert users == ["anna", "anna", "bert", "bert", "carl", "carl"]
        assert len({found.id for found in claimed} & set(jobs)) == 6


def test_events_of_many_writers_are_seen_in_the_order_of_their_ids(tmp_path, short_song):
    with called(tmp_path, limits=Limits(running=4)) as api:
        song = api.upload(short_song)["id"]
        for n in range(4):
            of_user(api, "anna", song, seed=n)
        claimed = [api.service.queue.claim() for _ in range(4)]
        seen, stop = [], threading.Event()

        def read():
            last = 0
            while True:
                ended = stop.is_set()
                with api.service.database.reading() as session:
                    rows = session.execute(
                        text("SELECT id FROM job_events WHERE id > :a ORDER BY id"), {"a": last}
                    )
                    new = [id_ for (id_,) in rows]
                seen.extend(new)
                last = new[-1] if new else last
                if ended:
                    return

        def tell(each):
            for n in range(8):
                api.service.queue.tell(each, {"share": n}, {"share": n})

        reader = threading.Thread(target=read)
        writers = [threading.Thread(target=tell, args=(each,)) for each in claimed]
        for thread in (reader, *writers):
            thread.start()
        for thread in writers:
            thread.join()
        stop.set()
        reader.join()
        with api.service.database.reading() as session:
            there = [id_ for (id_,) in session.execute(text("SELECT id FROM job_events ORDER BY id"))]
        assert seen == there
        assert len(there) >= 32


def test_how_many_jobs_could_be_begun_counts_what_each_user_may(tmp_path, short_song):
    with called(tmp_path, limits=Limits(running=2)) as api:
        song = api.upload(short_song)["id"]
        for n in range(4):
            of_user(api, "anna", song, seed=n)
        of_user(api, "bert", song, seed=9)
        of_user(api, "bert", song, kind="analyze")
        assert api.service.queue.ready() == (3, 1)
        api.service.queue.claim()
        api.service.queue.claim()
        assert api.service.queue.ready() == (2, 0)


def test_what_a_worker_that_died_had_is_tried_again_and_then_set_aside(api, short_song):
    job = api.job("master", api.upload(short_song)["id"])["id"]
    for states in ("queued", "failed"):
        with api.service.database.writing() as session:
            session.query(Job).update({"not_before": 0.0})
        assert api.service.queue.claim(worker="machine:7 message-1").id == job
        assert api.service.queue.lost_by("message-2", "gone") == 0
        assert api.service.queue.lost_by("message-1", "gone") == 1
        assert api.get(f"/v1/jobs/{job}").json()["state"] == states


def test_sizes_over_two_thousand_million_bytes_are_kept_and_summed(api, short_song):
    for number in range(2):
        upload = api.upload(short_song, name=f"{number}.wav")["id"]
        with api.service.database.writing() as session:
            session.get(Upload, upload).bytes = 24_000_000_000
    limits = Limits(upload_bytes=10**12)
    with api.service.database.reading() as session:
        assert session.get(Upload, upload).bytes == 24_000_000_000
        check_uploads(session, "local", 2_000_000_000, limits)
        with pytest.raises(Problem, match=r"48\.0 GB of yours are kept"):
            check_uploads(session, "local", 2_000_000_001, limits)


@pytest.mark.parametrize("words", ["\0", "a\0b", "\ud800"])
def test_texts_that_no_database_keeps_are_refused_in_words(api, short_song, words):
    upload = api.upload(short_song)["id"]
    body = b'{"kind": "master", "uploads": ["%s"], "options": {"goal": "%s"}}' % (
        upload.encode(),
        words.encode("ascii", "backslashreplace").replace(b"\x00", b"\\u0000"),
    )
    asked = api.post("/v1/jobs", content=body, headers={"Content-Type": "application/json"})
    assert asked.status_code < 500, asked.text
    searched = api.get("/v1/jobs", params={"search": words.encode("utf-8", "surrogatepass")})
    assert searched.status_code < 500, searched.text


def test_a_database_of_a_kind_that_is_not_known_is_told(tmp_path):
    for url in ("mysql://a@b/c", "nonsense", "postgresql"):
        with pytest.raises(UsageError, match="database"):
            Database(url)


class TestPostgres:
    """What SQLite has no need of."""

    @pytest.fixture(autouse=True)
    def _one(self, database):
        if database is None:
            pytest.skip("a file has no connections")

    def test_a_job_goes_on_where_the_server_drops_every_connection(self, api, postgres, short_song):
        queue = api.service.queue
        api.job("master", api.upload(short_song)["id"])
        claimed = queue.claim()
        assert queue.beat(claimed) == "go on"
        assert postgres.drop_connections() > 0
        assert queue.beat(claimed) == "go on"
        postgres.drop_connections()
        assert insist(lambda: queue.fail(claimed, {"code": "input"}))
        assert api.get("/readyz").status_code in (200, 503)

    def test_a_connection_that_is_dropped_in_the_midst_changes_nothing_and_the_next_try_does(
        self, api, postgres, short_song
    ):
        api.job("master", api.upload(short_song)["id"])
        tries = []

        def claim_and_fall():
            with api.service.database.writing() as session:
                tries.append(1)
                session.execute(text("UPDATE jobs SET state = 'running'"))
                if len(tries) < 3:
                    postgres.drop_connections()
                session.execute(text("SELECT 1"))

        insist(claim_and_fall)
        assert len(tries) == 3

    def test_a_server_that_is_gone_is_busy_and_asked_again(self, postgres, tmp_path):
        with pytest.raises(Problem, match="cannot be reached") as found:
            Database(f"postgresql://postgres@127.0.0.1:1/{Path(tmp_path).name}")
        assert found.value.code == "busy"

    def test_a_writer_that_waits_too_long_for_another_is_told_to_come_back(self, postgres, monkeypatch):
        monkeypatch.setattr("mixagent.service.store.database.BUSY_S", 0.2)
        database = Database(postgres.url())
        with database.writing() as first:
            first.execute(text("SELECT 1"))
            with pytest.raises(Problem) as found, database.writing() as second:
                second.execute(text("SELECT 1"))
        database.close()
        assert (found.value.code, found.value.status) == ("busy", 503)

    def test_whoever_reads_does_not_wait_for_who_writes(self, api):
        with api.service.database.writing() as session:
            session.execute(text("SELECT 1"))
            with api.service.database.reading() as reader:
                assert reader.execute(text("SELECT 1")).scalar() == 1
