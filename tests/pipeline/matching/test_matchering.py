import importlib.util

import pytest

from mixagent.pipeline.errors import ModelMissingError
from mixagent.pipeline.matching.matchering import check_matchering


def test_where_matchering_is_not_installed_its_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ModelMissingError, match=r"pip install 'mixagent\[matchering\]'"):
        check_matchering()
