"""The servers of the polled platforms, judged by the platforms' own libraries: what they ask is served, and
they can read what is answered. So the hub is not measured by a server that only the hub understands.
"""

import asyncio
import time

import praw
import pytest
import tweepy
import zulip
from aiogram import Bot
from aiogram.client.session.aiohttp import AiohttpSession
from aiogram.client.telegram import TelegramAPIServer
from aiogram.exceptions import TelegramRetryAfter, TelegramUnauthorizedError
from atproto_client import models
from atproto_client.models.utils import get_or_create
from mastodon import Mastodon, MastodonRatelimitError, MastodonUnauthorizedError
from requests import Session
from slack_sdk import WebClient
from slack_sdk.errors import SlackApiError

import feeds

FEEDS = feeds.by_name()


@pytest.fixture
def feed(request):
    made = FEEDS[request.param]()
    for number in range(5):
        made.say(f"text {number}", at=time.time() - 60 + number, own=number == 3)
    yield made
    made.server.close()
    assert not made.violations, "\n".join(made.violations)


def of(name):
    return pytest.mark.parametrize("feed", [name], indirect=True)


TEXTS = [f"text {number}" for number in range(5)]
INBOUND = [text for text in TEXTS if text != "text 3"]


@of("slack")
def test_slack_sdk_reads_the_workspace(feed):
    client = WebClient(token=feed.token, base_url=f"{feed.server.url}/api/")
    assert client.auth_test()["team_id"] == feed.team
    channels = [one["id"] for page in client.users_conversations(limit=1) for one in page["channels"]]
    assert channels == feed.channels
    first = client.conversations_history(channel="C1", limit=2)
    cursor = first["response_metadata"]["next_cursor"]
    assert [message["text"] for page in first for message in page["messages"]] == TEXTS[::-1]
    reply = feed.answer_to(feed.messages["C1"][0], "reply")
    thread = client.conversations_replies(channel="C1", ts=reply["thread_ts"])
    assert [message["text"] for message in thread["messages"]] == ["text 0", "reply"]
    feed.refuse(feed.limits()[0][2])
    with pytest.raises(SlackApiError) as limited:
        client.auth_test()
    assert limited.value.response["error"] == "ratelimited"
    assert limited.value.response.headers["Retry-After"] == "2"
    feed.expire()
    with pytest.raises(SlackApiError) as gone:
        client.conversations_history(channel="C1", cursor=cursor)
    assert gone.value.response["error"] == "invalid_cursor"


@of("telegram")
def test_aiogram_reads_the_updates(feed):
    feed.edit(feed.told[1]["message"], "edited")
    feed.react(feed.told[2]["message"])

    async def read():
        session = AiohttpSession(api=TelegramAPIServer.from_base(feed.server.url))
        async with Bot(feed.token, session=session) as bot:
            updates = await bot.get_updates(timeout=0)
            feed.refuse(feed.limits()[0][2])
            with pytest.raises(TelegramRetryAfter) as limited:
                await bot.get_updates(timeout=0)
            assert limited.value.retry_after == 2
            feed.revoked = True
            with pytest.raises(TelegramUnauthorizedError):
                await bot.get_updates(timeout=0)
            return updates

    updates = asyncio.run(read())
    assert [update.event_type for update in updates] == [
        "message", "message", "message", "business_message", "message", "edited_message", "message_reaction",
    ]  # fmt: skip
    assert [update.event.text for update in updates[1:5]] == TEXTS[1:]
    assert updates[5].edited_message.text == "edited"
    assert updates[6].message_reaction.new_reaction[0].emoji == "👍"


@of("mastodon")
def test_mastodon_py_reads_the_account(feed):
    client = Mastodon(access_token=feed.token, api_base_url=feed.server.url, version_check_mode="none")
    client.ratelimit_method = "throw"
    me = client.account_verify_credentials()
    first = client.notifications(limit=2)
    everything = client.fetch_remaining(first)
    assert len(everything) == len(INBOUND) and all(one.type == "mention" for one in everything)
    assert [feed.read({"text": "@hub " + text}) for text in INBOUND] == INBOUND
    newer = client.notifications(min_id=everything[-1].id, limit=2)
    assert [one.id for one in newer] == [one.id for one in everything[-3:-1]], "the oldest of what is newer"
    assert [status.visibility for status in client.account_statuses(me.id)] == ["direct"]
    assert client.conversations()[0].last_status.id == feed.statuses[-1]["id"]
    name, _, answer = feed.limits()[0]
    feed.refuse(answer)
    with pytest.raises(MastodonRatelimitError):
        client.conversations()
    feed.revoked = True
    with pytest.raises(MastodonUnauthorizedError):
        client.conversations()


