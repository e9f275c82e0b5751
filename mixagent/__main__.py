"""`python -m mixagent`."""

from mixagent.cli.app import main

main()
