"""The contract of sources, for the author of one to run with pytest.

Make a class whose name begins with ``Test``, with two fixtures, or three where there is a broker::

    class TestMySource(SourceContract):
        @pytest.fixture
        def source_url(self, server):
            return f"mine://user:s3cret@{server.host}/beacons"

        @pytest.fixture
        def publish(self, server):
            return server.publish

        @pytest.fixture
        def broker(self, server):
            return server
"""

# ruff: noqa: E402 - pytest explains failed assertions only of what it is told of before

import pytest

pytest.register_assert_rewrite(f"{__name__}.source_contract")

from .source_contract import Broker, Publish, SourceContract

__all__ = ["Broker", "Publish", "SourceContract"]