@of("zulip")
def test_the_zulip_client_reads_queue_and_messages(feed):
    client = zulip.Client(email="hub-bot@zulip.example", api_key=feed.token, site=feed.server.url)
    queue = client.register(event_types=["message", "reaction", "update_message", "delete_message"])
    assert queue["result"] == "success" and queue["max_message_id"] == feed.last
    feed.say("news")
    feed.react(feed.messages[0])
    place = {"queue_id": queue["queue_id"], "last_event_id": queue["last_event_id"]}
    events = client.get_events(**place, dont_block=True)
    assert [event["type"] for event in events["events"]] == ["message", "reaction"]
    request = {"anchor": "newest", "num_before": 3, "num_after": 0}
    found = client.get_messages(request)
    assert [one["content"] for one in found["messages"]] == ["text 3", "text 4", "news"]
    assert not found["found_oldest"] and found["found_newest"]
    feed.expire()
    lost = client.get_events(queue_id=queue["queue_id"], last_event_id=0, dont_block=True)
    assert (lost["result"], lost["code"]) == ("error", "BAD_EVENT_QUEUE_ID")


@of("reddit")
def test_praw_reads_inbox_and_sent(feed):
    client = praw.Reddit(
        client_id="client",
        client_secret="s",
        refresh_token=feed.refresh,
        user_agent="linux:hub:1 (by /u/hub_bot)",
        oauth_url=feed.server.url,
        reddit_url=feed.server.url,
        check_for_updates=False,
    )
    assert [one.body for one in client.inbox.all(limit=50)] == INBOUND[::-1]
    assert [one.body for one in client.inbox.sent(limit=50)] == ["text 3"]
    assert client.auth.limits["remaining"] == 598


class ToServer(Session):
    """Requests go to the server under test, whatever host they name."""

    server = ""

    def request(self, method, url, **options):
        path = url.split("/", 3)[3]
        return super().request(method, f"{self.server}/{path}", **options)


@of("x")
def test_tweepy_reads_direct_messages(feed):
    client = tweepy.Client(bearer_token=feed.token)
    client.session = ToServer()
    client.session.server = feed.server.url
    events, token = [], None
    while True:
        more = {"pagination_token": token} if token else {}
        page = client.get_direct_message_events(max_results=2, user_auth=False, **more)
        events += page.data
        token = page.meta.get("next_token")
        if not token:
            break
    assert [event.text for event in events] == TEXTS[::-1]
    _, _, answer = feed.limits()[0]
    feed.refuse(answer)
    with pytest.raises(tweepy.TooManyRequests):
        client.get_direct_message_events(user_auth=False)
    feed.revoked = True
    with pytest.raises(tweepy.Unauthorized):
        client.get_direct_message_events(user_auth=False)


@of("bluesky")
def test_the_models_of_atproto_read_the_log(feed):
    chat = models

    def get(name, **query):
        call = type("Call", (), {"method": "GET", "path": f"/xrpc/{name}", "query": query})
        status, body, *_ = feed.route(call)
        assert status == 200
        return body

    message = feed.messages["convo1"][0]
    feed.react(message)
    feed.delete(feed.messages["convo1"][1])
    log = get_or_create(get("chat.bsky.convo.getLog"), chat.ChatBskyConvoGetLog.Response)
    kinds = [entry.py_type.rpartition("#")[2] for entry in log.logs]
    assert kinds == ["logCreateMessage"] * 5 + ["logAddReaction", "logDeleteMessage"]
    assert [entry.message.text for entry in log.logs[:5]] == TEXTS
    assert log.logs[5].reaction.value == "👍"
    convos = get_or_create(get("chat.bsky.convo.listConvos"), chat.ChatBskyConvoListConvos.Response)
    assert {convo.id for convo in convos.convos} == {"convo1", "convo2"}
    listed = get("chat.bsky.convo.getMessages", convoId="convo1")
    found = get_or_create(listed, chat.ChatBskyConvoGetMessages.Response)
    kinds = [one.py_type.rpartition("#")[2] for one in found.messages]
    assert kinds == ["messageView", "messageView", "messageView", "deletedMessageView", "messageView"]
