"""Blobs in an S3, behind a network that is slow, away, or answers twice."""

import asyncio
import hashlib
import os
import time

import httpx
import pytest
import servers
import services
from servers import BUCKET, S3_KEYS, Unreliable
from services import called

from mixagent.pipeline.errors import UsageError
from mixagent.service.problems import Problem
from mixagent.service.store import objects
from mixagent.service.store.blobs import open_blobs
from mixagent.service.store.objects import ObjectBlobs
from mixagent.service.store.tables import Condemned

pytestmark = pytest.mark.skipif(servers.NO_S3 is not None, reason=str(servers.NO_S3))

URL = f"s3://{BUCKET}/some/where"


@pytest.fixture(scope="module")
def behind():
    with servers.s3() as address:
        yield address


@pytest.fixture
def network(behind, monkeypatch):
    """An S3, for this process, behind a network that does as it is told."""
    found = Unreliable(behind)
    with found.open() as address:
        for name, value in {**S3_KEYS, "AWS_ENDPOINT_URL": address}.items():
            monkeypatch.setenv(name, value)
        yield found


@pytest.fixture
def blobs(network, monkeypatch) -> ObjectBlobs:
    monkeypatch.setattr(objects, "_WAITS_S", (0.0, 0.0))
    # The least that an S3 takes.
    monkeypatch.setattr(objects, "_PART_BYTES", 5 << 20)
    return open_blobs(URL, None)


def put(blobs, folder, data: bytes) -> str:
    file = folder / "file"
    file.write_bytes(data)
    return blobs.put(file)


def read(blobs, sha256: str, start: int, stop: int) -> bytes:
    async def all_of_it() -> bytes:
        return b"".join([piece async for piece in blobs.read(sha256, start, stop)])

    return asyncio.run(all_of_it())


def test_what_was_put_is_found_read_by_ranges_listed_and_forgotten(blobs, tmp_path):
    data = os.urandom(5_000_000)
    sha256 = put(blobs, tmp_path, data)
    assert sha256 == hashlib.sha256(data).hexdigest()
    assert blobs.has(sha256)
    blobs.fetch(sha256, tmp_path / "to")
    assert (tmp_path / "to").read_bytes() == data
    for start, stop in ((0, 1), (4_999_999, 5_000_000), (1_000_000, 4_500_000), (7, 7)):
        assert read(blobs, sha256, start, stop) == data[start:stop]
    assert [(blob.sha256, blob.bytes) for blob in blobs.all()] == [(sha256, len(data))]
    blobs.delete(sha256)
    blobs.delete(sha256)
    assert not blobs.has(sha256)
    with pytest.raises(FileNotFoundError):
        blobs.fetch(sha256, tmp_path / "gone")


def test_large_files_go_in_parts_lie_under_their_hash_and_may_be_kept_for_good(
    blobs, network, behind, tmp_path
):
    data = os.urandom(11_000_000)
    sha256 = put(blobs, tmp_path, data)
    parts = {word for word in network.asked if "partNumber" in word}
    assert len(parts) == 3
    there = httpx.head(f"{behind}/{BUCKET}/some/where/{sha256[:2]}/{sha256}")
    assert there.headers["Content-Length"] == str(len(data))
    assert "immutable" in there.headers["Cache-Control"]
    network.asked.clear()
    put(blobs, tmp_path, data)
    assert [word.split()[0] for word in network.asked] == ["HEAD"]
    blobs.fetch(sha256, tmp_path / "to")
    assert (tmp_path / "to").read_bytes() == data
    blobs.delete(sha256)


@pytest.mark.parametrize("fault", ["503", "drop", "twice", "slow"])
@pytest.mark.parametrize("size", [1000, 11_000_000])
def test_an_s3_that_is_out_of_order_for_a_moment_loses_nothing(blobs, network, tmp_path, fault, size):
    data = os.urandom(size)
    # In parts there are six requests: the beginning, three parts, the end, and the look before.
    for place in (1,) if size == 1000 else (1, 3, 5):
        network.faults = ["", *[""] * (place - 1), fault]
        sha256 = put(blobs, tmp_path, data)
        network.faults = []
        blobs.fetch(sha256, tmp_path / "to")
        assert (tmp_path / "to").read_bytes() == data
        network.faults = [fault]
        blobs.delete(sha256)
        assert not blobs.has(sha256)


@pytest.mark.parametrize("fault", ["503", "drop", "cut", "other", "slow"])
def test_what_is_fetched_is_what_was_put_whatever_came_first(blobs, network, tmp_path, fault):
    data = os.urandom(100_000)
    sha256 = put(blobs, tmp_path, data)
    network.faults = ["", fault]
    blobs.fetch(sha256, tmp_path / "to")
    assert (tmp_path / "to").read_bytes() == data
    if fault != "other":
        network.faults = [fault]
        assert read(blobs, sha256, 10, 99_000) == data[10:99_000]
    blobs.delete(sha256)


