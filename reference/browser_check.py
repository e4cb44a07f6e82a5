"""Opens `retort report` and `retort watch --serve` in a real browser and looks at what a person would.

    make browser

Held: no console message, no failed or foreign request, no accessibility violation (axe), nothing wider than the
screen, every fold opens by keyboard, the skip link comes first, paper shows what is folded; pictures of the page at
two widths, light and dark, like those in reference/browser/ (coarsely: fonts differ between machines); a page that
is served keeps up with the run. Told: how long the report of 100,000 steps takes to open.

--update writes the pictures anew. Exit codes: 0 all held, 1 something did not (it is said what).
"""

import argparse
import json
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile
import time

from axe_playwright_python.sync_playwright import Axe
from PIL import Image, ImageChops, ImageStat
from playwright.sync_api import expect, sync_playwright

ROOT = pathlib.Path(__file__).resolve().parent.parent
FIXTURE = ROOT / "Tests/ReportTests/Fixtures/quickstart"
PICTURES = ROOT / "reference/browser"
WIDTHS = {"wide": 1280, "phone": 390}
# A picture is compared by the mean of each square of so many pixels, which letters of another font hardly change.
SQUARE = 24
MOST_MEAN, MOST_SQUARE = 6.0, 90.0
failures = []


def check(holds, what):
    """Notes what does not hold, and goes on: all of it is told at the end."""
    if not holds:
        failures.append(what)
        print(f"FAILED  {what}")


def run(retort, *arguments):
    subprocess.run([retort, *map(str, arguments)], check=True, cwd=ROOT, stderr=subprocess.DEVNULL)


def opened(browser, address, scheme="light", width=1280, height=900):
    """A page, with what the browser had to say of it."""
    context = browser.new_context(viewport={"width": width, "height": height}, color_scheme=scheme)
    page = context.new_page()
    page.said, page.asked = [], []
    page.on("console", lambda message: page.said.append(message.text))
    page.on("pageerror", lambda error: page.said.append(str(error)))
    page.on("requestfailed", lambda request: page.said.append(f"failed: {request.url}"))
    page.on("request", lambda request: page.asked.append(request.url))
    page.goto(address)
    return page


