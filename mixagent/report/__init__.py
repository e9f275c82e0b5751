"""What a person is shown after a master: one page with an A/B player, and a summary for the terminal."""

from mixagent.report.page import write_page
from mixagent.report.terminal import summary_text

__all__ = ["summary_text", "write_page"]
