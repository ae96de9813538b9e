"""Calls the SQL functions the way the hub does: arrays in, event rows out."""

import hashlib
import itertools
import json
import os
import time
import uuid
from datetime import datetime, timedelta, timezone

import psycopg
from psycopg.rows import dict_row

EPOCH = datetime(2026, 11, 21, 10, 0, 0, tzinfo=timezone.utc)
_counter = itertools.count()

DELIVERY = [("id", "uuid"), ("tenant", "text"), ("account", "uuid"), ("platform", "text"), ("received", "timestamptz"),
            ("headers", "text"), ("body", "bytea"), ("hash", "bytea"), ("parser", "int4"), ("state", "text"),
            ("reason", "text"), ("items", "int4")]
MESSAGE = [("delivery", "int4"), ("id", "uuid"), ("conv_id", "uuid"), ("conv_ext", "text"), ("conv_kind", "text"),
           ("conv_title", "text"), ("ext", "text"), ("dir", "int2"), ("kind", "text"), ("text", "text"),
           ("sender_id", "text"), ("sender_name", "text"), ("sender_avatar", "text"), ("reply_ext", "text"),
           ("thread", "text"), ("attachments", "text"), ("details", "text"), ("preview", "text"), ("status", "text"),
           ("sent", "timestamptz"), ("order", "int8")]
CHANGE = [("delivery", "int4"), ("kind", "text"), ("conv_ext", "text"), ("ext", "text"), ("at", "timestamptz"),
          ("order", "int8"), ("body", "text")]
_types = [t for group in (DELIVERY, MESSAGE, CHANGE) for _, t in group]
INGEST = "SELECT * FROM ingest(" + ", ".join(f"%s::{t}[]" for t in _types) + ", %s)"


def at(seconds):
    return EPOCH + timedelta(seconds=seconds)


def new_id():
    """A UUIDv7; ids made later compare greater."""
    n = next(_counter)
    ms = time.time_ns() // 1_000_000
    return uuid.UUID(int=(ms << 80) | (0x7 << 76) | ((n >> 14 & 0xFFF) << 64) | (0b10 << 62) | ((n & 0x3FFF) << 48)
                     | int.from_bytes(os.urandom(6), "big"))


def message(ext, conv="c1", sent=None, text=None, dir=0, sender=("u-1", "Ann"), order=0, **more):
    text = f"text {ext}" if text is None else text
    sent = at(int(ext)) if sent is None else sent
    return dict(is_message=True, conv_ext=conv, ext=str(ext), sent=sent, dir=dir, text=text, preview=text, order=order,
                kind=more.pop("kind", "text"), conv_kind=more.pop("conv_kind", "direct"), sender_id=sender and sender[0],
                sender_name=sender and sender[1], **more)


def change(kind, ext=None, conv="c1", seconds=0, order=0, **body):
    return dict(is_message=False, kind=kind, conv_ext=conv, ext=None if ext is None else str(ext), at=at(seconds),
                order=order, body=json.dumps(body))


class Hub:
    """One tenant's view of a database: makes users and accounts, ingests, reads."""

    def __init__(self, url, tenant=None):
        self.url = url
        self.tenant = tenant or "t-" + os.urandom(4).hex()
        self.writer = psycopg.connect(url, autocommit=True, options="-c role=hub_writer", row_factory=dict_row)
        self.reader = psycopg.connect(url, autocommit=True, options="-c role=hub_reader", row_factory=dict_row)
        self.admin = psycopg.connect(url, autocommit=True, row_factory=dict_row)

    def close(self):
        for connection in (self.writer, self.reader, self.admin):
            connection.close()

    def user(self, user):
        self.writer.execute("SELECT * FROM open_user(%s, %s, %s, %s)", (self.tenant, user, f"{user}@x.y", ["agent"]))
        return user

    def account(self, owner, platform="telegram"):
        account = new_id()
        self.user(owner)
        self.writer.execute("SELECT * FROM create_account(%s, %s, %s, %s, %s, %s)",
                            (self.tenant, account, platform, "Support", owner, account.hex))
        return account, platform

    def ingest(self, account, deliveries, notify=False, connection=None, ids=None):
        """deliveries: a list of lists of items, each from message() or change()."""
        d, m, c = [], [], []
        for number, items in enumerate(deliveries, 1):
            body = b"{}"
            d.append(dict(id=ids[number - 1] if ids else new_id(), tenant=self.tenant, account=account[0],
                          platform=account[1], received=at(0), headers="{}", body=body,
                          hash=hashlib.sha256(body).digest(), parser=1, state="done", reason=None, items=len(items)))
            for item in items:
                item = dict(item, delivery=number)
                if item.pop("is_message"):
                    m.append(dict(item, id=new_id(), conv_id=new_id()))
                else:
                    c.append(item)
        arguments = []
        for rows, columns in ((d, DELIVERY), (m, MESSAGE), (c, CHANGE)):
            arguments += [[row.get(name) for row in rows] for name, _ in columns]
        events = (connection or self.writer).execute(INGEST, [*arguments, notify]).fetchall()
        for event in events:
            event["data"] = json.loads(event["data"])
        return events

    def rows(self, sql, *arguments):
        return self.admin.execute(sql, arguments).fetchall()

    def value(self, sql, *arguments):
        row = self.admin.execute(sql, arguments).fetchone()
        return next(iter(row.values())) if row else None

    def read(self, user, sql, *arguments):
        with self.reader.transaction():
            self.reader.execute("SELECT set_config('hub.tenant', %s, true), set_config('hub.user', %s, true)",
                                (self.tenant, user))
            return self.reader.execute(sql, arguments).fetchall()

    def change(self, sql, *arguments):
        events = self.writer.execute(sql, arguments).fetchall()
        for event in events:
            event["data"] = json.loads(event["data"])
        return events

    def unread(self, user):
        return json.loads(self.read(user, "SELECT unread_counts(%s, %s) AS j", self.tenant, user)[0]["j"])

    def drift(self):
        return self.writer.execute("SELECT * FROM verify_unread(%s)", (self.tenant,)).fetchall()
