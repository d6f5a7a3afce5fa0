import shutil

import pytest
from report_pages import Page, failing, for_dense, renamed

import bayes_scaling as bs


@pytest.fixture(scope="session")
def written(tmp_path_factory, simulated):
    """The report of two modalities and two structures."""
    return bs.report(simulated, tmp_path_factory.mktemp("report") / "report.html")


@pytest.fixture
def page_of(tmp_path):
    """Write a report and take it apart."""

    def page_of(posterior, **asked):
        return Page(bs.report(posterior, tmp_path / "report.html", **asked))

    return page_of


@pytest.fixture(scope="session")
def taken_apart(written):
    return Page(written)


@pytest.fixture(scope="session")
def hostile(simulated):
    """Names, runs and a note that would be markup in a careless page."""
    return renamed(simulated)


@pytest.fixture(scope="session")
def failed(single):
    """A posterior whose chains did not mix."""
    return failing(single)


@pytest.fixture(scope="session")
def of_dense(single):
    """A posterior of the law of dense models."""
    return for_dense(single)


@pytest.fixture(scope="session")
def browser():
    """Chromium by Playwright; tests that need it skip where either is missing."""
    found = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if found is None:
        pytest.skip("no Chromium on this machine, so the report was not opened in a browser")
    sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    with sync_api.sync_playwright() as playwright:
        launched = playwright.chromium.launch(executable_path=found)
        yield launched
        launched.close()
