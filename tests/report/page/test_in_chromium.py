"""The page as a reader has it, in headless Chromium: it draws, switches, sorts, filters, and loads nothing."""

import shutil
import time

import pytest
from paged import EVIL
from selenium import webdriver
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.ui import Select

from roibench.registry import installed
from roibench.report.page.html import render

CHROMIUM, DRIVER = shutil.which("chromium"), shutil.which("chromedriver")
pytestmark = pytest.mark.skipif(not (CHROMIUM and DRIVER), reason="no chromium and chromedriver on the PATH")
WIDTHS = (390, 820, 1440)
SECONDS = 20


@pytest.fixture(scope="module")
def browser():
    options = webdriver.ChromeOptions()
    options.binary_location = CHROMIUM
    for argument in ("--headless=new", "--no-sandbox", "--disable-dev-shm-usage", "--disable-gpu"):
        options.add_argument(argument)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    made = webdriver.Chrome(options, Service(DRIVER))
    yield made
    made.quit()


@pytest.fixture(scope="module")
def file(several, tmp_path_factory):
    path = tmp_path_factory.mktemp("page") / "table.html"
    path.write_text(render(several, installed()))
    return path


@pytest.fixture
def opened(browser, file):
    """The page, freshly opened and drawn; afterwards, that nothing was logged and nothing asked for."""
    show(browser, 1440)
    browser.get(file.as_uri())
    until(lambda: points(browser))
    yield browser
    assert browser.get_log("browser") == []
    assert browser.execute_script("return performance.getEntriesByType('resource').length") == 0


def show(browser, width, scheme="light"):
    size = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 500}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    feature = {"name": "prefers-color-scheme", "value": scheme}
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [feature]})


def until(condition):
    began = time.monotonic()
    while not (found := condition()):
        assert time.monotonic() - began < SECONDS, "nothing changed"
        time.sleep(0.05)
    return found


def points(browser):
    """What each mark of the plot is called, which a screen reader reads."""
    marks = "[...document.querySelectorAll('.mark-symbol.role-mark path')].map((one) => one.getAttribute('aria-label'))"
    return browser.execute_script(f"return {marks}")


def axes(browser):
    labels = "[...document.querySelectorAll('.role-axis')].map((one) => one.getAttribute('aria-label')).filter(Boolean)"
    return " ".join(browser.execute_script(f"return {labels}"))


def column(browser, index):
    """The texts of the rows that are shown, from above."""
    rows = "[...document.querySelectorAll('.sortable tbody tr')].filter((row) => !row.hidden)"
    return browser.execute_script(f"return {rows}.map((row) => row.cells[arguments[0]].textContent)", index)


def headers(browser):
    return browser.find_elements(By.CSS_SELECTOR, ".sortable thead th")


def control(browser, name):
    return browser.find_element(By.CSS_SELECTOR, f".controls [name={name}]")


def test_every_model_that_was_scored_is_a_mark(opened):
    told = points(opened)
    assert len(told) == 6 and sum(one.startswith(EVIL) for one in told) == 1
    on_front = [one for one in told if "on the Pareto front" in one]
    marked = column(opened, len(headers(opened)) - 1)
    assert len(on_front) == marked.count("●") and [one.split(",")[0] for one in on_front] == ["ssd", "ssd", "yolo"]


def test_the_value_switches_axis_and_marks(opened):
    assert "'AP %'" in axes(opened)
    before = column(opened, len(headers(opened)) - 1)
    Select(control(opened, "value")).select_by_visible_text("AP50 %")
    until(lambda: "'AP50 %'" in axes(opened))
    assert column(opened, len(headers(opened)) - 1) != before
    assert len(points(opened)) == 2, "those that have it"


