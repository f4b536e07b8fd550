"""`outbox-operator plan`: what the operator would do about resources, from files alone or against a cluster."""
