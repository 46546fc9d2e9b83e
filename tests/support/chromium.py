"""One page in a Chromium without a window, as patient as everything else that tests wait for."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from playwright.async_api import Page, async_playwright, expect

from tests.support.waiting import PATIENCE_S


@asynccontextmanager
async def blank_page(program: str, **options: Any) -> AsyncIterator[Page]:
    """In a browser of its own until the block ends; ``options`` are those of its context."""
    patience_ms = PATIENCE_S * 1000
    expect.set_options(timeout=patience_ms)
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(
            executable_path=program, args=["--no-sandbox", "--disable-dev-shm-usage"], timeout=patience_ms
        )
        try:
            context = await browser.new_context(**options)
            context.set_default_timeout(patience_ms)
            yield await context.new_page()
        finally:
            await browser.close()
