// Command coredns is CoreDNS with the few plugins that cluster DNS needs. The full program compiles the SDKs of
// three cloud providers for plugins that a local node never uses. It has no forwarder: pods of the rig look up
// cluster names only, and nothing they ask leaves the machine.
package main

import (
	_ "github.com/coredns/caddy/onevent"
	"github.com/coredns/coredns/core/dnsserver"
	"github.com/coredns/coredns/coremain"
	_ "github.com/coredns/coredns/plugin/cache"
	_ "github.com/coredns/coredns/plugin/errors"
	_ "github.com/coredns/coredns/plugin/health"
	_ "github.com/coredns/coredns/plugin/kubernetes"
	_ "github.com/coredns/coredns/plugin/log"
	_ "github.com/coredns/coredns/plugin/ready"
)

func init() {
	// The order is the order in which a query passes the plugins, upstream's own.
	dnsserver.Directives = []string{"health", "ready", "log", "errors", "cache", "kubernetes"}
}

func main() { coremain.Run() }
