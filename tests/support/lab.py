"""JupyterLab on this machine with a headless Chromium before it, for tests and measurements.

    with served(folder, dark=True) as url, browser() as chromium:
        page = opened(chromium, url, "notebooks/02_perturbations.ipynb")
        run_all(page)

The server listens on 127.0.0.1 alone, on a free port with a random token; settings, kernels' files and
history stay in the folder. What either has started has ended when its block is left.
"""

from __future__ import annotations

import json
import os
import re
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from playwright.sync_api import Browser, Page, Route, TimeoutError, sync_playwright

ROOT = Path(__file__).parents[2]
CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
ARGUMENTS = [
    *("--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync"),
    *("--disable-background-networking", "--disable-component-update"),
]
PATIENCE = 900_000  # milliseconds that a page may take for anything: a machine may be busy
SETTINGS = {
    "notification": {"fetchNews": "false", "checkForUpdates": False, "doNotDisturbMode": True},
    "themes": {"theme": "JupyterLab Light"},
}


@contextmanager
def served(folder: Path, dark: bool = False) -> Iterator[str]:
    """The address of a JupyterLab with its token, whose root is a folder."""
    home = folder / ".home"
    chosen = SETTINGS | {"themes": {"theme": "JupyterLab Dark" if dark else "JupyterLab Light"}}
    for name, values in chosen.items():
        path = home / "settings" / "@jupyterlab" / "apputils-extension" / f"{name}.jupyterlab-settings"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(values))
    places = {"HOME": "", "JUPYTERLAB_SETTINGS_DIR": "settings", "JUPYTERLAB_WORKSPACES_DIR": "workspaces"}
    places |= {"JUPYTER_CONFIG_DIR": "config", "JUPYTER_RUNTIME_DIR": "runtime", "IPYTHONDIR": "ipython"}
    environment = os.environ | {name: str(home / place) for name, place in places.items()}
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    token = secrets.token_hex(16)
    options = [
        *("--no-browser", "--allow-root", "--ServerApp.ip=127.0.0.1", "--ServerApp.port_retries=0"),
        *(f"--ServerApp.port={port}", f"--IdentityProvider.token={token}", f"--ServerApp.root_dir={folder}"),
        "--LabApp.extension_manager=readonly",
    ]
    log = home / "lab.log"
    with log.open("w") as output:
        command = [sys.executable, "-m", "jupyterlab", *options]
        server = subprocess.Popen(command, cwd=folder, env=environment, stdout=output, stderr=output)
    try:
        answering(f"http://127.0.0.1:{port}/api/status?token={token}", server, log)
        yield f"http://127.0.0.1:{port}/lab?token={token}"
    finally:
        server.send_signal(signal.SIGTERM)  # it ends its kernels before itself
        try:
            server.wait(60)
        except subprocess.TimeoutExpired:
            server.kill()
            server.wait()


def answering(url: str, server: subprocess.Popen, log: Path, seconds: float = 180) -> None:
    """Returns once a server answers; RuntimeError with the end of its log where it does not."""
    end = time.monotonic() + seconds
    while time.monotonic() < end and server.poll() is None:
        try:
            urllib.request.urlopen(url, timeout=5).close()
            return
        except (urllib.error.URLError, OSError):
            time.sleep(0.3)
    raise RuntimeError(f"JupyterLab did not start: {log.read_text()[-2000:]}")


@contextmanager
def browser() -> Iterator[Browser]:
    """A headless Chromium."""
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS, timeout=PATIENCE)
        try:
            yield chromium
        finally:
            chromium.close()


def new_page(chromium: Browser, width: int = 1440, height: int = 1000, scheme: str = "light") -> Page:
    """A page that reaches nothing but this machine; `page.asked` lists what else was asked for."""
    page = chromium.new_page(viewport={"width": width, "height": height}, color_scheme=scheme)
    page.set_default_timeout(PATIENCE)
    page.asked, page.dialogs = [], []

    def inside(route: Route) -> None:
        if route.request.url.startswith(("http://127.0.0.1:", "file:", "data:", "blob:")):
            route.continue_()
        else:
            page.asked.append(route.request.url)
            route.abort()

    page.route("**/*", inside)
    page.on("dialog", lambda dialog: (page.dialogs.append(dialog.message), dialog.dismiss()))
    return page


def opened(chromium: Browser, url: str, notebook: str, width: int = 1440, height: int = 1000) -> Page:
    """A page of JupyterLab with a notebook open, its kernel ready."""
    page = new_page(chromium, width, height)
    page.goto(url.replace("/lab?", f"/lab/tree/{notebook}?reset&"), timeout=PATIENCE)
    page.locator(".jp-Notebook .jp-Cell").first.wait_for()
    page.get_by_text("(ipykernel) | Idle").first.wait_for()  # what is run while it connects may get lost
    return page


def run_all(page: Page) -> None:
    """Run → Run All Cells, by clicks; again where the notebook was not ready and the click did nothing."""
    prompts = "[...document.querySelectorAll('.jp-Notebook .jp-InputPrompt')]"
    begun = f"() => {prompts}.some(prompt => /[*0-9]/.test(prompt.innerText))"
    item = page.locator(".lm-Menu-item:not(.lm-mod-disabled)").filter(has_text=re.compile("^Run All Cells"))
    for _ in range(20):
        try:
            page.locator(".lm-MenuBar-itemLabel", has_text="Run").first.click()
            item.first.click(timeout=10_000)
            page.wait_for_function(begun, timeout=20_000)
            return
        except TimeoutError:
            page.keyboard.press("Escape")
    raise RuntimeError("the notebook's cells did not begin to run")


def house(folder: Path, *notebooks: str) -> Path:
    """A folder as the repository is, with copies of some notebooks."""
    (folder / "notebooks").mkdir()
    for name in ("helpers", "base_model"):
        (folder / name).symlink_to(ROOT / name)
    for name in notebooks:
        shutil.copy(ROOT / "notebooks" / f"{name}.ipynb", folder / "notebooks")
    return folder
