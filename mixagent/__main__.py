"""`python -m mixagent`."""

from mixagent.cli import main

main()
