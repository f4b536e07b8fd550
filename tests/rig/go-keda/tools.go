//go:build tools

// Package keda pins KEDA's own commands in this module, so that `go build github.com/kedacore/keda/v2/cmd/operator`
// uses the versions of go.mod.
package keda

import (
	_ "github.com/kedacore/keda/v2/cmd/adapter"
	_ "github.com/kedacore/keda/v2/cmd/operator"
)
