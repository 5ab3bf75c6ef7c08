package main

import (
	"fmt"
	"io"
	"runtime"
	"runtime/debug"

	"github.com/robustmq/robustmq-connect/cmd/robustmq-connect/cli"
	"github.com/robustmq/robustmq-connect/plugins/connector/admin"
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

// build returns what the program was built from.
func build() admin.Build {
	id := commit
	if id == "" {
		id = buildSetting("vcs.revision")
	}
	return admin.Build{
		Version: buildVersion(), Commit: id, Go: runtime.Version(),
		Benthos: moduleVersion(benthosModule), Connect: moduleVersion(connectModule),
	}
}

func printVersion(w io.Writer) {
	b := build()
	fmt.Fprintf(w, "%s %s\n", cli.BinaryName, b.Version)
	fmt.Fprintf(w, "commit:  %s\n", b.Commit)
	fmt.Fprintf(w, "go:      %s\n", b.Go)
	fmt.Fprintf(w, "benthos: %s\n", b.Benthos)
	fmt.Fprintf(w, "connect: %s\n", b.Connect)
}
