"""Drive the page in a real browser, and say what was seen: a program of its own, for an environment with playwright.

It reads what to do as JSON from its stdin, and writes what it saw as JSON to its stdout. What that should be is in
`test_page_in_browser`.
"""

from __future__ import annotations

import json
import sys
import time
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import axe_playwright_python
from playwright.sync_api import sync_playwright

AXE = (Path(axe_playwright_python.__file__).parent / "axe.min.js").read_text()
TELLS = "addEventListener('securitypolicyviolation', e => console.error(`POLICY ${e.violatedDirective}`))"
RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]
REFUSED = "the server responded with a status of 40"
READY = "#value:not(.stale)"


class Browser:
    """A browser, and what went wrong in it."""

    def __init__(self, chromium):
        self._chromium, self.faults = chromium, []

    @contextmanager
    def page(self, url, *, wait=READY, forms=None, **context):
        """Open a page; a model's form can be another one than the server's."""
        given = {"viewport": {"width": 1280, "height": 900}} | context
        with self._chromium.new_context(**given) as made:
            page = made.new_page()
            page.set_default_timeout(60_000)
            page.add_init_script(TELLS)
            page.on("console", lambda said: self._note(said.type, said.text))
            page.on("pageerror", lambda error: self.faults.append(str(error)))
            page.on("dialog", lambda dialog: (self.faults.append("a dialog"), dialog.dismiss()))
            page.on("request", lambda asked: self._host(url, asked.url))
            if forms:
                page.route("**/model.json", lambda route: route.fulfill(json=forms["form"]))
                page.route("**/invocations", lambda route: route.fulfill(json=forms["answer"]))
                page.route("**/explain", lambda route: route.fulfill(json=forms["reasons"]))
            page.goto(url)
            page.wait_for_selector(wait)
            page.wait_for_load_state("networkidle")
            yield page

    def _note(self, kind, text):
        if kind in ("error", "warning") and REFUSED not in text:
            self.faults.append(text)

    def _host(self, ours, asked):
        parts = urlsplit(asked)
        if parts.scheme not in ("data", "blob") and parts.netloc != urlsplit(ours).netloc:
            self.faults.append(f"asked {parts.netloc}")


def settle(page):
    """Wait until nothing is asked any more."""
    page.wait_for_timeout(150)
    page.wait_for_load_state("networkidle")
    page.wait_for_timeout(50)


def call_of(page):
    """The call to copy, opened: what opens it says so to the page a moment later."""
    page.locator("#call summary").click()
    page.wait_for_selector("#code:not(:empty)")
    return page.locator("#code").inner_text()


def field(page, name):
    """A column's field."""
    return page.get_by_label(name, exact=True)


def filled_in(browser, asked):
    """Fill a row in, predict, slide, and make mistakes."""
    seen = {}
    with browser.page(asked["flights"]) as page:
        seen["title"] = page.locator("#title").inner_text()
        seen["first"] = page.locator("#value").get_attribute("title")
        field(page, "dep_delay").fill("100")
        field(page, "dep_delay").press("Enter")
        settle(page)
        seen["second"] = page.locator("#value").get_attribute("title")
        seen["between"] = page.locator("#between").inner_text()
        page.locator("#coverage").press("Home")
        settle(page)
        seen["narrow"] = page.locator("#between").inner_text()
        field(page, "dep_delay").fill("9999")
        field(page, "carrier").fill("<b>")
        field(page, "carrier").press("Tab")
        settle(page)
        seen["unusual"] = page.locator("#unusual").inner_text()
        field(page, "distance").fill("1e999")
        field(page, "month").fill("<i>July</i>")
        page.locator("#predict").click()
        settle(page)
        seen["faults"] = page.locator(".fault:not(:empty)").all_inner_texts()
        seen["focus"] = page.evaluate(
            "document.activeElement.id && document.activeElement.labels[0].textContent"
        )
        seen["message"] = page.locator("#message").is_visible()
        page.locator("#example").click()
        settle(page)
        seen["mended"] = page.locator(".fault:not(:empty)").count()
    return seen


