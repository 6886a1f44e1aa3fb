"""A TCP proxy that delays what a server answers, as a distant store does; throughput is not limited."""

import asyncio
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing import get_context


@contextmanager
def delayed(port: int, delay_s: float) -> Iterator[int]:
    """Yield a port of this machine that answers like `port`, later."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        front = int(probe.getsockname()[1])
    process = get_context("spawn").Process(target=_run, args=(front, port, delay_s), daemon=True)
    process.start()
    for _ in range(200):
        try:
            socket.create_connection(("127.0.0.1", front), 1).close()
            break
        except OSError:
            process.join(0.1)
    try:
        yield front
    finally:
        process.kill()
        process.join()


def _run(front: int, back: int, delay_s: float) -> None:
    async def serve() -> None:
        async def connect(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            answer, request = await asyncio.open_connection("127.0.0.1", back)
            await asyncio.gather(_pump(reader, request, 0.0), _pump(answer, writer, delay_s))

        server = await asyncio.start_server(connect, "127.0.0.1", front)
        await server.serve_forever()

    asyncio.run(serve())


async def _pump(source: asyncio.StreamReader, target: asyncio.StreamWriter, delay_s: float) -> None:
    """Pass bytes on, each `delay_s` after it came."""
    pieces: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue(64)
    clock = asyncio.get_running_loop().time

    async def read() -> None:
        data = b"."
        while data:
            try:
                data = await source.read(1 << 18)
            except OSError:
                data = b""
            await pieces.put((clock() + delay_s, data))

    task = asyncio.create_task(read())
    while True:
        due, data = await pieces.get()
        if not data:
            break
        await asyncio.sleep(max(due - clock(), 0.0))
        try:
            target.write(data)
            await target.drain()
        except OSError:
            break
    task.cancel()
    target.close()
