"""A way to the container engine that can be cut: ``python engine_proxy.py LISTEN ENGINE``, two unix sockets."""

import asyncio
import sys
from pathlib import Path


async def copy(source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
    while data := await source.read(1 << 16):
        target.write(data)
        await target.drain()
    if target.can_write_eof():
        target.write_eof()


async def main(listen: str, engine: str) -> None:
    async def connect(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        inner_reader, inner_writer = await asyncio.open_unix_connection(engine)
        await asyncio.gather(copy(reader, inner_writer), copy(inner_reader, writer), return_exceptions=True)
        inner_writer.close()
        writer.close()

    Path(listen).unlink(missing_ok=True)
    async with await asyncio.start_unix_server(connect, listen) as server:
        await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