def by_keyboard(browser, asked):
    """Go through it with Tab, change and pull with keys alone."""
    seen = {"stops": []}
    with browser.page(asked["flights"]) as page:
        for _ in range(60):
            page.keyboard.press("Tab")
            stop = page.evaluate(
                "document.activeElement.id || document.activeElement.textContent.trim().slice(0, 20)"
            )
            if stop in seen["stops"] or not stop:
                break
            seen["stops"].append(stop)
            if stop == "f4":
                page.keyboard.press("Control+A")
                page.keyboard.type("30")
            if stop == "pull":
                before = field(page, "dep_delay").input_value()
                for _ in range(4):
                    page.keyboard.press("ArrowRight")
                settle(page)
                seen["pulled"] = [float(before), float(field(page, "dep_delay").input_value())]
                seen["value"] = page.locator("#value").get_attribute("title")
                seen["outline"] = page.evaluate("getComputedStyle(document.activeElement).outlineStyle")
    return seen


def pulled(browser, asked):
    """Drag the curve's dot, and choose a category."""
    seen = {}
    with browser.page(asked["flights"]) as page:
        box = page.locator("#curve svg").bounding_box()
        seen["before"] = float(field(page, "dep_delay").input_value())
        page.mouse.move(box["x"] + box["width"] * 0.3, box["y"] + 50)
        page.mouse.down()
        page.mouse.move(box["x"] + box["width"] * 0.8, box["y"] + 60, steps=5)
        page.mouse.up()
        settle(page)
        seen["after"] = float(field(page, "dep_delay").input_value())
        seen["value"] = page.locator("#value").get_attribute("title")
        page.locator("#pulled").select_option(label="origin")
        settle(page)
        page.locator(".choices button", has_text="LGA").click()
        settle(page)
        seen["origin"] = field(page, "origin").input_value()
        seen["pressed"] = page.locator(".choices [aria-pressed=true] .name").all_inner_texts()
        seen["choices"] = sorted(page.locator(".choices .name").all_inner_texts())
    return seen


def compared(browser, asked):
    """Keep a row, change it, and go back."""
    seen = {}
    with browser.page(asked["flights"]) as page:
        page.locator("#keep").click()
        field(page, "dep_delay").fill("60")
        field(page, "dep_delay").press("Enter")
        settle(page)
        seen["text"] = page.locator("#compare-text").inner_text()
        seen["table"] = page.locator("#compare-table tbody tr").all_inner_texts()
        page.locator("#back").click()
        settle(page)
        seen["back"] = field(page, "dep_delay").input_value()
        page.locator("#forget").click()
        seen["gone"] = page.locator("#compare").is_hidden()
    return seen


def tables(browser, asked):
    """Paste a table as a spreadsheet has it, one with a fault, and take a file back."""
    seen = {}
    with browser.page(asked["flights"], accept_downloads=True) as page:
        page.locator("#many summary").click()
        page.locator("#table").fill(asked["pasted"])
        page.locator("#score").click()
        page.wait_for_selector("#many-table tbody tr")
        seen["text"] = page.locator("#many-text").inner_text()
        with page.expect_download() as download:
            page.locator("#save").click()
        seen["saved"] = Path(download.value.path()).read_text()
        page.locator("#file").set_input_files(
            {"name": "x.csv", "mimeType": "text/csv", "buffer": asked["faulty"].encode()}
        )
        page.wait_for_selector("#many-faults li")
        seen["faults"] = page.locator("#many-faults li").all_inner_texts()
        call_of(page)
        seen["calls"] = {}
        for language in ("curl", "Python", "JavaScript"):
            page.get_by_role("button", name=language, exact=True).click()
            seen["calls"][language] = page.locator("#code").inner_text()
        page.locator("#about summary").click()
        page.wait_for_selector("#facts dd")
        seen["facts"] = page.locator("#facts").inner_text()
    return seen


