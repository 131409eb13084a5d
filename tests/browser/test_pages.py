"""The status and the SQL page as a person uses them, in Chromium."""

from __future__ import annotations

import json
import signal
from pathlib import Path

import pytest
from selenium.webdriver import Chrome
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.ui import WebDriverWait

from tests.conformance.processes import SECONDS, call, finished
from tests.conformance.project import make
from tests.report.served import PROBLEM, SCRIPT, Served, fail, served
from tests.report.test_sql import ENDLESS

CONTRAST = """
const parse = (text) => (text.match(/[\\d.]+/g) || []).map(Number);
const light = ([r, g, b]) => [r, g, b].map((v) => v / 255)
  .map((v) => v <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4)
  .reduce((sum, v, n) => sum + v * [0.2126, 0.7152, 0.0722][n], 0);
const back = (node) => {
  for (let each = node; each; each = each.parentElement) {
    const found = parse(getComputedStyle(each).backgroundColor);
    if (found.length === 3 || found[3] === 1) return found;
  }
  return [255, 255, 255];
};
const low = [];
for (const node of document.querySelectorAll("body *")) {
  const own = [...node.childNodes].some((child) => child.nodeType === 3 && child.textContent.trim());
  if (!own || !node.getClientRects().length || node.closest("svg, .skip")) continue;
  const [a, b] = [light(parse(getComputedStyle(node).color)), light(back(node))].sort((x, y) => y - x);
  const told = `${node.tagName}.${node.className}: ${node.textContent.trim().slice(0, 40)}`;
  if ((a + 0.05) / (b + 0.05) < 4.5) low.push(told);
}
return low;
"""

STOP = """
const busy = document.getElementById("busy");
const timer = setInterval(() => {
  if (busy.hidden) return;
  clearInterval(timer);
  window.wasBusy = true;
  document.dispatchEvent(new KeyboardEvent("keydown", {key: "Escape"}));
}, 50);
"""

STOP_AT_ONCE = """
document.getElementById("query-form").requestSubmit(document.getElementById("run"));
document.dispatchEvent(new KeyboardEvent("keydown", {key: "Escape"}));
setTimeout(() => { window.wasStopped = true; }, 100);
"""


def text(browser: Chrome) -> str:
    """All that is to be read on the page."""
    return browser.find_element(By.TAG_NAME, "main").text


def rows(browser: Chrome, label: str) -> list[list[str]]:
    """The cells of a table by the label of its region."""
    found = browser.find_elements(By.CSS_SELECTOR, f'[aria-label="{label}"] tbody tr')
    return [[cell.text for cell in row.find_elements(By.CSS_SELECTOR, "td, th")] for row in found]


def type_query(browser: Chrome, query: str) -> None:
    """Write a query into the field, in the place of what is there."""
    field = browser.find_element(By.ID, "query")
    field.clear()
    field.send_keys(query)


def run_query(browser: Chrome, query: str) -> None:
    """Write a query and run it by its keys; return when the next page is there."""
    type_query(browser, query)
    before = browser.find_element(By.TAG_NAME, "html")
    browser.find_element(By.ID, "query").send_keys(Keys.CONTROL, Keys.ENTER)
    WebDriverWait(browser, SECONDS).until(lambda _: browser.find_element(By.TAG_NAME, "html") != before)
    WebDriverWait(browser, SECONDS).until(lambda _: browser.execute_script("return document.readyState") == "complete")


@pytest.mark.row("000-24")
def test_the_status_of_a_published_run_and_then_of_one_that_failed(chromium: Chrome, tmp_path: Path) -> None:
    folder = make(tmp_path / "project")
    assert call("run", "orders", "--as-of", "2024-12-01", cwd=folder).returncode == 0
    with served(folder) as pages:
        chromium.get(pages.url)
        WebDriverWait(chromium, SECONDS).until(lambda _: chromium.title == "Status · assay")
        assert chromium.current_url == f"{pages.site}/"
        assert chromium.find_element(By.CSS_SELECTOR, ".card .state").text == "published"
        assert ["silver_order", "3", "0", "1", "2024-12-01"] in rows(chromium, "Tables by layer")
        assert chromium.find_elements(By.CSS_SELECTOR, ".problem") == []
        fail(folder)
        chromium.refresh()
        problem = chromium.find_element(By.CSS_SELECTOR, ".problem")
        assert problem.is_displayed()
        assert "Nothing of run 2 was published." in problem.text
        assert PROBLEM in problem.text
        assert ["silver_order", "3", "0", "1", "2024-12-01"] in rows(chromium, "Tables by layer")