def test_an_s3_that_stays_away_is_busy_after_a_while(network, monkeypatch, tmp_path):
    monkeypatch.setattr(objects, "_WAITS_S", (0.0,))
    monkeypatch.setattr(objects, "_RETRIES", 1)
    blobs = ObjectBlobs(URL)
    network.faults = ["503"] * 50
    begun = time.monotonic()
    with pytest.raises(Problem) as found:
        put(blobs, tmp_path, b"a song")
    assert (found.value.code, found.value.retry_after_s) == ("busy", 10)
    assert time.monotonic() - begun < 30


def test_a_bucket_that_is_not_there_and_a_store_that_is_none_are_told_at_the_start(network):
    for url in ("s3://nobodys/a", "ftp://a/b", "s3:///a"):
        with pytest.raises(UsageError):
            open_blobs(url, None)


def test_a_folder_may_be_named_in_place_of_an_s3(tmp_path):
    for url in (f"file://{tmp_path}/a", f"{tmp_path}/a"):
        blobs = open_blobs(url, None)
        sha256 = put(blobs, tmp_path, b"song")
        assert (tmp_path / "a" / sha256[:2] / sha256).read_bytes() == b"song"


def test_a_download_is_sent_on_to_an_address_that_the_store_takes_for_a_while(blobs, behind, tmp_path):
    data = b"RIFF a song"
    sha256 = put(blobs, tmp_path, data)
    address = blobs.address(sha256, "Grüße – Ü.wav", "audio/wav", 60)
    assert "X-Amz-Expires=60" in address
    found = httpx.get(address)
    assert (found.content, found.headers["Content-Type"]) == (data, "audio/wav")
    assert "Gr%C3%BC%C3%9Fe" in found.headers["Content-Disposition"]
    blobs.delete(sha256)


def test_a_signature_is_that_of_the_published_example():
    from datetime import UTC, datetime

    from mixagent.service.store.signing import Signature

    # AWS, "Authenticating requests: using query parameters", its example.
    signature = Signature(
        endpoint="https://examplebucket.s3.amazonaws.com",
        bucket="examplebucket",
        prefix="",
        region="us-east-1",
        key_id="AKIAIOSFODNN7EXAMPLE",
        secret="wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY",
        virtual=True,
    )
    signed = signature._signed("test.txt", {}, 86_400, datetime(2013, 5, 24, tzinfo=UTC))
    assert signed.endswith("X-Amz-Signature=aeeed9bbccd4d02ee5c0109b86d86835f995330da4c265957d157751f604d404")


class TestService:
    """A whole service whose bytes lie in an S3."""

    @pytest.fixture
    def api(self, tmp_path, blobs, monkeypatch):
        monkeypatch.setitem(services.EVERYWHERE, "store_url", URL)
        with called(tmp_path, presigned=True) as caller:
            yield caller

    def test_a_song_goes_in_and_comes_back_by_the_service_or_by_the_store(self, api, network, short_song):
        upload = api.upload(short_song)
        assert not any(path.is_file() for path in api.service.settings.blobs.rglob("*"))
        url = f"/v1/uploads/{upload['id']}/content"
        whole = short_song.read_bytes()
        network.faults = ["slow"]
        assert api.get(url).content == whole
        assert api.get(url, headers={"Range": "bytes=4-99"}).content == whole[4:100]
        sent_on = api.get(url, params={"download": True})
        assert sent_on.status_code == 307
        assert httpx.get(sent_on.headers["Location"]).content == whole

    def test_deleted_bytes_are_gone_after_the_sweep_and_what_is_put_again_is_kept(self, api, short_song):
        first = api.upload(short_song)
        sha256 = first["sha256"]
        assert api("DELETE", f"/v1/uploads/{first['id']}").status_code == 204
        assert api.service.blobs.has(sha256)
        again = api.upload(short_song)
        api.service.sweeper.sweep_bytes()
        assert api.service.blobs.has(sha256)
        api("DELETE", f"/v1/uploads/{again['id']}")
        api.service.sweeper.sweep_bytes()
        assert not api.service.blobs.has(sha256)

    def test_bytes_that_were_deleted_between_their_upload_and_their_row_are_put_again(self, api, short_song):
        first = api.upload(short_song)
        sha256, put = first["sha256"], api.service.blobs.put

        def put_and_lose(file):
            found = put(file)
            api.service.blobs.put = put
            api("DELETE", f"/v1/uploads/{first['id']}")
            api.service.sweeper.sweep_bytes()
            assert not api.service.blobs.has(sha256)
            return found

        api.service.blobs.put = put_and_lose
        again = api.upload(short_song)
        assert (again["state"], again["sha256"]) == ("ready", sha256)
        assert api.service.blobs.has(sha256)
        with api.service.database.reading() as session:
            assert session.get(Condemned, sha256) is None
