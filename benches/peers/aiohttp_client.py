"""aiohttp as a script would use it: one session, N workers, bodies checked as JSON, lines appended.

Arguments: the base URL, the list, the output, the concurrency.
"""

import asyncio
import json
import sys

import aiohttp


async def work(session, base, ids, output):
    for line in ids:
        async with session.get(f"{base}/v1/tracks/{line.strip()}") as response:
            response.raise_for_status()
            body = await response.read()
        json.loads(body)
        output.write(body + b"\n")


async def main(base, ids_path, output_path, concurrency):
    connector = aiohttp.TCPConnector(limit=concurrency)
    headers = {"Authorization": "Bearer a-token-of-the-bench"}
    with open(ids_path, encoding="ascii") as ids, open(output_path, "wb") as output:
        async with aiohttp.ClientSession(connector=connector, headers=headers) as session:
            # The workers take their IDs from one iterator.
            await asyncio.gather(*(work(session, base, ids, output) for _ in range(concurrency)))


asyncio.run(main(sys.argv[1], sys.argv[2], sys.argv[3], int(sys.argv[4])))
