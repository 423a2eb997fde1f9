"""What `make bench` measures; the numbers and what they were measured on stand in BENCHMARKS.md."""