@pytest.mark.row("000-24")
def test_from_the_status_to_the_ledger_of_a_run_which_balances(browser: Chrome) -> None:
    browser.find_element(By.LINK_TEXT, "2").click()
    assert "Run 2 of orders" in browser.find_element(By.TAG_NAME, "h1").text
    ledger = [row for row in rows(browser, "Ledger of run 2") if len(row) == 9]
    assert [row[0] for row in ledger] == ["orders", "bronze_order", "silver_order", "gold_revenue"]
    for row in ledger:
        returned, written, rejected, deduplicated = (int(cell) for cell in row[4:8])
        assert returned == written + rejected + deduplicated
        assert row[8] == "✓ balanced"
    assert rows(browser, "Rejected rows by reason") == [["silver_order", "between(amount, 0, 1000)", "1"]]
    browser.find_element(By.LINK_TEXT, "see the rows").click()
    assert browser.find_element(By.ID, "query").get_attribute("value") == "select * from meta.quarantine where run = 2"


@pytest.mark.row("000-24")
def test_a_query_is_written_run_by_its_keys_and_answered(browser: Chrome) -> None:
    browser.find_element(By.LINK_TEXT, "SQL").click()
    run_query(browser, "select id, amount from silver.order order by id")
    assert rows(browser, "Result") == [["1", "10.10"], ["2", "0.20"], ["3", "5.00"], ["4", "7.00"], ["6", "8.00"]]
    assert (
        browser.find_element(By.ID, "query").get_attribute("value") == "select id, amount from silver.order order by id"
    )


def test_a_columns_name_is_written_at_a_click(browser: Chrome) -> None:
    browser.find_element(By.LINK_TEXT, "SQL").click()
    type_query(browser, "select ")
    browser.find_element(By.CSS_SELECTOR, '[data-insert="amount"]').click()
    browser.switch_to.active_element.send_keys(" from bronze.order")
    assert browser.find_element(By.ID, "query").get_attribute("value") == "select amount from bronze.order"


@pytest.mark.row("000-24")
@pytest.mark.parametrize(
    ("query", "words"),
    [
        ("select * from silver.ordr", "Table with name ordr does not exist!"),
        ("drop view silver.order", "DROP is refused: a query here reads"),
        ("select * from read_text('assay.toml')", "disabled by configuration"),
    ],
)
def test_what_is_wrong_with_a_query_stands_by_its_field(browser: Chrome, query: str, words: str) -> None:
    browser.find_element(By.LINK_TEXT, "SQL").click()
    run_query(browser, query)
    told = browser.find_element(By.ID, "error")
    assert told.is_displayed()
    assert words in told.text
    assert browser.find_element(By.ID, "query").get_attribute("value") == query
    assert browser.find_elements(By.ID, "result") == []


@pytest.mark.row("000-24")
def test_a_script_in_the_data_is_text(browser: Chrome, site: Served) -> None:
    for path in ("/tables/bronze_order", "/tables/silver_order"):
        browser.get(f"{site.site}{path}")
        assert SCRIPT in text(browser)
        assert browser.title.endswith("· assay")
    browser.get(f"{site.site}/sql")
    run_query(
        browser, 'select note, \'<img src=x onerror="document.title=1">\' as "<b>" from silver.order where id = 4'
    )
    assert rows(browser, "Result") == [[SCRIPT, '<img src=x onerror="document.title=1">']]
    assert browser.title == "SQL · assay"
    assert browser.find_elements(By.CSS_SELECTOR, "main img, main script, main b") == []


def test_no_script_runs_but_the_pages_own(browser: Chrome, site: Served) -> None:
    browser.get(f"{site.site}/sql")
    browser.execute_script("document.body.insertAdjacentHTML('beforeend', '<img src=x onerror=\"document.title=1\">')")
    WebDriverWait(browser, SECONDS).until(lambda _: refused(browser))
    assert browser.title == "SQL · assay"


def refused(browser: Chrome) -> list[str]:
    """What the browser's console tells of the policy."""
    return [entry["message"] for entry in browser.get_log("browser") if "Content Security Policy" in entry["message"]]


@pytest.mark.row("000-24")
def test_a_page_of_another_site_gets_nothing_and_asks_nothing(browser: Chrome, site: Served, tmp_path: Path) -> None:
    foreign = tmp_path / "foreign.html"
    foreign.write_text(
        f'<title>foreign</title><form method="post" action="{site.site}/sql"><input name="query" value="select 1">'
        f"<button id=go>go</button></form>"
    )
    browser.get(foreign.as_uri())
    browser.find_element(By.ID, "go").click()
    WebDriverWait(browser, SECONDS).until(lambda _: browser.current_url == f"{site.site}/sql")
    assert "A request from another site is refused." in browser.page_source
    browser.get(foreign.as_uri())
    fetched = browser.execute_async_script(
        "const [address, done] = arguments;"
        "fetch(address, {credentials: 'include'}).then(() => done('read'), () => done('refused'))",
        f"{site.site}/",
    )
    assert fetched == "refused"


