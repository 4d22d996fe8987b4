"""Makes the picture in README.md: runs of five editors on the embedded model, their report, and its first screen.

    python benchmarks/picture.py docs/images/report.png

Needs the plugin wildcore-report, the package playwright, and a Chromium on the path. ``--runs DIR`` shows finished runs instead.
"""

import argparse
import shutil
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

EDITORS = ("ft-m", "rome", "memit", "grace", "wise")
CASES = 40
WIDTH, HEIGHT = 1280, 820
LARGEST = 300_000
BROWSERS = ("chromium", "chromium-browser", "google-chrome")


def wildcore(*words: object) -> None:
    """Run a command of wildcore. Raises ``CalledProcessError`` if it fails."""
    subprocess.run([sys.executable, "-m", "wildcore", *map(str, words)], check=True)


def picture(report: Path, file: Path) -> None:
    """Write the first screen of a report as PNG."""
    from playwright.sync_api import sync_playwright

    browser = next((found for name in BROWSERS if (found := shutil.which(name))), None)
    if browser is None:
        sys.exit(f"none of these is on the path: {', '.join(BROWSERS)}")
    with sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=browser, args=["--no-sandbox"])
        page = opened.new_page(viewport={"width": WIDTH, "height": HEIGHT}, color_scheme="light")
        page.goto(report.resolve().as_uri())
        page.wait_for_selector("#figure-gap img")
        page.wait_for_load_state("networkidle")
        page.screenshot(path=file)
        opened.close()


def main() -> None:
    """Make the runs, the report and the picture."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("file", type=Path, metavar="FILE.png")
    parser.add_argument("--runs", type=Path, metavar="DIR", help="a folder of finished runs")
    given = parser.parse_args()
    with TemporaryDirectory() as name:
        runs, report = given.runs or Path(name, "runs"), Path(name, "report.html")
        if given.runs is None:
            editors = [word for editor in EDITORS for word in ("--editor", editor)]
            wildcore("eval", *editors, "--limit", CASES, "--out", runs, "--quiet")
        wildcore("report", runs, "--out", report)
        given.file.parent.mkdir(parents=True, exist_ok=True)
        picture(report, given.file)
    size = given.file.stat().st_size
    print(f"{given.file}: {size:,} bytes")
    if size > LARGEST:
        sys.exit(f"larger than {LARGEST:,} bytes")


if __name__ == "__main__":
    main()
