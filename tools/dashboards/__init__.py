"""The Grafana dashboard, made with Grafana's own typed builder, and what tests need to run its queries."""
