"""The offline site in Debian's Chromium: no error, no request, marks, tabs, search, sliders, print, contrast.

Needs chromium, chromedriver and selenium; the check of contrast and landmarks needs axe-core where Node.js finds it
(`npm install axe-core` and NODE_PATH).  TINYNET_SITE names a site to look at in place of a small one made here.
"""

import base64
import json
import os
import shutil
import subprocess
import tempfile
from pathlib import Path

import numpy as np
import pytest

webdriver = pytest.importorskip("selenium.webdriver", reason="needs  pip install selenium")
if not (shutil.which("chromium") and shutil.which("chromedriver")):
    pytest.skip("needs chromium and chromedriver", allow_module_level=True)

from selenium.webdriver.common.action_chains import ActionChains  # noqa: E402  skipped without it
from selenium.webdriver.common.by import By  # noqa: E402
from selenium.webdriver.common.keys import Keys  # noqa: E402

FLAGS = """--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking
           --disable-component-update --disable-sync --hide-scrollbars""".split()  # noqa: SIM905


@pytest.fixture(scope="module")
def folder(request):
    return Path(os.environ["TINYNET_SITE"]).resolve() if "TINYNET_SITE" in os.environ else (
        request.getfixturevalue("site")[0])


@pytest.fixture(scope="module")
def browser():
    options = webdriver.ChromeOptions()
    with tempfile.TemporaryDirectory() as profile:
        for flag in [*FLAGS, f"--user-data-dir={profile}"]:
            options.add_argument(flag)
        options.binary_location = shutil.which("chromium")
        options.set_capability("goog:loggingPrefs", dict(browser="ALL", performance="ALL"))
        driver = webdriver.Chrome(options, webdriver.ChromeService(shutil.which("chromedriver")))
        driver.set_script_timeout(600)          # looking for faults of contrast on the largest page takes a while
        yield driver
        driver.quit()


@pytest.fixture
def opened(browser, folder):
    """opened("play", width=390, dark=True) -> the browser with that page."""
    def opened(name, width=1280, height=900, dark=False):
        browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", dict(
            width=width, height=height, deviceScaleFactor=1, mobile=width < 600))
        theme = dict(name="prefers-color-scheme", value="dark" if dark else "light")
        browser.execute_cdp_cmd("Emulation.setEmulatedMedia", dict(media="", features=[theme]))
        browser.get("about:blank")
        browser.get((folder / f"{name}.html").as_uri())
        return browser
    return opened


def kinds(folder):
    """One page of each kind."""
    first = {path.stem.partition("-")[0]: path.stem for path in sorted(folder.glob("*.html"), reverse=True)}
    return [*(first | {"block": "block-cross_stitch"}).values()] if (folder / "block-cross_stitch.html").exists() else [
        *first.values()]


def values(browser, figure):
    return json.loads(browser.find_element(By.ID, figure).get_attribute("data-values"))


def marked(browser, where):
    found = browser.execute_script("return [...document.querySelectorAll(arguments[0])].map(e => e.textContent)",
                                   f"{where} .marked")
    return [text.strip() for text in found]


def test_every_page_opens_without_an_error_and_without_a_request_that_leaves(opened, folder, browser):
    pages = sorted(path.stem for path in folder.glob("*.html"))
    assert len(pages) > 10
    for name in pages:
        opened(name)
        assert browser.get_log("browser") == [], name
    sent = [json.loads(entry["message"])["message"] for entry in browser.get_log("performance")]
    asked = [m["params"]["request"]["url"] for m in sent if m["method"] == "Network.requestWillBeSent"
             and m["params"]["documentURL"].startswith("file:")]        # not what the browser's own first page asks for
    assert len(asked) > 3 * len(pages)
    assert {url.partition(":")[0] for url in asked} <= {"file", "data"}
    assert all(url.startswith(folder.as_uri()) for url in asked if url.startswith("file:"))


def test_pointing_at_an_equation_marks_its_lines_and_the_other_way_round(opened, browser):
    opened("block-cross_stitch")
    actions = ActionChains(browser)
    actions.move_to_element(browser.find_element(By.ID, "eq-2")).perform()
    lines = marked(browser, "#panel-plain")
    assert len(lines) == 1
    assert lines[0].endswith("# (2)")
    assert "dX = " in lines[0]
    line = next(e for e in browser.find_elements(By.CSS_SELECTOR, "#panel-plain .line[data-eq]") if "(3)" in e.text)
    actions.move_to_element(line).perform()
    equation, = marked(browser, ".equations")
    assert equation.startswith("(3)")


