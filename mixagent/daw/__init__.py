"""A mix as a project of a digital audio workstation."""
