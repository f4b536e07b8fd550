"""What every scenario of the benchmarks stands on: servers, the two products, measuring in turn, the table."""