def test_the_keyboard_marks_lines_and_turns_tabs(opened, browser):
    opened("block-cross_stitch")
    browser.execute_script("document.getElementById('eq-1').focus()")
    assert all("(1)" in line for line in marked(browser, "#panel-plain"))
    assert marked(browser, "#panel-plain")
    browser.execute_script("document.getElementById('tab-plain').focus()")
    browser.switch_to.active_element.send_keys(Keys.ARROW_RIGHT)
    assert browser.switch_to.active_element.get_attribute("id") == "tab-fast"
    assert browser.find_element(By.ID, "panel-fast").is_displayed()
    assert not browser.find_element(By.ID, "panel-plain").is_displayed()


def test_the_search_opens_by_a_key_and_leads_to_what_was_found(opened, browser):
    opened("index")
    browser.find_element(By.TAG_NAME, "body").send_keys("/")
    browser.switch_to.active_element.send_keys("cross stitch block")
    browser.switch_to.active_element.send_keys(Keys.ENTER)
    assert browser.current_url.endswith("/block-cross_stitch.html")
    assert browser.find_element(By.TAG_NAME, "h1").text == "cross_stitch"


def test_light_and_dark_follow_the_system_and_the_key(opened, browser):
    def paper():
        return browser.execute_script("return getComputedStyle(document.body).backgroundColor")
    opened("index", dark=True)
    dark = paper()
    opened("index")
    light = paper()
    assert light == "rgb(255, 255, 255)" != dark
    browser.find_element(By.TAG_NAME, "body").send_keys("d")
    assert paper() == dark
    browser.find_element(By.TAG_NAME, "body").send_keys("d")
    browser.execute_script("localStorage.clear()")


@pytest.mark.parametrize("width", [390, 1280])
def test_no_page_is_wider_than_the_screen(opened, folder, browser, width):
    for name in sorted(path.stem for path in folder.glob("*.html")):
        opened(name, width)
        wide = browser.execute_script("return document.scrollingElement.scrollWidth")
        assert wide <= width, name


def test_a_formula_has_its_font_and_brackets_that_stretch(opened, folder, browser):
    opened("play")
    browser.execute_async_script("document.fonts.ready.then(() => arguments[0]())")
    assert browser.execute_script("return [...document.fonts].map(f => f.family + ' ' + f.status)") == [
        "Mathematics loaded"]
    heights = browser.execute_script("return [...document.querySelectorAll('#jacobians mo')].filter("
                                     "e => '()'.includes(e.textContent)).map(e => e.getBoundingClientRect().height)")
    assert max(heights) > 1.3 * min(heights)


def test_print_shows_what_is_folded_on_pages_of_a4(opened, browser):
    opened("block-cross_stitch")
    browser.execute_script("dispatchEvent(new Event('beforeprint'))")
    assert browser.execute_script("return document.querySelectorAll('main details:not([open])').length") == 0
    browser.execute_script("dispatchEvent(new Event('afterprint'))")
    assert browser.execute_script("return document.querySelectorAll('main details.folded:not([open])').length") > 0
    opened("block-cross_stitch", dark=True)
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", dict(media="print"))
    ink, paper = browser.execute_script("const look = getComputedStyle(document.body);"
                                        "return [look.color, look.backgroundColor]")
    assert (ink, paper) == ("rgb(0, 0, 0)", "rgb(255, 255, 255)")
    assert not browser.find_element(By.TAG_NAME, "header").is_displayed()
    made = base64.b64decode(browser.execute_cdp_cmd("Page.printToPDF", dict(preferCSSPageSize=True))["data"])
    assert b"/MediaBox [0 0 594.95996 841.91998]" in made or b"/MediaBox [0 0 595" in made


def move(browser, figure, name, value):
    """Set a slider as a reader does, with the events that the page listens to."""
    browser.execute_script("const s = document.querySelector(`#${arguments[0]} input[name='${arguments[1]}']`);"
                           "s.value = arguments[2]; s.dispatchEvent(new Event('input', {bubbles: true}))",
                           figure, name, str(value))


def test_a_slider_moves_by_keys_and_the_curve_with_it(opened, browser):
    opened("play")
    slider = browser.find_element(By.CSS_SELECTOR, "#apl input[name='a1']")
    before, drawn = float(slider.get_attribute("value")), browser.find_element(By.CSS_SELECTOR, "#apl svg .c0")
    shape = drawn.get_attribute("d")
    slider.send_keys(Keys.ARROW_RIGHT)
    assert float(slider.get_attribute("value")) == pytest.approx(before + 0.01)
    assert browser.find_element(By.CSS_SELECTOR, "#apl svg .c0").get_attribute("d") != shape


