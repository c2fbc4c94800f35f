"""Scrapy: one spider without what a crawl of the web needs (robots.txt, cookies, retries, the telnet console).

Arguments: the base URL, the list, the output, the concurrency.
"""

import json
import sys

import scrapy
from scrapy.crawler import CrawlerProcess

BASE, IDS, OUTPUT, CONCURRENCY = sys.argv[1], sys.argv[2], sys.argv[3], int(sys.argv[4])


class Tracks(scrapy.Spider):
    name = "tracks"

    async def start(self):
        headers = {"Authorization": "Bearer a-token-of-the-bench"}
        with open(IDS, encoding="ascii") as ids:
            for line in ids:
                url = f"{BASE}/v1/tracks/{line.strip()}"
                yield scrapy.Request(url, headers=headers, dont_filter=True)

    def parse(self, response):
        json.loads(response.body)
        output.write(response.body + b"\n")


with open(OUTPUT, "wb") as output:
    process = CrawlerProcess(
        settings={
            "CONCURRENT_REQUESTS": CONCURRENCY,
            "CONCURRENT_REQUESTS_PER_DOMAIN": CONCURRENCY,
            "DOWNLOAD_DELAY": 0,
            "ROBOTSTXT_OBEY": False,
            "COOKIES_ENABLED": False,
            "RETRY_ENABLED": False,
            "TELNETCONSOLE_ENABLED": False,
            "LOG_LEVEL": "ERROR",
        }
    )
    process.crawl(Tracks)
    process.start()
