"""Sandboxes on Daytona's cloud: the calls, the jobs inside, the network's walls, the snapshot that they start from."""
