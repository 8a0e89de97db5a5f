"""AWS's own C runtime: its signer and its HTTP client, through its Python binding."""

import json
import os
import sys
import time
from concurrent.futures import Future
from urllib.parse import quote, urlsplit

from awscrt import auth, http, io

endpoint, posts, at_once = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
url = urlsplit(endpoint)
group = io.EventLoopGroup(1)
bootstrap = io.ClientBootstrap(group, io.DefaultHostResolver(group))
tls = None
if url.scheme == "https":
    options = io.TlsContextOptions()
    options.override_default_trust_store_from_path(None, os.environ["AWS_CA_BUNDLE"])
    tls = io.ClientTlsContext(options).new_connection_options()
    tls.set_server_name(url.hostname)
provider = auth.AwsCredentialsProvider.new_static("AKIDEXAMPLE", "secret", "token" * 100)
config = {
    "algorithm": auth.AwsSigningAlgorithm.V4,
    "signature_type": auth.AwsSignatureType.HTTP_REQUEST_HEADERS,
    "credentials_provider": provider,
    "region": "us-east-1",
    "service": "execute-api",
    "use_double_uri_encode": True,
}


def connect() -> http.HttpClientConnection:
    future = http.HttpClientConnection.new(
        host_name=url.hostname, port=url.port, bootstrap=bootstrap, tls_connection_options=tls
    )
    return future.result(10)


class Poster:
    """One connection that posts as soon as the last post is answered."""

    def __init__(self, places, done: Future) -> None:
        self.connection = connect()
        self.places = places
        self.done = done

    def next(self) -> None:
        place = next(self.places, None)
        if place is None:
            self.done.set_result(None)
            return
        connection_id = quote(f"L0SM9cOFvHcCI{place:06}=", safe="")
        headers = http.HttpHeaders([("host", url.netloc), ("content-length", "100")])
        path = f"{url.path}/@connections/{connection_id}"
        request = http.HttpRequest("POST", path, headers, io.InputStream(_Body()))
        signed = auth.aws_sign_request(request, auth.AwsSigningConfig(**config))
        signed.add_done_callback(self.send)

    def send(self, signed: Future) -> None:
        stream = self.connection.request(signed.result())
        stream.completion_future.add_done_callback(self.answered)
        stream.activate()

    def answered(self, completed: Future) -> None:
        assert completed.result() == 200
        self.next()


class _Body:
    def __init__(self) -> None:
        self.left = b"x" * 100

    def readinto(self, buffer) -> int:
        length = min(len(buffer), len(self.left))
        buffer[:length] = self.left[:length]
        self.left = self.left[length:]
        return length

    def read(self, size: int = -1) -> bytes:
        size = len(self.left) if size < 0 else size
        part, self.left = self.left[:size], self.left[size:]
        return part

    def seek(self, offset: int, whence: int = 0) -> int:
        self.left = b"x" * 100
        return 0


def run(number: int) -> None:
    places = iter(range(number))
    ends = [Future() for _ in posters]
    for poster, done in zip(posters, ends, strict=True):
        poster.places, poster.done = places, done
        poster.next()
    for done in ends:
        done.result(600)


posters = [Poster(iter(()), Future()) for _ in range(at_once)]
run(posts // 10)
cpu, wall = time.process_time(), time.perf_counter()
run(posts)
print(json.dumps({"cpu": time.process_time() - cpu, "wall": time.perf_counter() - wall}))
sys.stdout.flush()
os._exit(0)
