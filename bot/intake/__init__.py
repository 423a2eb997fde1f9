"""What came in, decided: genuine, for us, from whom, under which rules of the repository. No I/O."""
