"""An S3-compatible server on the loopback address, for as long as the tests of one worker run."""

from __future__ import annotations

import logging
import threading
import uuid
from collections.abc import Iterator
from typing import Any

import pytest

KEYS = {"AWS_ACCESS_KEY_ID": "nobody", "AWS_SECRET_ACCESS_KEY": "nothing", "AWS_DEFAULT_REGION": "us-east-1"}


@pytest.fixture(scope="session")
def object_server() -> Iterator[str]:
    """Address of a server, with a bucket `grids`."""
    pytest.importorskip("s3fs", reason="needs s3fs, pip install 'noisy-prompt-bench[s3]'")
    moto = pytest.importorskip("moto.server", reason="needs moto[s3] with flask and flask-cors")
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    running = moto.ThreadedMotoServer("127.0.0.1", 0)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("moto.s3.responses.S3Response.put_object", _one_at_a_time())
        running.start()
        host, port = running.get_host_and_port()
        yield f"http://{host}:{port}"
        running.stop()


def _one_at_a_time() -> Any:
    """Moto looks whether there is an object and puts one then; Amazon's does both as one."""
    from moto.s3.responses import S3Response

    real, lock = S3Response.put_object, threading.Lock()

    def put_object(self: Any) -> Any:
        with lock:
            return real(self)

    return put_object


@pytest.fixture
def bucket(object_server: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """URL of an empty store; the environment says where the server is, for this process and those under it."""
    import boto3
    import s3fs

    for name, value in {**KEYS, "AWS_ENDPOINT_URL": object_server}.items():
        monkeypatch.setenv(name, value)
    s3fs.S3FileSystem.clear_instance_cache()  # one of another test has its server's address
    client = boto3.client("s3")
    if "grids" not in [one["Name"] for one in client.list_buckets()["Buckets"]]:
        client.create_bucket(Bucket="grids")
    yield f"s3://grids/{uuid.uuid4().hex}"
    s3fs.S3FileSystem.clear_instance_cache()
