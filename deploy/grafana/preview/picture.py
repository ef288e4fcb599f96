"""Takes a picture of a page with headless Chromium."""

import subprocess
import tempfile
from pathlib import Path

from PIL import Image

from deploy.grafana.preview.page import WIDTH, Page
from kvwire.errors import StartError


def photograph(chromium: str, page: Page, picture: Path) -> None:
    """Write the page as a PNG, by the program ``chromium``.

    Raises:
        StartError: Chromium drew none.
    """
    with tempfile.TemporaryDirectory() as name:
        html = Path(name) / "page.html"
        html.write_text(page.html, encoding="utf-8")
        command = [chromium, "--headless", "--no-sandbox", "--hide-scrollbars", f"--window-size={WIDTH},{page.height}"]
        shot = [f"--screenshot={picture}", f"--user-data-dir={name}/chromium", html.as_uri()]
        done = subprocess.run([*command, *shot], capture_output=True, text=True, check=False)  # noqa: S603  # the caller's
        if done.returncode or not picture.exists():
            raise StartError(f"chromium drew no {picture.name}: {done.stderr[-500:]}")
    with Image.open(picture) as drawn:
        # 256 colours are more than the page has hues, and a third of the size.
        drawn.convert("RGB").quantize(dither=Image.Dither.NONE).save(picture, optimize=True)
