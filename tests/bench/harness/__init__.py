"""The benchmark: targets, workloads, rounds, reports. tests/bench/README.md says how they fit together."""
