package main

import (
	"fmt"
	"io"
	"runtime"
	"runtime/debug"

	"github.com/robustmq/robustmq-connect/cmd/robustmq-connect/cli"
)

// version and commit are set by the Makefile through the linker.
var (
	version = "dev"
	commit  = ""
)

func buildVersion() string { return version }

// buildDate is the time of the commit that the binary was built from.
func buildDate() string { return buildSetting("vcs.time") }

func buildSetting(key string) string {
	if info, ok := debug.ReadBuildInfo(); ok {
		for _, s := range info.Settings {
			if s.Key == key {
				return s.Value
			}
		}
	}
	return "unknown"
}

const (
	benthosModule = "github.com/redpanda-data/benthos/v4"
	connectModule = "github.com/redpanda-data/connect/v4"
)

func moduleVersion(path string) string {
	if info, ok := debug.ReadBuildInfo(); ok {
		for _, m := range info.Deps {
			if m.Path == path {
				return m.Version
			}
		}
	}
	return "unknown"
}

func printVersion(w io.Writer) {
	id := commit
	if id == "" {
		id = buildSetting("vcs.revision")
	}
	fmt.Fprintf(w, "%s %s\n", cli.BinaryName, buildVersion())
	fmt.Fprintf(w, "commit:  %s\n", id)
	fmt.Fprintf(w, "go:      %s\n", runtime.Version())
	fmt.Fprintf(w, "benthos: %s\n", moduleVersion(benthosModule))
	fmt.Fprintf(w, "connect: %s\n", moduleVersion(connectModule))
}
