"""The report in a real browser: light and dark, on a desk and on a phone."""

import shutil
from contextlib import asynccontextmanager

import pytest
from playwright.async_api import async_playwright

from experiments.report import write_report
from experiments.report.panel import WIDTH

#: WCAG 2.2, success criterion 1.4.3, for text of ordinary size.
LEAST_CONTRAST = 4.5

#: Of every element that holds words of its own: the contrast of its colour to what lies behind it, WCAG's formula.
CONTRASTS = """() => {
  const parse = (text) => (text.match(/[0-9.]+/g) || []).map(Number);
  const luminance = ([r, g, b]) => {
    const linear = (v) => (v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
    const [R, G, B] = [r / 255, g / 255, b / 255].map(linear);
    return 0.2126 * R + 0.7152 * G + 0.0722 * B;
  };
  const behind = (element) => {
    for (let at = element; at; at = at.parentElement) {
      const [r, g, b, a] = parse(getComputedStyle(at).backgroundColor);
      if (a === undefined || a > 0) return [r, g, b];
    }
    return [255, 255, 255];
  };
  const found = [];
  for (const element of document.querySelectorAll("body *")) {
    const own = [...element.childNodes].some((node) => node.nodeType === 3 && node.textContent.trim());
    if (!own || element.tagName.toLowerCase() === "title" || !element.getClientRects().length) continue;
    const style = getComputedStyle(element);
    const ink = parse(element instanceof SVGElement ? style.fill : style.color);
    const [light, dark] = [luminance(ink), luminance(behind(element))].sort((x, y) => y - x);
    found.push([(light + 0.05) / (dark + 0.05), element.textContent.slice(0, 40)]);
  }
  return found;
}"""


#: Of every panel the boxes of the names in it, in its own pixels and without their halo.
BOXES = """() => [...document.querySelectorAll("svg.figure")].map((figure) =>
  [...figure.querySelectorAll("text.tag")].map((words) => {
    const { x, y, width, height } = words.getBBox();
    return [x, y, x + width, y + height];
  }))"""


@asynccontextmanager
async def reading(path, scheme="light", width=1280):
    """The page, opened without a network; what its console says is an error, as is asking for anything else."""
    program = shutil.which("chromium") or pytest.skip("chromium is not here; install Debian's package chromium")
    complaints, asked = [], []
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=program, args=["--no-sandbox"])
        context = await browser.new_context(color_scheme=scheme, viewport={"width": width, "height": 900}, offline=True)
        page = await context.new_page()
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("console", lambda said: complaints.append(said.text))
        page.on("request", lambda request: asked.append(request.url))
        await page.goto(path.as_uri())
        yield page
        await browser.close()
    assert (complaints, asked) == ([], [path.as_uri()])


@pytest.fixture
def page_file(write_results):
    """A report with everything in it that may be wide: failures, a matrix, tables."""

    def fail(record):
        if (record["arm"], record["item"]) == ("prefix int8", "item-2"):
            record.update(result=None, error="LocalError: " + "x" * 200, bytes=None, measured=None, tokens=None)

    folder = write_results(change=fail).parent
    (folder / "matrix.json").write_text('[{"row": "D4", "state": "ready", "title": "Large", "why": "needs a GPU"}]')
    write_report(folder)
    return folder / "report.html"


@pytest.mark.parametrize("width", [1280, 390])
@pytest.mark.parametrize("scheme", ["light", "dark"])
async def test_the_page_fits_its_window_with_every_figure_in_sight_and_all_text_legible(page_file, scheme, width):
    """No scrolling sideways, tables unfolded too; nothing complains and nothing is asked of the network."""
    async with reading(page_file, scheme, width) as page:
        await page.evaluate("document.querySelectorAll('details').forEach((each) => { each.open = true; })")
        assert await page.evaluate("document.documentElement.scrollWidth") == width
        boxes = [await figure.bounding_box() for figure in await page.query_selector_all("svg.figure")]
        assert len(boxes) == 5 + 1 + 3
        for box in boxes:
            assert min(box["width"], box["height"]) > 200
            assert box["x"] >= 0
            assert box["x"] + box["width"] <= width
        contrasts = await page.evaluate(CONTRASTS)
        assert len(contrasts) > 200
        assert [each for each in contrasts if each[0] < LEAST_CONTRAST] == []
        ground = await page.evaluate("getComputedStyle(document.body).backgroundColor")
        assert (sum(map(int, ground[4:-1].split(","))) < 200) == (scheme == "dark")


async def test_words_in_a_panel_stay_inside_of_it_and_do_not_cover_one_another(page_file):
    """Names of arms and lines, as drawn with the fonts that are here; a letter's edge may touch another's."""
    async with reading(page_file) as page:
        panels = await page.evaluate(BOXES)
        assert sum(len(boxes) for boxes in panels) > 40
        for boxes in panels:
            for index, (left, top, right, bottom) in enumerate(boxes):
                assert 0 <= left < right <= WIDTH
                for other in boxes[:index]:
                    across, down = (
                        min(right, other[2]) - max(left, other[0]),
                        min(bottom, other[3]) - max(top, other[1]),
                    )
                    assert min(across, down) <= 2


async def test_the_contents_lead_to_every_section(page_file):
    """By links within the page."""
    async with reading(page_file) as page:
        links = await page.locator("nav a").all()
        assert len(links) == len(await page.locator("h2").all()) == 3
        for link in links:
            section = page.locator(f"[id='{(await link.get_attribute('href')).removeprefix('#')}']")
            assert await section.locator("h2").text_content() == await link.text_content()
