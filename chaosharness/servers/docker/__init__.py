"""The backend `docker`: servers and systems under test as containers, by testcontainers and docker-py.

Goes in: container recipes. Comes out: instances. To try it: `suites/conformance/test_docker_*.py`.

    links' network       Toxiproxy, containers under test      gateway: this machine, where taps and sinks listen
    servers' network     RabbitMQ, Redis                        reached from this machine alone, by published ports

A container under test meets no server but through its link: Docker keeps the two networks apart. Every container,
network and volume carries the labels of `labels.py`; what a harness left behind is found by them (`sweep.py`).
"""