def test_a_mark_tells_its_conditions_by_tooltip_by_finger_and_by_keyboard(opened):
    marks = opened.find_elements(By.CSS_SELECTOR, ".mark-symbol.role-mark path")
    mark = next(one for one in marks if one.get_attribute("aria-label").startswith(EVIL))
    ActionChains(opened).move_to_element(mark).perform()
    tooltip = until(lambda: opened.find_element(By.ID, "vg-tooltip-element").text)
    told = opened.find_element(By.CLASS_NAME, "told")
    assert told.text == ""
    mark.click()
    for text in (tooltip, told.text):
        assert text.startswith(EVIL) and "500 images, cpu, float32, batch 1, 2 threads" in text
    mark.send_keys(Keys.SHIFT + Keys.TAB)
    assert told.text.startswith("rcnn proposals=10")


def test_time_is_logarithmic_or_not(opened):
    assert "log scale" in axes(opened)
    control(opened, "log").send_keys(Keys.SPACE)
    until(lambda: "log scale" not in axes(opened) and points(opened))
    assert "linear scale" in axes(opened)


def test_the_filter_hides_rows_and_marks(opened):
    control(opened, "filter").send_keys("RCNN =10")
    until(lambda: len(points(opened)) == 2)
    assert sorted(column(opened, 0)) == ["rcnn proposals=10", "rcnn proposals=100"]
    assert opened.find_element(By.NAME, "count").text == "2 of 7 rows"
    control(opened, "filter").send_keys(" nothing like it")
    until(lambda: not points(opened))
    assert column(opened, 0) == []


def test_the_device_switch(opened):
    device = Select(control(opened, "device"))
    device.select_by_visible_text(next(one.text for one in device.options if "A GPU" in one.text))
    until(lambda: len(points(opened)) == 1)
    assert column(opened, 0) == ["ssd"]


def test_columns_sort_by_keyboard(opened):
    titles = [one.text for one in headers(opened)]
    place = next(i for i, title in enumerate(titles) if title.startswith("AP % "))
    button = headers(opened)[place].find_element(By.TAG_NAME, "button")
    for direction, want in (("ascending", "10.0"), ("descending", "60.0")):
        button.send_keys(Keys.ENTER)
        assert headers(opened)[place].get_attribute("aria-sort") == direction
        values = column(opened, place)
        numbers = [float(one.split()[0]) for one in values[:-1]]
        assert numbers == sorted(numbers, reverse=direction == "descending") and values[0].startswith(want)
        assert values[-1] == "random weights", "what is no number stands last"
    last = headers(opened)[-1]
    last.find_element(By.TAG_NAME, "button").send_keys(Keys.ENTER)
    marks = column(opened, len(titles) - 1)
    assert marks == sorted(marks, key=["●", "○", "", "†"].index) and len(set(marks)) > 1
    assert last.get_attribute("aria-sort") and not headers(opened)[place].get_attribute("aria-sort")


@pytest.mark.parametrize("width", WIDTHS)
def test_it_fits_the_screen(browser, file, width):
    show(browser, width)
    browser.get(file.as_uri())
    until(lambda: points(browser))
    assert browser.execute_script("return document.documentElement.scrollWidth") <= width
    plot = browser.execute_script("return document.querySelector('.canvas svg').getBoundingClientRect().right")
    assert plot <= width


def test_light_and_dark_follow_the_system_or_the_switch(opened):
    background = "return getComputedStyle(document.body).backgroundColor"
    light = opened.execute_script(background)
    show(opened, 1440, "dark")
    dark = opened.execute_script(background)
    assert light != dark
    Select(opened.find_element(By.ID, "theme")).select_by_value("light")
    assert opened.execute_script(background) == light
    label = "return getComputedStyle(document.querySelector('.role-axis-label text')).fill"
    assert opened.execute_script(label) == "rgb(0, 0, 0)"
    show(opened, 1440)
    Select(opened.find_element(By.ID, "theme")).select_by_value("dark")
    assert opened.execute_script(background) == dark
    assert opened.execute_script(label) == "rgb(255, 255, 255)", "the plot, too"


def test_nothing_can_be_asked_for(browser, file):
    """That no request was seen isn't luck: the policy refuses one."""
    browser.get(file.as_uri())
    refused = browser.execute_async_script(
        "fetch('https://example.org').then(() => arguments[0]('went'), () => arguments[0]('refused'))"
    )
    assert refused == "refused"
    assert any("Content Security Policy" in one["message"] for one in browser.get_log("browser"))
