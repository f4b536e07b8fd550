"""The Grafana dashboard, made with Grafana's own typed builder, and the means to run what the chart renders."""
