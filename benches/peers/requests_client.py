"""requests with threads: one session a thread (keep-alive), bodies checked as JSON, lines appended.

Arguments: the base URL, the list, the output, the number of threads.
"""

import json
import sys
import threading
from concurrent.futures import ThreadPoolExecutor

import requests

BASE, IDS, OUTPUT, THREADS = sys.argv[1], sys.argv[2], sys.argv[3], int(sys.argv[4])
own = threading.local()


def fetch(item):
    if not hasattr(own, "session"):
        own.session = requests.Session()
        # No look for proxies and .netrc at each request.
        own.session.trust_env = False
        own.session.headers["Authorization"] = "Bearer a-token-of-the-bench"
    response = own.session.get(f"{BASE}/v1/tracks/{item}", timeout=30)
    response.raise_for_status()
    json.loads(response.content)
    return response.content


with open(IDS, encoding="ascii") as ids, open(OUTPUT, "wb") as output:
    with ThreadPoolExecutor(THREADS) as pool:
        for body in pool.map(fetch, (line.strip() for line in ids)):
            output.write(body + b"\n")
