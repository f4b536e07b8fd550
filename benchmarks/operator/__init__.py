"""How the operator behaves with a thousand resources: `make bench-operator`."""