def compare(page, name, update):
    """The whole page against its stored picture."""
    data = page.screenshot(full_page=True)
    stored = PICTURES / f"{name}.png"
    with tempfile.NamedTemporaryFile(suffix=".png") as file:
        file.write(data)
        file.flush()
        found = Image.open(file.name).convert("RGB")
        small = found.resize((found.width // SQUARE, found.height // SQUARE), Image.Resampling.BOX)
    if update:
        PICTURES.mkdir(exist_ok=True)
        small.save(stored, optimize=True)
        return
    before = Image.open(stored).convert("RGB")
    check(small.width == before.width, f"{name}: the page is {small.width} squares wide, not {before.width}")
    # Another font breaks a line more or less: the page may be a little longer, and is laid over the other.
    check(abs(small.height - before.height) <= 0.03 * before.height, f"{name}: the page is {small.height} squares high, not {before.height}")
    difference = ImageChops.difference(small.resize(before.size, Image.Resampling.BOX), before).convert("L")
    mean, most = ImageStat.Stat(difference).mean[0], difference.getextrema()[1]
    check(mean <= MOST_MEAN and most <= MOST_SQUARE, f"{name}: differs by {mean:.1f} on average, {most} at most, of 255")
    print(f"        {name}: differs by {mean:.2f} on average, {most} at most, of 255")


def look(browser, path, update):
    address = path.as_uri()
    for width_name, width in WIDTHS.items():
        for scheme in ("light", "dark"):
            name = f"{width_name}-{scheme}"
            page = opened(browser, address, scheme, width)
            check(page.said == [], f"{name}: the console says {page.said}")
            check(page.asked == [address], f"{name}: asks for {page.asked}")
            wide = page.evaluate("document.documentElement.scrollWidth")
            check(wide <= width, f"{name}: {wide} pixels wide")
            compare(page, name, update)
            page.evaluate("document.querySelectorAll('details').forEach((one) => { one.open = true; })")
            found = Axe().run(page).response["violations"]
            for violation in found:
                places = [node["target"] for node in violation["nodes"][:3]]
                check(False, f"{name}: {violation['id']} ({violation['help']}) at {places}")
            page.context.close()
    curves(browser, address)
    keyboard(browser, address)
    paper(browser, address)


def curves(browser, address):
    """Every chart has its lines, as far as its axes go: too fine for the coarse pictures."""
    page = opened(browser, address)
    for section, least in (("losses", 9), ("training", 4)):
        charts = page.locator(f"#{section} svg")
        check(charts.count() >= least, f"{section}: only {charts.count()} charts")
        for index in range(charts.count()):
            found = charts.nth(index).evaluate(
                "one => [...one.querySelectorAll('polyline')].filter((line) => line.points.numberOfItems > 20)"
                ".map((line) => line.getBBox()).map((box) => [box.width, box.height])"
            )
            check(found and max(box[0] for box in found) > 330, f"{section}, chart {index + 1}: no curve from end to end")
            check(found and max(box[1] for box in found) > 60, f"{section}, chart {index + 1}: a flat curve")
    cells = page.locator("#alignment svg").first.locator("rect").count()
    check(cells > 100, f"the alignment map has {cells} cells")
    bars = page.locator("#calibration svg").first.locator("rect").count()
    check(bars == 15, f"the teacher's calibration has {bars} bars")
    page.context.close()


def keyboard(browser, address):
    page = opened(browser, address)
    page.keyboard.press("Tab")
    check(page.evaluate("document.activeElement.className") == "skip", "the first stop is not the skip link")
    page.keyboard.press("Enter")
    check(page.url.endswith("#content"), "the skip link does not lead to the report")
    folds = page.locator("details:not([open]) > summary")
    count = folds.count()
    check(count > 5, f"only {count} folds")
    for fold in folds.element_handles():
        fold.focus()
        page.keyboard.press("Enter")
        check(fold.evaluate("one => one.parentElement.open"), f"“{fold.inner_text()}” does not open by keyboard")
    stops = page.evaluate("document.querySelectorAll('.wide, .picture').length")
    reached = page.evaluate("[...document.querySelectorAll('.wide, .picture')].filter((one) => one.tabIndex === 0).length")
    check(stops == reached, f"{stops - reached} things that scroll cannot be reached by keyboard")
    page.context.close()


def paper(browser, address):
    page = opened(browser, address, scheme="dark")
    folded = page.locator("details:not([open]) table").first
    check(not folded.evaluate("one => one.checkVisibility()"), "a closed fold shows what it holds")
    page.emulate_media(media="print", color_scheme="light")
    check(folded.evaluate("one => one.checkVisibility()"), "paper does not show what is folded")
    check(len(page.pdf()) > 10_000, "the page does not print")
    page.context.close()


def long_run(browser, retort, folder):
    """100,000 steps with one spike: opened and painted how soon?"""
    run_folder = folder / "long"
    run_folder.mkdir()
    lines = (FIXTURE / "dskd/metrics.jsonl").read_text().splitlines()
    with open(run_folder / "metrics.jsonl", "w") as file:
        for step in range(1, 100_001):
            line = json.loads(lines[step % len(lines)]) if step % 1000 == 1 else line
            line["step"], line["steps"] = step, 100_000
            line["losses"]["total"] = 50.0 if step == 77_777 else 5 + step % 7 / 10
            file.write(json.dumps(line) + "\n")
    start = time.monotonic()
    run(retort, "report", run_folder, "--output", folder / "long.html")
    made = time.monotonic() - start
    page = opened(browser, (folder / "long.html").as_uri())
    taken = page.evaluate(
        "new Promise((done) => requestAnimationFrame(() => setTimeout(() => done(performance.now()), 0)))"
    )
    kilobytes = (folder / "long.html").stat().st_size / 1024
    print(f"        100,000 steps: made in {made:.2f} s, {kilobytes:.0f} KiB, opened and painted after {taken / 1000:.2f} s")
    check(page.said == [], f"100,000 steps: the console says {page.said}")
    check("50" in page.locator("#losses svg").first.text_content(), "the spike of a long run is lost")
    page.context.close()


def live(browser, retort, folder):
    """A page that is served shows the steps that come."""
    copy = folder / "live"
    shutil.copytree(FIXTURE / "dskd", copy)
    (copy / "done.json").unlink()
    lines = (copy / "metrics.jsonl").read_text().splitlines()
    (copy / "metrics.jsonl").write_text("\n".join(lines[:100]) + "\n")
    server = subprocess.Popen(
        [retort, "watch", copy, "--serve", "--port", "0"], cwd=ROOT, stderr=subprocess.PIPE, text=True
    )
    try:
        address = re.search(r"http://127\.0\.0\.1:\d+/", server.stderr.readline()).group(0)
        page = opened(browser, address)
        check("100 of 150" in page.locator("#summary table").inner_text(), "the served page lacks the steps so far")
        page.locator("#losses summary").first.click()
        # The fold keeps the focus: what is around it is renewed all the same.
        before = page.locator("#losses desc").first.text_content()
        with open(copy / "metrics.jsonl", "a") as file:
            file.write("\n".join(lines[100:]) + "\n")
        expect(page.locator("#summary table")).to_contain_text("150 of 150", timeout=60_000)
        check(page.locator("#losses desc").first.text_content() != before, "curves stop where the focus is")
        check(page.locator("#losses details").first.evaluate("one => one.open"), "a fold closes when the page is renewed")
        check(page.said == [], f"served: the console says {page.said}")
        foreign = [one for one in page.asked if not one.startswith(address)]
        check(foreign == [], f"served: asks for {foreign}")
        page.context.close()
    finally:
        server.terminate()
        check(server.wait(timeout=20) == 0, "retort watch --serve does not end as asked")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--retort", default=".build/debug/retort")
    parser.add_argument("--chromium", default=shutil.which("chromium") or "/usr/bin/chromium")
    parser.add_argument("--update", action="store_true")
    options = parser.parse_args()
    retort = str((ROOT / options.retort).resolve())
    with sync_playwright() as playwright, tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        # Chromium will not sandbox itself where root runs it, as CI does; it opens our own pages alone.
        browser = playwright.chromium.launch(executable_path=options.chromium, args=["--no-sandbox"])
        run(retort, "report", FIXTURE, "--output", folder / "report.html")
        look(browser, folder / "report.html", options.update)
        long_run(browser, retort, folder)
        live(browser, retort, folder)
        browser.close()
    print(f"browser: {len(failures)} things failed" if failures else "browser: all held")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
