"""Links of the pages that leave docs/ lead to the files on GitHub, for the site has only docs/."""

import re

CODE = "https://github.com/rebootd/rebootd/blob/main/"


def on_page_markdown(markdown, **_):
    return re.sub(r"\]\(\.\./([^)\s]+)\)", r"](" + CODE + r"\1)", markdown)
