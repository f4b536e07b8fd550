"""Chaos for the operator: whatever breaks, afterwards the cluster is what the resources say. `make chaos-operator`."""
