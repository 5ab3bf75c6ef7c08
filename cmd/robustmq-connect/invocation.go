package main

import (
	"slices"
	"strings"
)

// invocation is what main must know about the command line before upstream reads it,
// because upstream's texts for these cases are fixed.
type invocation struct {
	// args is the command line for upstream.
	args []string
	// command is the first word that is not a flag, or "".
	command string
	// config is the pipeline file of a run, or "".
	config string
	// streams are the files and folders of the streams command.
	streams []string
	// sets reports that --set changes fields of it.
	sets    bool
	version bool
	help    bool
	// bare is a call that would start a pipeline without a configuration.
	bare bool
}

// runs reports whether the command runs a pipeline.
func (i invocation) runs() bool {
	return !i.help && !i.bare && (i.command == "" || i.command == "run")
}

// prints reports whether the command prints a configuration.
func (i invocation) prints() bool {
	return slices.Contains([]string{"echo", "create", "list"}, i.command)
}

// flagsWithValue are the flags before a command, or after run, that take the next word
// as their value.
var flagsWithValue = []string{"config", "c", "log.level", "set", "s", "resources", "r", "env-file", "e", "templates", "t"}

func parseInvocation(args []string) invocation {
	call := invocation{args: args}
	words, complete := 0, false
	for i := 0; i < len(args); i++ {
		name, isFlag := strings.CutPrefix(args[i], "-")
		if !isFlag || name == "" {
			if words++; words == 1 {
				call.command = args[i]
			} else if call.command == "run" {
				call.config = args[i]
			} else if call.command == "streams" {
				call.streams = append(call.streams, args[i])
			}
			continue
		}
		name, value, hasValue := strings.Cut(strings.TrimPrefix(name, "-"), "=")
		if !hasValue && i+1 < len(args) {
			value = args[i+1]
		}
		switch name {
		case "version", "v":
			call.version = call.version || call.command == ""
		case "help", "h":
			call.help = true
		case "set", "s":
			call.sets = true
		case "config", "c":
			complete = true
			call.config = value
			if call.command == "run" && !hasValue && i+1 < len(args) {
				// Upstream's run accepts the file only as a word.
				call.args = slices.Concat(args[:i], args[i+1:])
			}
		case "observability", "o": // of the streams command
			complete = true
			if !hasValue {
				i++
			}
		case "chilled", "watcher", "w":
		default:
			// A flag that upstream handles or refuses.
			complete = complete || !slices.Contains(flagsWithValue, name)
		}
		if slices.Contains(flagsWithValue, name) && !hasValue {
			i++
		}
	}
	call.help = call.help || call.command == "help"
	switch {
	case call.help || complete:
	case call.command == "":
		call.bare = true
		call.args = []string{"--help"}
	case call.command == "run" && words == 1:
		call.bare = true
		call.args = []string{"run", "--help"}
	}
	return call
}
