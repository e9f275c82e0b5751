"""Plug-ins (VST3, AU) that stand in for effects of the chain, each in a process of its own."""
