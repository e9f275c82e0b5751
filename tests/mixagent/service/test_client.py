"""The client and `mixagent remote`: what breaks on the way, and what comes out at the end."""

import httpx
import pytest
from services import served
from songs import write_song

from mixagent.client import Client, ServiceError
from mixagent.pipeline.errors import InputError, UsageError
from mixagent.service.service import Service
from mixagent.service.settings import ServiceSettings


class Breaking(httpx.HTTPTransport):
    """A network on which every so-many-th request does not come through, or its answer does not."""

    def __init__(self, every: int) -> None:
        super().__init__()
        self._every, self.count, self.broken = every, 0, 0

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        self.count += 1
        if request.method in ("PATCH", "GET") and self.count % self._every == 0:
            self.broken += 1
            if self.broken % 2:
                raise httpx.ConnectError("cut", request=request)
            super().handle_request(request).close()
            raise httpx.ReadError("cut", request=request)
        return super().handle_request(request)


@pytest.fixture(scope="module")
def address(tmp_path_factory):
    """A service that works."""
    service = Service(ServiceSettings(data=tmp_path_factory.mktemp("client") / "data"))
    with served(service) as address:
        yield address


def test_an_upload_survives_a_bad_network(address, tmp_path, monkeypatch):
    monkeypatch.setattr("mixagent.client._PIECE_BYTES", 100_000)
    monkeypatch.setattr("mixagent.client._FIRST_WAIT_S", 0.01)
    song = write_song(tmp_path / "song.wav", seconds=2.0)
    network = Breaking(every=3)
    shares = []
    with Client(address, transport=network) as client:
        upload = client.upload(song, shares.append)
    with Client(address) as client:
        assert client._http.get(f"/v1/uploads/{upload}/content").content == song.read_bytes()
    assert network.broken > 0
    assert shares == sorted(shares)
    assert shares[-1] == 1.0


def test_errors_are_those_of_the_library(address, tmp_path):
    song = write_song(tmp_path / "song.wav", seconds=0.5)
    (tmp_path / "words.wav").write_text("words")
    with Client(address) as client:
        with pytest.raises(InputError, match=r"words.wav"):
            client.upload(tmp_path / "words.wav")
        with pytest.raises(InputError, match="cannot be read"):
            client.upload(tmp_path / "none.wav")
        upload = client.upload(song)
        with pytest.raises(UsageError) as raised:
            client.submit("master", [upload], {"target_lufs": 5})
        assert raised.value.field == "target_lufs"
        with pytest.raises(ServiceError):
            client.job("job_none")
    with pytest.raises(UsageError, match="no address"):
        Client("127.0.0.1")
    with Client("http://127.0.0.1:9") as client, pytest.raises(ServiceError, match="cannot be reached"):
        client.about()


def test_a_remote_split_is_the_split(address, mixagent, tmp_path):
    song = write_song(tmp_path / "song.wav", seconds=2.0)
    ran = mixagent("remote", "vocals", song, "-o", tmp_path / "far", "--server", address, "--quiet")
    assert ran.code == 0, ran.err
    assert mixagent("vocals", song, "-o", tmp_path / "near", "--quiet").code == 0
    names = ["song - 01 vocals.wav", "song - 02 instrumental.wav"]
    assert ran.out.splitlines() == [str(tmp_path / "far" / name) for name in names]
    for name in names:
        assert (tmp_path / "far" / name).read_bytes() == (tmp_path / "near" / name).read_bytes()
    with Client(address) as client:
        assert client._json("GET", "/v1/jobs")["jobs"] == []


def test_a_remote_analysis_says_what_is_wrong(address, mixagent, tmp_path):
    song = write_song(tmp_path / "song.wav", seconds=2.0)
    ran = mixagent("remote", "analyze", song, "--server", address, "--quiet")
    assert ran.code == 0, ran.err
    assert "hiss" in ran.out


def test_a_service_that_is_not_there_is_one_line(mixagent, song):
    ran = mixagent("remote", "analyze", song, "--server", "http://127.0.0.1:9", "--quiet")
    assert ran.code == 69
    assert ran.err.count("\n") == 1
