"""The schema of our resources, as the CRDs of this version state it, to be checked without an API server. Pure."""
