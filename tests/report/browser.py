"""A real browser, headless: what it says of a page, and a picture of it."""

from __future__ import annotations

import html
import json
import re
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import Any

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")

# What the page looks like from inside; left in the outer title, where --dump-dom shows it.
PROBE = """
<script>
addEventListener("load", () => {
  const wide = [...document.querySelectorAll("main, main *")].filter(e => e.scrollWidth > e.clientWidth + 1
    && e.clientWidth > 0 && !e.closest("thead, svg") && getComputedStyle(e).display !== "inline");
  parent.document.title = JSON.stringify({
    window: innerWidth,
    page: document.documentElement.scrollWidth,
    overflowing: wide.map(e => e.tagName + "." + e.className),
    requests: performance.getEntriesByType("resource").map(e => e.name),
    dark: matchMedia("(prefers-color-scheme: dark)").matches,
    paper: getComputedStyle(document.body).backgroundColor,
    line: getComputedStyle(document.querySelector("figure svg path[style*=stroke]")).stroke,
    shown: [...document.querySelectorAll("figure svg[role=img]")].filter(e => e.getBoundingClientRect().width > 0)
      .map(e => e.getAttribute("class")),
  });
});
</script>
"""


def _run(page: Path, width: int, dark: bool, *arguments: str) -> str:
    assert CHROMIUM is not None
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        quiet = "headless no-sandbox disable-gpu disable-quic no-first-run disable-background-networking"
        command = [CHROMIUM, *(f"--{flag}" for flag in quiet.split()), "--disable-component-update", "--disable-sync"]
        command += ["--hide-scrollbars", f"--user-data-dir={profile}", f"--window-size={width},2400"]
        command += [f"--blink-settings=preferredColorScheme={0 if dark else 1}", *arguments, page.as_uri()]
        return subprocess.run(command, capture_output=True, text=True, timeout=60, check=True).stdout


def ask(page: str, folder: Path, width: int, dark: bool) -> dict[str, Any]:
    """What the probe finds, in a frame of that width: a headless window is never narrower than 500 pixels.

    Only in this copy is a script let in.
    """
    copy = folder / "probed.html"
    inner = page.replace("default-src 'none';", "default-src 'none'; script-src 'unsafe-inline';") + PROBE
    style = f"width: {width}px; height: 900px; border: 0"
    copy.write_text(f'<!doctype html><title></title><iframe style="{style}" srcdoc="{html.escape(inner)}"></iframe>')
    found = re.search(r"<title>(.*?)</title>", _run(copy, width + 100, dark, "--dump-dom"), re.DOTALL)
    assert found is not None
    answer: dict[str, Any] = json.loads(html.unescape(found[1]))
    return answer


def picture(page: str, folder: Path, width: int, dark: bool) -> Path:
    copy, shot = folder / "page.html", folder / "page.png"
    copy.write_text(page)
    _run(copy, width, dark, f"--screenshot={shot}")
    return shot
