"""The types of what `chaosharness/__init__.py` fetches when it is first used."""

from chaosharness.api import Flow as Flow
from chaosharness.api import Part as Part
from chaosharness.api import at_least_once as at_least_once
from chaosharness.api import at_most_once as at_most_once
from chaosharness.api import command as command
from chaosharness.api import container as container
from chaosharness.api import effectively_once as effectively_once
from chaosharness.api import http as http
from chaosharness.api import kafka as kafka
from chaosharness.api import producer as producer
from chaosharness.api import rabbitmq as rabbitmq
from chaosharness.api import redis_list as redis_list
from chaosharness.api import redis_stream as redis_stream
from chaosharness.api import sink as sink
from chaosharness.api import source as source
from chaosharness.api import workload as workload
from chaosharness.pytest_plugin.decorator import every_window as every_window

__version__: str
_FROM_API: tuple[str, ...]
