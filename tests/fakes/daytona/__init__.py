"""A Daytona for tests and the demo: its control plane and toolbox on loopback, sandboxes of real processes.

Inside a test::

    with fake_daytona(claude=program) as fake:            # a thread of its own; leaving ends every sandbox
        fake.add_snapshot("backspace-0123abcd")           # active, 2 vCPU, 4 GiB, 10 GiB
        fake.allow_host("127.0.0.1", port)                # sandboxes whose policy says so reach this port of the host
        ...                                               # DaytonaConfig(api_url=fake.api_url, api_key=fake.api_key)
        fake.fail(Fault.BAD_GATEWAY, lasting_seconds=2)   # the toolbox is away
        fake.fail(Fault.WITHOUT_KVM, sandbox="*-before")  # the SDK cannot read the answer to that create call
        fake.pass_time(minutes=31)                        # auto-stop, auto-delete and end of life, at once
        fake.sandboxes(), fake.requests, fake.internet    # what there is, what was asked, where sandboxes went
        fake.assert_clean()                               # nothing that Daytona would not have understood

Every sandbox is one bubblewrap container with its own processes and network, living from create or start to stop or
delete. Programs in it reach what `allow_host` put on its internet, as far as the policy goes; with an open network
1.1.1.1:443 and github.com:443 answer, too. Nothing leaves this machine.
"""

from tests.fakes.daytona.app import Logged
from tests.fakes.daytona.fake import FakeDaytona, Seen, fake_daytona
from tests.fakes.daytona.faults import Fault, Plan
from tests.fakes.daytona.internet import Contact, Policy

__all__ = ["Contact", "FakeDaytona", "Fault", "Logged", "Plan", "Policy", "Seen", "fake_daytona"]
