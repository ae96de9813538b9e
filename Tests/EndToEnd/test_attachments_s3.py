"""Files in an S3-compatible store: moto's server, which checks the signature of every request with botocore's signer."""

import os
import subprocess
import sys

import boto3
import pytest
import requests

from attachments import Source, fetch, png, settled
from hub import free_port, unique, wait_until
from platform_server import PlatformServer

BUCKET = "hub-files"
# Making the user, its policy, its key and the bucket; from then on requests must be signed and allowed.
OPEN_REQUESTS = 4


class Store:
    """moto with authentication: one user with one key, and its bucket."""

    def __init__(self, folder):
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        environment = {k: v for k, v in os.environ.items() if not k.startswith("AWS_")}
        self.log = open(folder / "moto.log", "wb")
        self.process = subprocess.Popen(
            [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(self.port)],
            env=environment | {"INITIAL_NO_AUTH_ACTION_COUNT": str(OPEN_REQUESTS)}, stdout=self.log, stderr=self.log,
        )
        session = requests.Session()
        session.trust_env = False
        wait_until(lambda: self.answers(session), 60, "the S3 server")
        iam = self.client("iam", "first", "first")
        iam.create_user(UserName="hub")
        document = '{"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "s3:*", "Resource": "*"}]}'
        iam.put_user_policy(UserName="hub", PolicyName="files", PolicyDocument=document)
        key = iam.create_access_key(UserName="hub")["AccessKey"]
        self.access, self.secret = key["AccessKeyId"], key["SecretAccessKey"]
        self.s3 = self.client("s3", self.access, self.secret)
        self.s3.create_bucket(Bucket=BUCKET, CreateBucketConfiguration={"LocationConstraint": "eu-central-1"})

    def answers(self, session):
        assert self.process.poll() is None, "moto ended"
        try:
            return session.get(self.url + "/moto-api/data.json", timeout=2).status_code == 200
        except requests.RequestException:
            return False

    def client(self, service, access, secret):
        return boto3.client(
            service, endpoint_url=self.url, region_name="eu-central-1", aws_access_key_id=access, aws_secret_access_key=secret
        )

    def keys(self):
        return sorted(one["Key"] for one in self.s3.list_objects_v2(Bucket=BUCKET).get("Contents", []))

    def settings(self, **more):
        return {
            "S3_ENDPOINT": self.url, "S3_BUCKET": BUCKET, "S3_REGION": "eu-central-1", "S3_ACCESS_KEY": self.access,
            "S3_SECRET_KEY": self.secret,
        } | more

    def close(self):
        self.process.kill()
        self.process.wait()
        self.log.close()


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    store = Store(tmp_path_factory.mktemp("moto"))
    yield store
    store.close()


def test_the_store_checks_signatures(store):
    """Otherwise the tests below would show nothing of them."""
    with pytest.raises(Exception, match="SignatureDoesNotMatch|InvalidAccessKeyId|403"):
        store.client("s3", store.access, "wrong").list_objects_v2(Bucket=BUCKET)


@pytest.mark.parametrize("size", [0, 1_000, 20_000_000])
def test_files_go_there_and_come_back(own_hub, store, size):
    """The largest goes in parts."""
    hub = own_hub("s3", **store.settings())
    user = hub.user()
    content = png(size) if size else b""
    place = Source(user, lambda call: (200, content))
    try:
        kind = "image" if size else "file"
        message = place.say(place.file(kind=kind))
        stored = settled(user, message, "stored", seconds=60)
        assert stored["size"] == len(content)
        assert fetch(user, stored["url"]).content == content
        if size > 5_000:
            answer = fetch(user, stored["url"], Range="bytes=2097150-8388610")
            assert answer.status_code == 206 and answer.content == content[2097150:8388611]
        mine = store.keys()
        assert len(mine) == 1
        assert not (hub.data / "files").exists()
        upload = hub.request("POST", "/api/uploads?name=a.bin", token=user.token, data=b"abc").json()
        assert f"uploads/{upload['uploadId']}" in store.keys()
        user.request("DELETE", f"/api/accounts/{place.account.id}", expect=204)
        with hub.database() as database:
            database.execute("UPDATE uploads SET created_at = now() - interval '25 hours'")
        wait_until(lambda: not store.keys(), 60, "the deletion of what nobody needs")
        assert not store.s3.list_multipart_uploads(Bucket=BUCKET).get("Uploads")
    finally:
        place.server.close()


def test_a_store_that_refuses_is_tried_again(own_hub, store):
    hub = own_hub("s3-refused", **store.settings(S3_SECRET_KEY="wrong"))
    user = hub.user()
    place = Source(user, lambda call: (200, png()))
    try:
        message = place.say(place.file())
        wait_until(lambda: len(place.server.calls) >= 2, 20)
        assert user.get(f"/api/messages/{message['id']}")["attachments"][0]["state"] == "remote"
        assert "wrong" not in hub.log_text()
        refused = hub.request("POST", "/api/uploads?name=a.bin", token=user.token, data=b"abc")
        assert refused.status_code >= 500
    finally:
        place.server.close()


def test_half_a_configuration_stops_the_start(own_hub):
    from hub import Hub

    hub = Hub("s3-half", S3_BUCKET="b")
    try:
        result = hub.command("serve", check=False)
        assert result.returncode != 0 and "S3_ENDPOINT" in result.stdout + result.stderr
    finally:
        hub.close()
