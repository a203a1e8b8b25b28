import asyncio
import socket

from serve.server import bind


def test_an_answer_does_not_wait_for_the_acknowledgement_of_its_headers() -> None:
    """Nagle's algorithm is off on every connection that is accepted."""

    async def accepted() -> bool:
        found: asyncio.Future[bool] = asyncio.get_running_loop().create_future()

        async def seen(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            connection = writer.get_extra_info("socket")
            found.set_result(bool(connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)))
            writer.close()

        listening = bind("127.0.0.1", 0)
        async with await asyncio.start_server(seen, sock=listening):
            _, writer = await asyncio.open_connection(*listening.getsockname())
            answer = await asyncio.wait_for(found, 10)
            writer.close()
            await writer.wait_closed()
        return answer

    assert asyncio.run(accepted())
