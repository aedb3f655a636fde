"""The Python subscriber library, told what to do by a test: JSON lines in on stdin, JSON lines out on stdout.

A request is {"id", "do", …}; its answer is {"id", "ok": {…}} or {"id", "error"}. What comes by itself is {"event", …}.
"""

import asyncio
import base64
import hashlib
import json
import os
import socket
import sys
import tempfile
from contextlib import AsyncExitStack

import uvicorn
import zstandard
from fastapi import FastAPI
from lonelypsc.config.file_config import get_auth_config_from_file
from lonelypsc.config.http_config import make_http_pub_sub_config
from lonelypsc.config.ws_config import make_websocket_pub_sub_config
from lonelypsc.http_client import HttpPubSubClient
from lonelypsc.ws_client import WebsocketPubSubClient
from lonelypsp.auth.config import AuthConfigFromParts
from lonelypsp.tracing.impl.simple.config import SimpleTracingConfig
from lonelypsp.tracing.impl.simple.db import SimpleTracingDBSidecar
from lonelypsp.tracing.impl.simple.root import SimpleTracingSubscriberRoot

# Above this, a message is told by its size and hash alone.
SHOWN = 64 * 1024


def tell(value):
    sys.stdout.write(json.dumps(value) + "\n")
    sys.stdout.flush()


