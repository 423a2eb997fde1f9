"""The scripted model as a process of its own: says where it listens, then serves until it is ended."""

import argparse
import signal
import sys

from tests.fakes.model.server import fake_model


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--scenario", default="fix-calc", help="played where the prompt names none")
    given = parser.parse_args()
    ending = {signal.SIGTERM, signal.SIGINT}
    signal.pthread_sigmask(signal.SIG_BLOCK, ending)
    with fake_model(given.scenario, given.port) as model:
        sys.stdout.write(model.url + "\n")
        sys.stdout.flush()
        signal.sigwait(ending)


if __name__ == "__main__":
    main()