def test_the_sliders_move_the_curves_to_tinynets_values(opened, browser):
    from lessons.site import play
    from tinynet.balancing.uncertainty import uncertainty_loss, uncertainty_slopes
    from tinynet.blocks.sequences.attention import attention_weights
    from tinynet.blocks.tasks.cross_stitch import cross_stitch_forward
    from tinynet.blocks.units.apl import apl_forward
    from tinynet.blocks.units.residual import residual_stack_backward, residual_stack_forward

    opened("play")
    data = play.data()
    move(browser, "temperature", "log10 tau", -1)
    ours = attention_weights(np.array([[0, 1.0, 0, 0, 0]]), np.array(data["temperature"]["K"]), scale=10)[0]
    np.testing.assert_allclose(values(browser, "temperature")[:5], ours, rtol=1e-9)

    move(browser, "apl", "a2", 1.2)
    x, a, b = np.array([-3, -1, 0, 0.5, 2]), np.array([[0.5], [1.2]]), np.array([[1.0], [-0.5]])
    ours = apl_forward(x[:, None], a, b)[0][:, 0]
    np.testing.assert_allclose(values(browser, "apl"), ours, rtol=1e-9)
    path = browser.find_element(By.CSS_SELECTOR, "#apl svg .c0").get_attribute("d")
    points = np.array([point.split(" ") for point in path[1:].split("L")], float)       # pixels, 241 from x = -3 to 3
    slope = np.polyfit(apl_forward(np.linspace(-3, 3, 241)[:, None], a, b)[0][:, 0], points[:, 1], 1)
    inside = (points[:, 1] > 20) & (points[:, 1] < 290)
    drawn = np.polyval(slope, apl_forward(np.linspace(-3, 3, 241)[:, None], a, b)[0][:, 0])
    np.testing.assert_allclose(points[inside, 1], drawn[inside], atol=0.2)

    move(browser, "stitch", "alpha AB", 0.7)
    X = np.array(data["stitch"]["X"])[:, :, None]
    Y = cross_stitch_forward(X, np.array([[0.9, 0.7], [0.1, 0.9]]))[0][:, :, 0]
    np.testing.assert_allclose(values(browser, "stitch"), [Y[0, 3], Y[1, 3], Y[0, 20], Y[1, 20]], rtol=1e-9)

    move(browser, "jacobians", "steps T", 7)
    move(browser, "jacobians", "gain", 1.2)
    W, h, v = (np.array(data["jacobians"][name]) for name in ("W", "h", "v"))
    for _ in range(6):
        h = np.tanh(1.2 * W @ h)
        v = (1 - h ** 2) * (1.2 * W @ v)
    np.testing.assert_allclose(values(browser, "jacobians")[0], np.linalg.norm(v), rtol=1e-9)

    move(browser, "terms", "depth L", 5)
    given = {name: np.array(value) for name, value in data["terms"].items()}
    _, cache = residual_stack_forward(given["x"][None], given["W1"][:5], 0.4 * given["W2"][:5], activation="tanh")
    total = residual_stack_backward(given["dE"][None], cache)[0][0]
    ours = [np.linalg.norm(given["dE"]), np.linalg.norm(total - given["dE"]), np.linalg.norm(total)]
    np.testing.assert_allclose(values(browser, "terms")[:3], ours, rtol=1e-9)

    move(browser, "uncertainty", "s1", 1)
    ours = [uncertainty_loss(4.0, 1.0, 0.5), *uncertainty_slopes(4.0, 1.0, 0.5)]
    np.testing.assert_allclose(values(browser, "uncertainty")[:3], ours, rtol=1e-9)


@pytest.fixture(scope="module")
def axe():
    """The text of axe-core, where Node.js finds it."""
    node = shutil.which("node")
    ask = "require.resolve('axe-core/axe.min.js')"
    found = node and subprocess.run([node, "-p", ask], capture_output=True, text=True)
    if not found or found.returncode:
        pytest.skip("needs axe-core: npm install axe-core, and NODE_PATH")
    return Path(found.stdout.strip()).read_text(encoding="utf-8")


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_contrast_names_and_landmarks(opened, folder, browser, axe, dark):
    for name in kinds(folder):
        opened(name, dark=dark)
        browser.execute_async_script("document.fonts.ready.then(() => arguments[0]())")
        browser.execute_script("document.getElementById('eq-1')?.focus()")      # marked lines, too
        browser.execute_script(axe)
        found = browser.execute_async_script("axe.run().then(r => arguments[0](r.violations))")
        told = [f"{v['id']}: {v['help']}: {v['nodes'][0]['html'][:200]}" for v in found]
        assert told == [], name
