//go:build tools

// Package rig pins Helm's own command in this module, so that `go build helm.sh/helm/v3/cmd/helm` uses the versions
// of go.mod and shares its compiled packages with Kubernetes.
package rig

import _ "helm.sh/helm/v3/cmd/helm"