@pytest.mark.row("000-24")
def test_a_foreign_name_that_leads_here_is_refused(browser: Chrome, site: Served) -> None:
    # Browsers resolve every name under localhost to this machine, as a rebound name would be.
    browser.get(f"http://evil.localhost:{site.port}/")
    assert "This server answers to 127.0.0.1 and localhost alone." in browser.page_source


def test_a_query_is_stopped_by_its_key_and_the_next_is_answered(browser: Chrome, site: Served) -> None:
    browser.get(f"{site.site}/sql")
    type_query(browser, ENDLESS)
    # The driver waits for the next page, which never comes: so the page presses the key, once it says that it is busy.
    browser.execute_script(STOP)
    browser.find_element(By.ID, "run").click()
    WebDriverWait(browser, SECONDS).until(lambda _: browser.execute_script("return window.wasBusy"))
    assert not browser.find_element(By.ID, "busy").is_displayed()
    run_query(browser, "select 4711 as n")
    assert rows(browser, "Result") == [["4711"]]


def test_a_query_that_is_stopped_at_once_leaves_its_button_on(browser: Chrome, site: Served) -> None:
    browser.get(f"{site.site}/sql")
    type_query(browser, ENDLESS)
    # Within one task of the page: nothing that the submit has put off comes between it and the key.
    browser.execute_script(STOP_AT_ONCE)
    WebDriverWait(browser, SECONDS).until(lambda _: browser.execute_script("return window.wasStopped"))
    assert browser.find_element(By.ID, "run").is_enabled()
    run_query(browser, "select 4711 as n")
    assert rows(browser, "Result") == [["4711"]]


def test_a_result_is_had_as_a_file(browser: Chrome, site: Served, downloads: Path) -> None:
    browser.get(f"{site.site}/sql")
    type_query(browser, "select id, note from silver.order where id < 3 order by id")
    browser.find_element(By.ID, "csv").click()
    target = downloads / "query.csv"
    WebDriverWait(browser, SECONDS).until(lambda _: target.is_file())
    assert target.read_bytes() == b"id,note\r\n1,a\r\n2,b\r\n"


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [360, 1280])
def test_every_page_fits_its_width_and_can_be_read(browser: Chrome, site: Served, scheme: str, width: int) -> None:
    size = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 600}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    media = {"features": [{"name": "prefers-color-scheme", "value": scheme}]}
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", media)
    for path in ("/", "/runs", "/runs/2", "/runs/3", "/tables/silver_order", "/sql?query=select+1", "/nowhere"):
        browser.get(f"{site.site}{path}")
        assert browser.execute_script("return document.documentElement.scrollWidth") <= width, path
        assert browser.execute_script(CONTRAST) == [], path
    dark = browser.execute_script("return getComputedStyle(document.body).backgroundColor") == "rgb(23, 22, 20)"
    assert dark is (scheme == "dark")


def test_everything_has_a_name_and_is_reached_by_the_keyboard(browser: Chrome, site: Served) -> None:
    for path in ("/", "/runs/2", "/sql"):
        browser.get(f"{site.site}{path}")
        browser.execute_cdp_cmd("Accessibility.enable", {})
        tree = browser.execute_cdp_cmd("Accessibility.getFullAXTree", {})["nodes"]
        for node in tree:
            role = node.get("role", {}).get("value")
            if not node.get("ignored") and role in ("link", "button", "textbox", "image", "img", "region", "combobox"):
                assert node.get("name", {}).get("value"), (path, role, json.dumps(node)[:300])
    browser.get(site.site)
    browser.find_element(By.TAG_NAME, "body").send_keys(Keys.TAB)
    assert browser.switch_to.active_element.text == "Skip to the content"
    bars = browser.find_elements(By.CSS_SELECTOR, "svg a")
    assert [bar.get_attribute("aria-label") for bar in bars][-1].startswith("run 3:")


@pytest.mark.row("000-24")
def test_the_written_file_is_read_without_a_server(chromium: Chrome, project: Path, tmp_path: Path) -> None:
    target = tmp_path / "status.html"
    assert call("report", "--out", str(target), cwd=project).returncode == 0
    chromium.get(target.as_uri())
    chromium.get_log("browser")
    chromium.refresh()
    assert PROBLEM in text(chromium)
    assert ["silver_order", "5", "1", "2", "2024-12-02"] in rows(chromium, "Tables by layer")
    assert refused(chromium) == []
    assert chromium.execute_script("return getComputedStyle(document.querySelector('.card')).borderRadius") == "10px"


@pytest.mark.row("000-24")
def test_ctrl_c_ends_the_pages_while_a_browser_looks_at_them(chromium: Chrome, project: Path) -> None:
    with served(project) as pages:
        chromium.get(pages.url)
        WebDriverWait(chromium, SECONDS).until(lambda _: chromium.title == "Status · assay")
        pages.process.send_signal(signal.SIGINT)
        end = finished(pages.process)
        assert (end.returncode, end.stderr) == (0, "")
    chromium.get("about:blank")
