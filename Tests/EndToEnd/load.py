"""A model client under load: it keeps what was acknowledged, and repeats what was not."""

import asyncio
import time

import aiohttp


class Load:
    """Sends numbered Telegram messages without end until stopped; each until it has its 2xx."""

    def __init__(self, accounts, connections=16, pace=0.004):
        self.accounts = accounts
        self.connections = connections
        self.pace = pace
        self.next_number = 1
        self.acknowledged = []  # (account id, chat, text) of each 2xx
        self.answers = []  # (time, status, headers) of what was not 2xx
        self.stopping = False
        self.tasks = []
        self.session = None

    async def start(self):
        self.session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0), timeout=aiohttp.ClientTimeout(total=15)
        )
        self.tasks = [asyncio.create_task(self._lane()) for _ in range(self.connections)]

    async def _lane(self):
        while not self.stopping:
            number = self.next_number
            self.next_number += 1
            account = self.accounts[number % len(self.accounts)]
            chat = 1000 + number % 5
            text = f"load {number}"
            headers, body = account.signed(account.update(number, text, chat=chat))
            await self._until_acknowledged(account, headers, body)
            self.acknowledged.append((account.id, chat, text))
            await asyncio.sleep(self.pace)

    async def _until_acknowledged(self, account, headers, body):
        while True:
            try:
                async with self.session.post(account.hub.url + account.path, data=body, headers=headers) as response:
                    await response.read()
                    if response.status // 100 == 2:
                        return
                    self.answers.append((time.monotonic(), response.status, dict(response.headers)))
            except (aiohttp.ClientError, TimeoutError, OSError):
                pass
            await asyncio.sleep(0.05)

    async def until_acknowledged(self, count, seconds=60):
        deadline = time.monotonic() + seconds
        while len(self.acknowledged) < count:
            for task in self.tasks:
                if task.done():
                    task.result()  # Raises what ended the lane.
            assert time.monotonic() < deadline, f"{len(self.acknowledged)} of {count} were acknowledged in {seconds} s"
            await asyncio.sleep(0.05)

    async def stop(self):
        """Every message begun is finished, so that what was sent equals what was acknowledged."""
        self.stopping = True
        try:
            await asyncio.wait_for(asyncio.gather(*self.tasks), 60)
        finally:
            await self.session.close()


def assert_all_there_once(user, accounts, acknowledged):
    """Every acknowledged message is stored exactly once, in its account and conversation."""
    stored = []
    for conversation in user.conversations(limit=100):
        for message in user.messages(conversation["id"], limit=100):
            stored.append((message["accountId"], message["text"]))
    expected = sorted((account, text) for account, _, text in acknowledged)
    assert sorted(stored) == expected


def assert_log_is_whole(user):
    """No gap and no double in the user's event log, and one `new_message` a message."""
    log = user.events()
    seqs = [item["seq"] for item in log]
    assert seqs == list(range(1, len(seqs) + 1))
    told = [item["data"]["message"]["id"] for item in log if item["type"] == "new_message"]
    assert len(told) == len(set(told))
    return log
