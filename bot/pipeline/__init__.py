"""What a run does: the stages authorize, prepare, work, verify, publish, each a module with `run(job, tools)`."""
