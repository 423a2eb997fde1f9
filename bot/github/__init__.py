"""GitHub and git: the calls we make, and the clone, quarantine and publishing that the host does."""