def hostile(browser, asked):
    """A form of five hundred columns called as nobody should call one, and ten thousand categories."""
    seen, began = {}, time.perf_counter()
    with browser.page(asked["flights"], forms=asked["forms"]) as page:
        seen["seconds"] = time.perf_counter() - began
        seen["labels"] = page.locator(".field label").all_text_contents()[:6]
        seen["elements"] = page.locator("main b:not(#coverage-text), main img, main script, main i").count()
        seen["reasons"] = page.locator("#reasons-table tr").all_inner_texts()
        page.locator("#find").fill("column 499")
        seen["found"] = page.locator(".field:visible label").all_text_contents()
        page.locator("#find").fill("")
        many = page.locator("#f1")
        many.fill("category 99")
        seen["offered"] = page.locator("#f1-list option").count()
        page.locator("#pulled").select_option(value="1")
        settle(page)
        seen["choices"] = page.locator(".choices .name").count()
        seen["call"] = call_of(page)[:300]
        seen["row"] = page.evaluate("document.querySelectorAll('.field').length")
    return seen


def with_a_key(browser, asked):
    """A server that asks for a key, and has several models, under a prefix."""
    seen = {}
    with browser.page(asked["keyed"], wait="#key:visible") as page:
        seen["names"] = page.locator("body").inner_text()
        page.locator("#key").fill("a wrong key")
        page.locator("#key").press("Enter")
        page.wait_for_selector("#message:visible")
        page.locator("#key").fill(asked["key"])
        page.locator("#key").press("Enter")
        page.wait_for_selector(READY)
        settle(page)
        seen["models"] = page.locator("#models a").all_inner_texts()
        page.locator("#models a", has_text="line").click()
        page.locator("#title", has_text="line predicts").wait_for()
        settle(page)
        seen["title"], seen["url"] = page.locator("#title").inner_text(), page.url
        seen["value"] = page.locator("#value").get_attribute("title")
        seen["call"] = call_of(page)
    return seen


def looked_at(browser, asked):
    """At three widths, and at 400 %, light and dark: what overflows, and what axe-core finds."""
    seen = {}
    for width in (1280, 768, 360, 320):
        for scheme in ("light", "dark"):
            size = {"width": width, "height": 256 if width == 320 else 900}
            with browser.page(
                asked["flights"], viewport=size, color_scheme=scheme, reduced_motion="reduce"
            ) as page:
                page.locator("#keep").click()
                page.locator("#pulled").select_option(label="dest" if scheme == "dark" else "dep_delay")
                for each in ("many", "call", "about"):
                    page.locator(f"#{each} summary").click()
                settle(page)
                over = page.evaluate("document.documentElement.scrollWidth - innerWidth")
                page.evaluate(AXE)
                found = page.evaluate("rules => axe.run(document, {runOnly: rules})", RULES)
                said = [f"{each['id']}: {each['nodes'][0]['html'][:200]}" for each in found["violations"]]
                seen[f"{width} {scheme}"] = {"over": over, "axe": said, "passed": len(found["passes"])}
    return seen


STORIES = (filled_in, by_keyboard, pulled, compared, tables, hostile, with_a_key, looked_at)


def main() -> None:
    """Go through all of it."""
    asked, seen = json.load(sys.stdin), {}
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(
            executable_path=asked["chromium"], args=["--no-sandbox", "--disable-gpu"]
        )
        for story in STORIES:
            browser = Browser(chromium)
            try:
                seen[story.__name__] = story(browser, asked)
            except Exception as error:  # the others are told of, too
                seen[story.__name__] = {"failed": f"{type(error).__name__}: {error}"}
            seen[story.__name__]["wrong"] = browser.faults
        chromium.close()
    json.dump(seen, sys.stdout)


if __name__ == "__main__":
    main()
