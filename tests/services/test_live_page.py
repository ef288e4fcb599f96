"""The live page in a real browser, over real processes."""

import shutil
from contextlib import asynccontextmanager

import pytest
from playwright.async_api import async_playwright, expect

from kvwire.errors import KvwireError
from kvwire.processes import FREE_PORTS, running_service
from kvwire.requests import Exchange, GenerateRequest, Method, Text

FREE = ["--threads", "1", *FREE_PORTS]
QUESTION = {"context": "a perpetual license. ", "prompt": "hello", "codec": "int8", "max_new_tokens": 8}
WAYS = ["receiver_only", "text", "prefix"]
HTML = "<img src=x onerror=document.title=1>"


@asynccontextmanager
async def browsing(service, scheme="light", width=1280):
    """The live page in a real browser; what its console says is an error, but for answers that are none."""
    program = shutil.which("chromium") or pytest.skip("chromium is not here; install Debian's package chromium")
    complaints = []
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=program, args=["--no-sandbox"])
        context = await browser.new_context(color_scheme=scheme, viewport={"width": width, "height": 900})
        page = await context.new_page()
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("console", lambda said: complaints.append(said.text) if said.type in {"error", "warning"} else None)
        await page.goto(f"http://{service.metrics}/")
        yield page
        await browser.close()
    assert [said for said in complaints if "Failed to load resource" not in said] == []


async def is_live(page):
    await expect(page.locator("#state")).to_have_text("live")


async def ask(page, **fields):
    """Fill the box in and ask by the keyboard; wait until all answers have ended."""
    for name, value in fields.items():
        await page.locator(f"#{name.replace('_', '-')}").fill(str(value))
    await page.locator("#prompt").press("Control+Enter")
    ended = page.locator(".card:is([data-state=done], [data-state=failed])")
    await expect(ended).to_have_count(await page.locator(".card").count(), timeout=60_000)


async def generated(services, codec="int8"):
    async with services.receiver_client() as client:
        return await client.generate_all(
            GenerateRequest(Text("hello"), Text("a fact "), Exchange(codec=codec), 4, ignore_eos=True)
        )


@pytest.mark.parametrize("width", [1280, 390])
@pytest.mark.parametrize("scheme", ["light", "dark"])
async def test_the_page_fits_its_window_in_light_and_dark(pair, scheme, width):
    """With answers, a long codec, and a failure whose message is long; nothing complains in the console."""
    with pytest.raises(KvwireError):
        await generated(pair, "no-such-codec-" + "x" * 200)
    await generated(pair, "int4:block=32+keep=0.5,by=key_norm,scope=head,sinks=4")
    async with browsing(pair.receiver, scheme, width) as page:
        await is_live(page)
        await ask(page)
        assert await page.evaluate("document.documentElement.scrollWidth") == width
        ground = await page.evaluate("getComputedStyle(document.body).backgroundColor")
        assert (sum(map(int, ground[4:-1].split(","))) < 200) == (scheme == "dark")


async def test_three_answers_stand_side_by_side_and_are_those_of_grpc(pair):
    """With time to first token, bytes and a bar of stages each."""
    async with browsing(pair.receiver) as page:
        await is_live(page)
        await ask(page, **QUESTION)
        for way in WAYS:
            exchange = Exchange(Method(way), codec="int8")
            request = GenerateRequest(Text("hello"), Text(QUESTION["context"]), exchange, max_new_tokens=8)
            async with pair.receiver_client() as client:
                expected = await client.generate_all(request)
            card = page.locator(f".card[data-method={way}]")
            assert await card.locator(".answer").text_content() == expected.text
            assert await card.locator(".bar span").count() > 1
            numbers = await card.locator("dd").all_text_contents()
            assert numbers[0].endswith("s")
            bits = expected.report.bytes.bits_per_value if way == "prefix" else 0
            assert numbers[3] == (f"{bits:.2f}" if bits else "\N{EN DASH}")


async def test_a_request_over_grpc_appears_with_its_bytes(pair):
    """Within seconds, without a reload."""
    async with browsing(pair.receiver) as page:
        await is_live(page)
        report = (await generated(pair, "int4+keep=0.25")).report
        row = page.locator(f"#rows tr:has([title='request {report.request_id}'])")
        await expect(row.locator("[data-label=Codec]")).to_have_text("int4+keep=0.25")
        await expect(row.locator("[data-label=Bytes]")).to_have_text(f"{report.bytes.socket_bytes / 1000:.3g} kB")
        assert "receiver writes" in await row.locator(".bar").get_attribute("aria-label")


async def test_what_comes_from_requests_is_shown_as_text(pair):
    """A prompt and a codec that are HTML stay letters."""
    async with browsing(pair.receiver) as page:
        await is_live(page)
        await ask(page, context=HTML, prompt=HTML, codec=HTML)
        await expect(page.locator(".card[data-method=prefix] .failure")).to_contain_text("<img src=x")
        await expect(page.locator("#rows .failure").first).to_contain_text("<img src=x")
        assert await page.locator("main img").count() == 0
        assert await page.title() == "kvwire receiver, live"


async def test_a_token_is_asked_for(tiny_llama, tmp_path):
    """A wrong one is refused; the right one opens; a receiver without sharers says how to add one."""
    (tmp_path / "token").write_text("open sesame\n")
    arguments = ["--model", f"path:{tiny_llama}", *FREE, "--token-file", str(tmp_path / "token")]
    with running_service("receiver_service", arguments, tmp_path / "log") as receiver:
        async with browsing(receiver) as page:
            await is_live(page)
            await expect(page.locator("#none")).to_be_visible()
            await expect(page.locator("#alone")).to_contain_text("--sharers")
            await ask(page, max_new_tokens=2)
            [card] = await page.locator(".card").all()
            await expect(card).to_contain_text("UNAUTHENTICATED")
            await ask(page, token="open sesame")  # noqa: S106  # a fairy tale's
            await expect(card).to_have_attribute("data-state", "done")
            assert "open sesame" not in page.url
            assert await page.evaluate("localStorage.length + sessionStorage.length + document.cookie.length") == 0


@pytest.mark.slow
async def test_a_box_that_is_off_says_why_and_a_receiver_that_went_away_is_told(tiny_llama, tmp_path):
    """Numbers are shown all the same."""
    with running_service(
        "receiver_service", ["--model", f"path:{tiny_llama}", *FREE, "--no-ask-box"], tmp_path / "log"
    ) as receiver:
        async with browsing(receiver) as page:
            await is_live(page)
            await expect(page.locator("#closed")).to_contain_text("--no-ask-box")
            await expect(page.locator("#ask")).to_be_hidden()
            answer = await page.request.post(f"http://{receiver.metrics}/ask", data={"prompt": "x"})
            assert answer.status == 403
            assert "turned off" in (await answer.json())["error"]["message"]
            receiver.process.kill()
            await expect(page.locator("#state")).to_contain_text("does not answer, retrying", timeout=20_000)


async def test_stopping_cancels(pair):
    """The receiver is free at once."""
    async with browsing(pair.receiver) as page:
        await is_live(page)
        await page.locator("#max-new-tokens").fill("900")
        await page.locator("#go").click()
        await expect(page.locator(".card[data-method=receiver_only] .answer")).not_to_be_empty(timeout=20_000)
        await page.locator("#stop").click()
        await expect(page.locator(".card[data-state=failed]")).to_have_count(3)
        await expect(page.locator("#facts")).to_contain_text("0 of at most")
        await expect(page.locator("#rows .failure").first).to_contain_text("CANCELLED")