class Peer:
    """One client of the library."""

    def __init__(self, name):
        self.name = name
        self.stack = AsyncExitStack()
        self.subscriptions = {}

    async def open_http(self, broadcaster, secrets):
        """With a port of its own."""
        # Bound here, so that the port is known before the client is made, and nobody else can get it in between.
        # The protocol is stated: asyncio takes the delay off small writes for such sockets alone.
        listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
        listener.bind(("127.0.0.1", 0))
        host = f"http://127.0.0.1:{listener.getsockname()[1]}"

        async def serve(router):
            app = FastAPI()
            app.include_router(router)
            await uvicorn.Server(uvicorn.Config(app, log_level="warning", lifespan="off")).serve(sockets=[listener])

        to_subscriber, to_broadcaster = get_auth_config_from_file(secrets)
        tracing = SimpleTracingConfig()
        database = await self.stack.enter_async_context(SimpleTracingDBSidecar(tracing, ":memory:"))
        self.client = await self.stack.enter_async_context(HttpPubSubClient(make_http_pub_sub_config(
            bind={"type": "manual", "callback": serve},
            host=host,
            broadcasters=[{"host": broadcaster}],
            outgoing_retries_per_broadcaster=1,
            message_body_spool_size=1024 * 1024 * 10,
            outgoing_http_timeout_total=30,
            outgoing_http_timeout_connect=None,
            outgoing_http_timeout_sock_read=None,
            outgoing_http_timeout_sock_connect=5,
            outgoing_retry_ambiguous=False,
            auth=AuthConfigFromParts(to_broadcaster, to_subscriber),
            tracing=SimpleTracingSubscriberRoot(database, tracing).stateless,
        )))
        return {"host": host}

    async def open_socket(self, broadcaster, secrets, minimal, most, compression, training, dictionaries, initial):
        to_subscriber, to_broadcaster = get_auth_config_from_file(secrets)
        presets = {
            one["id"]: (zstandard.ZstdCompressionDict(base64.b64decode(one["data"])), one["level"]) for one in dictionaries
        }
        self.client = await self.stack.enter_async_context(WebsocketPubSubClient(make_websocket_pub_sub_config(
            broadcasters=[{"host": broadcaster}],
            outgoing_initial_connect_retries=2,
            outgoing_min_reconnect_interval=0.01,
            max_websocket_message_size=most,
            websocket_open_timeout=30,
            websocket_close_timeout=30,
            websocket_heartbeat_interval=30,
            websocket_minimal_headers=minimal,
            max_sent_notifications=None,
            max_unsent_notifications=None,
            max_expected_acks=None,
            max_received=None,
            max_unsent_acks=None,
            allow_compression=compression,
            compression_dictionary_by_id=presets,
            initial_compression_dict_id=initial,
            allow_training_compression=training,
            decompression_max_window_size=0,
            auth=AuthConfigFromParts(to_broadcaster, to_subscriber),
        )))
        return {}

    async def subscribe(self, name, exact, glob):
        ready = asyncio.get_running_loop().create_future()
        leave = asyncio.Event()
        task = asyncio.create_task(self.listen(name, exact, glob, ready, leave))
        self.subscriptions[name] = (task, leave)
        await asyncio.wait({task, asyncio.ensure_future(ready)}, return_when=asyncio.FIRST_COMPLETED)
        if task.done():
            await task
        return {}

    async def listen(self, name, exact, glob, ready, leave):
        async def receiving():
            # Again after every time when it may have missed something.
            if ready.done():
                tell({"event": "receiving", "client": self.name, "subscription": name})
            else:
                ready.set_result(None)

        topics = [base64.b64decode(topic) for topic in exact]
        async with self.client.subscribe(exact=topics, glob=glob, on_receiving=receiving) as subscription:
            messages = await subscription.messages()
            left = asyncio.create_task(leave.wait())
            while True:
                # Asking for the next message is what lets go of the one before.
                coming = asyncio.create_task(messages.__anext__())
                await asyncio.wait({coming, left}, return_when=asyncio.FIRST_COMPLETED)
                if not coming.done():
                    coming.cancel()
                    # Awaited while the subscription is there; how it ends is of no interest.
                    await asyncio.gather(coming, return_exceptions=True)
                    return
                message = coming.result()
                data = message.data.read()
                tell({
                    "event": "message", "client": self.name, "subscription": name,
                    "topic": base64.b64encode(message.topic).decode(),
                    "size": len(data), "sha512": hashlib.sha512(data).hexdigest(), "stated": message.sha512.hex(),
                    "data": base64.b64encode(data).decode() if len(data) <= SHOWN else None,
                })

    async def unsubscribe(self, name):
        task, leave = self.subscriptions.pop(name)
        leave.set()
        await task
        return {}

    async def notify(self, topic, data=None, size=None, content=None):
        topic = base64.b64decode(topic)
        if size is None:
            result = await self.client.notify(trace_initializer=None, topic=topic, data=base64.b64decode(data))
            return {"notified": result.notified}
        with tempfile.TemporaryFile() as file:
            body = os.urandom(size) if content == "random" else (b"A line that comes again.\n" * (size // 25 + 1))[:size]
            file.write(body)
            file.seek(0)
            result = await self.client.notify(trace_initializer=None, topic=topic, sync_file=file)
            return {"notified": result.notified, "sha512": hashlib.sha512(body).hexdigest()}

    async def notify_all(self, topic, data):
        """All at once, in this order."""
        topic = base64.b64decode(topic)
        results = await asyncio.gather(*(
            self.client.notify(trace_initializer=None, topic=topic, data=base64.b64decode(one)) for one in data
        ))
        return {"notified": [result.notified for result in results]}

    async def close(self):
        for name in list(self.subscriptions):
            await self.unsubscribe(name)
        await self.stack.aclose()
        return {}


async def answer(peers, request):
    try:
        args = {key: value for key, value in request.items() if key not in ("id", "do", "client")}
        if request["do"] in ("open_http", "open_socket"):
            peers[request["client"]] = Peer(request["client"])
        ok = await getattr(peers[request["client"]], request["do"])(**args)
        tell({"id": request["id"], "ok": ok})
    except Exception as error:
        tell({"id": request["id"], "error": f"{type(error).__name__}: {error}"})


async def main():
    lines = asyncio.StreamReader(limit=16 * 1024 * 1024)
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(lines), sys.stdin)
    peers = {}
    running = set()
    tell({"event": "ready"})
    while line := await lines.readline():
        task = asyncio.create_task(answer(peers, json.loads(line)))
        running.add(task)
        task.add_done_callback(running.discard)


if __name__ == "__main__":
    asyncio.run(main())
