"""Downloads that stop go on where they stopped, from a server of this machine."""

import hashlib
import http.server
import threading

import pytest

from utils.data.sources.fetching import download, fetch_archive
from utils.errors import UserError

CONTENT = bytes(range(256)) * 1000
MD5 = hashlib.md5(CONTENT).hexdigest()


class Handler(http.server.BaseHTTPRequestHandler):
    """Serves CONTENT; the server says whether from the middle too, and at which byte it breaks off."""

    def do_GET(self):
        asked = self.headers.get("Range")
        self.server.asked.append(asked)
        begin = int(asked.removeprefix("bytes=").removesuffix("-")) if asked and self.server.ranges else 0
        if begin >= len(CONTENT):
            self.send_error(416)
            return
        self.send_response(206 if asked and self.server.ranges else 200)
        self.send_header("Content-Length", str(len(CONTENT) - begin))
        self.end_headers()
        self.wfile.write(CONTENT[begin : self.server.breaks_at])

    def log_message(self, *args):
        pass


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch):
    """What is asked for is on this machine, whatever the environment says."""
    monkeypatch.setenv("no_proxy", "*")


@pytest.fixture
def server():
    """A server, and its URL."""
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as served:
        served.ranges, served.breaks_at, served.asked = True, None, []
        threading.Thread(target=served.serve_forever, args=(0.01,), daemon=True).start()
        yield served, f"http://127.0.0.1:{served.server_port}/a.tar.gz"
        served.shutdown()


@pytest.mark.parametrize("ranges", [True, False])
def test_it_goes_on_where_it_stopped(server, tmp_path, ranges):
    served, url = server
    served.ranges, served.breaks_at = ranges, 100_000
    path = tmp_path / "a.tar.gz"
    with pytest.raises(UserError, match=r"97\.7 KiB of 250\.0 KiB came.*97\.7 KiB are there, and the next try goes on"):
        fetch_archive("CIFAR10", url, path, MD5, tmp_path / "folder")
    assert [file.name for file in tmp_path.iterdir()] == ["a.tar.gz.part"]
    served.breaks_at = None
    download(url, path, MD5)
    assert path.read_bytes() == CONTENT
    download(url, path, MD5)  # it is there
    assert served.asked == [None, "bytes=100000-"]
    assert [file.name for file in tmp_path.iterdir()] == ["a.tar.gz"]


def test_all_of_it_came_before_a_kill(server, tmp_path):
    (tmp_path / "a.part").write_bytes(CONTENT)
    download(server[1], tmp_path / "a", MD5)
    assert (tmp_path / "a").read_bytes() == CONTENT


def test_another_file_is_refused_and_not_kept(server, tmp_path):
    with pytest.raises(RuntimeError, match="its md5 is not 0123"):
        download(server[1], tmp_path / "a", "0123")
    assert not list(tmp_path.iterdir())


def test_nothing_is_left_where_there_is_no_server(tmp_path):
    with pytest.raises(UserError, match=r"could not be downloaded .*; put a or a\.npz into"):
        fetch_archive("CIFAR10", "http://127.0.0.1:1/a", tmp_path / "a", MD5, tmp_path / "folder", otherwise="a.npz")
    assert not list(tmp_path.iterdir())


def test_two_at_once(server, tmp_path):
    threads = [threading.Thread(target=download, args=(server[1], tmp_path / "a", MD5)) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (tmp_path / "a").read_bytes() == CONTENT
    assert [file.name for file in tmp_path.iterdir()] == ["a"]
    assert len(server[0].asked) == 1
