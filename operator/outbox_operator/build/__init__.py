"""Pure builders: a parsed resource in, new Kubernetes objects out. Nothing here talks to a cluster."""
